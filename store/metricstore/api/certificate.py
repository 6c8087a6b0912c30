"""The certificate that the API shows: looked at before each handshake, since certificates are renewed."""

import logging
import ssl
from pathlib import Path

from metricstore.settings import Main
from metricwire.errors import SettingsError

logger = logging.getLogger(__name__)

Stamp = tuple[int, int, int] | None  # inode, bytes, time of the last change in ns; None: not there


class Certificate:
    """Certificate and key of `main.https-cert-file` and `main.https-key-file`. SettingsError when they cannot be used.

    Renewed ones count from the next connection on. Those that cannot be used are said once, and the ones before stay in use:
    whoever renews may have written one and not yet the other.
    """

    def __init__(self, main: Main) -> None:
        self._certificate, self._key = main.https_cert_file, main.https_key_file
        self._seen = self._stamps()
        try:
            self._context = self._load()
        except (OSError, ValueError) as error:  # SSLError is an OSError
            raise SettingsError(self._unusable(error)) from error

    def context(self) -> ssl.SSLContext:
        """For a server: whatever it is shown first, each handshake goes on with what the files say by then."""
        context = self._load()
        context.sni_callback = self._choose
        return context

    def _choose(self, connection: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        """At a client's first message, whether or not it names the server."""
        seen = self._stamps()
        if seen != self._seen:
            self._seen = seen
            try:
                self._context = self._load()
            except (OSError, ValueError) as error:
                logger.warning("%s; going on with what they were", self._unusable(error))
            else:
                logger.info("the certificate was renewed")
        connection.context = self._context

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._certificate, self._key or None, password="")
        return context

    def _stamps(self) -> list[Stamp]:
        return [_stamp(path) for path in (self._certificate, self._key) if path]

    def _unusable(self, error: Exception) -> str:
        return (
            f"cannot speak TLS with main.https-cert-file {self._certificate!r} and main.https-key-file {self._key!r}: "
            f"{getattr(error, 'strerror', None) or error}"
        )


def served(main: Main) -> ssl.SSLContext | None:
    """TLS as the settings have it, None without."""
    return Certificate(main).context() if main.https_cert_file or main.https_key_file else None


def _stamp(path: str) -> Stamp:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
