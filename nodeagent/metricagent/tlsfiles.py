"""The files that a TLS connection is made with: read again when they change, since certificates are renewed."""

import logging
import ssl
from pathlib import Path

from metricagent.reasons import why
from metricwire.errors import SettingsError
from metricwire.trust import as_others_check

logger = logging.getLogger(__name__)

Stamp = tuple[int, int, int] | None  # inode, bytes, time of the last change in ns; None: not there


class TlsFiles:
    """Certificates that a server is checked with, and a client certificate with its key; None for those not given.

    `section` names their settings in messages. SettingsError when they cannot be used at the start; later such files are said
    once and the ones before stay in use: whoever renews may have written one and not yet the other. `ca_optional`: while the
    first is not there, the system's authorities count.
    """

    def __init__(
        self, section: str, ca_file: str | None, cert_file: str | None, key_file: str | None, *, ca_optional: bool = False
    ) -> None:
        self._section = section
        self._ca_optional = ca_optional
        self._ca, self._cert, self._key = ca_file, cert_file, key_file
        self._seen = self._stamps()
        try:
            self._context = self._make()
        except (OSError, ValueError) as error:
            raise SettingsError(self._unusable(error)) from error

    def context(self) -> ssl.SSLContext:
        """For the next connection."""
        seen = self._stamps()
        if seen != self._seen:
            self._seen = seen
            try:
                self._context = self._make()
            except (OSError, ValueError) as error:
                logger.warning("%s; going on with what they were", self._unusable(error))
            else:
                logger.info("certificates of %s were renewed", self._section)
        return self._context

    def _make(self) -> ssl.SSLContext:
        own = self._ca and not (self._ca_optional and _stamp(self._ca) is None)
        context = trusting(self._ca if own else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._cert:
            context.load_cert_chain(self._cert, self._key, password="")
        return context

    def _stamps(self) -> list[Stamp]:
        return [_stamp(path) for path in (self._ca, self._cert, self._key) if path]

    def _unusable(self, error: Exception) -> str:
        named = {"ca-file": self._ca, "cert-file": self._cert, "key-file": self._key}
        files = ", ".join(f"{self._section}.{name} {path}" for name, path in named.items() if path)
        return f"cannot use {files or 'the certificates of this system'}: {why(error)}"


def trusting(ca_file: str | Path | None) -> ssl.SSLContext:
    """Checks servers by the authorities in that file, None: by those of this system. OSError when it cannot be used."""
    return as_others_check(ssl.create_default_context(cafile=ca_file))


def _stamp(path: str) -> Stamp:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
