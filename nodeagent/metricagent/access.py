"""Who may ask this node: whoever has a token that one of the configured keys signed, whatever its role.

No role is asked for, as cc-metric-store lets any valid token read.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from metricwire import tokens
from metricwire.errors import InvalidToken, SettingsError

REREAD = 5.0  # seconds after which key files are looked at again: a removed key is dead within 10

logger = logging.getLogger(__name__)


class Access:
    """Checks tokens against the keys in files. SettingsError when one of them cannot be used at the start.

    A key file that cannot be used later holds no key: the log says so once.
    """

    def __init__(self, key_files: Sequence[str], *, anonymous: bool, now: Callable[[], float]) -> None:
        self._files = [Path(name) for name in key_files]
        self._anonymous = anonymous
        self._now = now
        self._keys = [_read(path) for path in self._files]
        self._read_at = now()
        self._bad: set[Path] = set()

    def check(self, authorization: Sequence[str]) -> None:
        """InvalidToken unless the request's Authorization header (all of that name) proves who asks."""
        if self._anonymous:
            return
        if len(authorization) != 1:
            raise InvalidToken("cannot answer without a token: send one header Authorization: Bearer <token>")
        text = authorization[0].strip()
        if text.lower().startswith("bearer "):
            token = text[len("bearer ") :].strip()
        elif text.startswith("token="):  # as DC/OS clients write it
            token = text.removeprefix("token=")
        else:
            raise InvalidToken("cannot read the Authorization header: expected Bearer <token> or token=<token>")
        tokens.verify(token, self._current_keys(), self._now())

    def _current_keys(self) -> list[Ed25519PublicKey]:
        if not 0 <= self._now() - self._read_at < REREAD:
            self._keys = [key for path in self._files if (key := self._read_again(path))]
            self._read_at = self._now()
        return self._keys

    def _read_again(self, path: Path) -> Ed25519PublicKey | None:
        try:
            key = _read(path)
        except SettingsError as error:
            if path not in self._bad:
                logger.warning("%s; tokens of that key are refused", error)
            self._bad.add(path)
            return None
        self._bad.discard(path)
        return key


def _read(path: Path) -> Ed25519PublicKey:
    try:
        return tokens.public_key(path.read_text(encoding="ascii"))
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"cannot read public key file {path}: {getattr(error, 'strerror', None) or error}") from error
    except SettingsError as error:
        raise SettingsError(f"cannot use public key file {path}: {error}") from error
