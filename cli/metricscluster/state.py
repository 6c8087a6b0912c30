"""The folder in which a local cluster lives: keys, tokens, data, logs. It is of one cluster, and of one program at a time.

It is its owner's alone (0700), as are keys/, users/ and store/: one that is there already and open to others is closed.

cluster                       name of the cluster
keys/private.key public.key   Ed25519 pair that signs the tokens
keys/login-private.pem login-public.pem   RSA pair that signs the tokens of those who log in
users/                        who may log in: files of `metricscluster user add`
token agent-token             tokens of the administrator and of the agent
store.json agent.json         settings of the two, written anew at each start
store/ agent/                 their data
store.log agent.log           what they said; the file of before beside it as .1 once it is larger than LOG_SIZE
lock                          held while the program runs
"""

import fcntl
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from metricscluster.files import replace
from metricwire import tokens
from metricwire.errors import InvalidToken, MetricsError, SettingsError

LOG_SIZE = 4 * 1024 * 1024  # bytes


class StateUnusable(MetricsError):
    """The folder cannot be used; the text says why and what to do."""


class State:
    """The folder, made if need be. StateUnusable: not writable, in use, or of another cluster."""

    def __init__(self, directory: Path, cluster: str, now: Callable[[], float]) -> None:
        self.directory = directory
        self._now = now
        try:
            _make_private(directory)
            self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unwritable(directory, error) from error
        try:
            self._fill(cluster)
        except BaseException:
            self.close()
            raise

    @property
    def public_key(self) -> Path:
        """File of the key that tokens are checked with."""
        return self.directory / "keys" / "public.key"

    @property
    def login_key(self) -> Path:
        """File of the key that signs the tokens of those who log in."""
        return self.directory / "keys" / "login-private.pem"

    @property
    def login_public_key(self) -> Path:
        """File of its public half."""
        return self.directory / "keys" / "login-public.pem"

    @property
    def users(self) -> Path:
        """Folder of those who may log in."""
        return self.directory / "users"

    @property
    def token(self) -> Path:
        """File of the administrator's token."""
        return self.directory / "token"

    @property
    def agent_token(self) -> Path:
        """File of the token with which the agent writes."""
        return self.directory / "agent-token"

    def write_settings(self, name: str, settings: dict[str, Any]) -> Path:
        """The file with the settings of "store" or "agent"."""
        path = self.directory / f"{name}.json"
        replace(path, json.dumps(settings, indent=1).encode() + b"\n")
        return path

    def open_log(self, name: str) -> TextIO:
        """The log of "store" or "agent", to append to."""
        path = self.directory / f"{name}.log"
        if path.exists() and path.stat().st_size > LOG_SIZE:
            path.replace(path.with_suffix(".log.1"))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="replace")

    def close(self) -> None:
        """Let another program have the folder."""
        os.close(self._lock)

    def _fill(self, cluster: str) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            known = (self.directory / "cluster").exists()
            self._belongs_to(cluster)
            for name in ("keys", "store", "users"):
                _make_private(self.directory / name)
            self.renewed_keys = self._make_keys() and known
            self._make_login_keys()
        except BlockingIOError as error:
            raise StateUnusable(f"cannot use {self.directory}: another metricscluster up runs with it") from error
        except OSError as error:
            raise _unwritable(self.directory, error) from error

    def _belongs_to(self, cluster: str) -> None:
        path = self.directory / "cluster"
        owner = path.read_text(encoding="utf-8", errors="replace").strip() if path.exists() else ""
        if owner and owner != cluster:
            raise StateUnusable(
                f"cannot use {self.directory}: it holds data of cluster {owner}, not of {cluster}; another folder: --directory"
            )
        replace(path, cluster.encode() + b"\n")

    def _make_keys(self) -> bool:
        """A pair and tokens where there is none that fits; what is there stays, so that tokens go on being valid.

        Whether the pair is new.
        """
        private = self.directory / "keys" / "private.key"
        new = not (private.exists() and self.public_key.exists())
        if new:
            pair = tokens.new_pair()
            replace(private, pair[0].encode() + b"\n")
            replace(self.public_key, pair[1].encode() + b"\n")
        try:
            key = tokens.public_key(self.public_key.read_text(encoding="ascii"))
            for path, subject, role in ((self.token, "admin", "admin"), (self.agent_token, "agent", "writer")):
                if not self._is_valid(path, key):
                    secret = private.read_text(encoding="ascii").strip()
                    replace(path, tokens.sign(secret, subject, [role], issued=int(self._now())).encode() + b"\n")
        except (SettingsError, ValueError) as error:
            raise StateUnusable(f"cannot use {private.parent}: no Ed25519 pair in it; remove it to have a new one") from error
        return new

    def _make_login_keys(self) -> None:
        """A pair for the login where there is none."""
        if not (self.login_key.exists() and self.login_public_key.exists()):
            for path, text in zip((self.login_key, self.login_public_key), tokens.new_login_pair(), strict=True):
                replace(path, text.encode())

    def _is_valid(self, path: Path, key: Ed25519PublicKey) -> bool:
        try:
            tokens.verify(path.read_text(encoding="ascii").strip(), [key], self._now())
        except (FileNotFoundError, UnicodeError, InvalidToken):
            return False
        return True


def _make_private(directory: Path) -> None:
    """Make the folder, or take from others what they may do there. StateUnusable: it is not ours to close."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        mode = stat.S_IMODE(found.st_mode)
        if not mode & 0o077:
            return
        if found.st_uid != os.geteuid():
            raise StateUnusable(
                f"cannot use {directory}: it is open to others (mode {mode:04o}) and belongs to somebody else; "
                "another folder: --directory"
            )
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


def _unwritable(directory: Path, error: OSError) -> StateUnusable:
    return StateUnusable(f"cannot write {directory}: {error.strerror}; another folder: --directory")
