"""Who may do what (design.md section 6): every route names what it needs, and nothing is open by omission."""

import enum
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from metricwire.errors import Forbidden, InvalidToken, SettingsError
from metricwire.tokens import Claims, is_published, public_key, verify

logger = logging.getLogger(__name__)

CACHE_MAX = 4096  # tokens whose check is remembered
REREAD = 5.0  # seconds after which key files are looked at again: a removed key is dead in 10 s


class Permission(enum.Enum):
    """What a route needs. PUBLIC must be said like the others."""

    PUBLIC = "public"
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


WORDS = {Permission.READ: "read", Permission.WRITE: "write", Permission.ADMIN: "do what needs the role admin"}


class Caller(NamedTuple):
    """Who asks. `node`, where set, is the one host the caller may write."""

    subject: str
    node: str | None = None


ANYBODY = Caller("anybody")


class ServiceAccounts(Protocol):
    """Checks Kubernetes ServiceAccount tokens."""

    agents: str

    @property
    def until(self) -> float:
        """Until when what was checked may be taken for checked (seconds); over at once when the keys change."""
        ...

    @property
    def version(self) -> int:
        """Another one when the keys have changed."""
        ...

    async def verify(self, token: str) -> Claims:
        """The claims; InvalidToken otherwise."""
        ...


class KeyRing:
    """The Ed25519 keys that count now: one from the settings, the others from files that may change.

    The key that everybody has (`metricwire.tokens.PUBLISHED_KEY`) counts with `dev` only: SettingsError if it is in the
    settings, left out if it is in a file.
    """

    def __init__(
        self, fixed: str, files: Sequence[str], clock: Callable[[], float] = time.monotonic, *, dev: bool = False
    ) -> None:
        self._fixed = [public_key(fixed)] if fixed else []
        self._dev = dev
        if not all(map(self._may_count, self._fixed)):
            raise SettingsError(
                "cannot start with the key of cc-metric-store's documentation, which everybody has; --dev allows it"
            )
        self._paths = [Path(file) for file in files]
        self._clock = clock
        self._texts: dict[Path, str] = {}
        self._keys: list[Ed25519PublicKey] = []
        self._read_at = -REREAD
        self.version = 0

    def keys(self) -> list[Ed25519PublicKey]:
        """The keys; `version` changes with them."""
        if self._paths and self._clock() - self._read_at >= REREAD:
            self._read_at = self._clock()
            texts = {path: text for path in self._paths if (text := self._text(path))}
            if texts != self._texts:
                self._texts, self._keys = texts, self._usable(texts)
                if self.version:
                    logger.info("the keys for tokens changed: %d of them come from files now", len(self._keys))
                self.version += 1
        return self._fixed + self._keys

    def _may_count(self, key: Ed25519PublicKey) -> bool:
        return self._dev or not is_published(key)

    def _text(self, path: Path) -> str:
        try:
            return path.read_text(errors="replace").strip()
        except OSError as error:
            if self._texts or self.version == 0:
                logger.warning("cannot read key file %s: %s", path, error.strerror)
            return ""

    def _usable(self, texts: Mapping[Path, str]) -> list[Ed25519PublicKey]:
        keys = []
        for path, text in texts.items():
            try:
                key = public_key(text)
            except SettingsError as error:
                logger.warning("key file %s is left out: %s", path, error)
                continue
            if self._may_count(key):
                keys.append(key)
            else:
                logger.warning("key file %s is left out: everybody has this key; --dev allows it", path)
        return keys


class Gate:
    """Lets callers through to what they may do. Without keys, only with `open_to_all`."""

    def __init__(
        self,
        ring: KeyRing,
        *,
        service_accounts: ServiceAccounts | None = None,
        strict_roles: bool = False,
        expiring: bool = False,
        open_to_all: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ring, self._service_accounts, self._clock = ring, service_accounts, clock
        self._strict, self._expiring, self._open = strict_roles, expiring, open_to_all
        self._checked: dict[str, tuple[Claims, float]] = {}  # by token, with the time until which that counts
        self._version = (0, 0)

    async def admit(self, authorization: str | None, needed: Permission) -> Caller:
        """Who asks. InvalidToken without a valid token, Forbidden when it does not permit what is needed."""
        if needed is Permission.PUBLIC or self._open:
            return ANYBODY
        claims = await self._claims(bearer(authorization))
        if self._service_accounts and claims.subject == self._service_accounts.agents and claims.node:
            if needed is not Permission.WRITE:
                raise Forbidden(f"cannot {WORDS[needed]}: a node agent's token is for writing")
            return Caller(claims.subject, claims.node)
        if not self._permits(claims, needed):
            raise Forbidden(f"cannot {WORDS[needed]}: the token's roles do not permit it")
        return Caller(claims.subject)

    def _permits(self, claims: Claims, needed: Permission) -> bool:
        if claims.subject.startswith("system:serviceaccount:"):
            return False
        if "admin" in claims.roles or needed is Permission.READ:
            return True
        writes = not self._strict or not claims.roles.isdisjoint({"api", "writer"})
        return needed is Permission.WRITE and writes

    async def _claims(self, token: str) -> Claims:
        keys, now = self._ring.keys(), self._clock()
        version = (self._ring.version, self._service_accounts.version if self._service_accounts else 0)
        if self._version != version:
            self._checked.clear()
            self._version = version
        known = self._checked.get(token)
        if known is not None and now < known[1]:
            return known[0]
        until = math.inf
        try:
            claims = verify(token, keys, now, expiring=self._expiring)
        except InvalidToken:
            if self._service_accounts is None:
                raise
            claims = await self._service_accounts.verify(token)
            until = self._service_accounts.until
        if len(self._checked) >= CACHE_MAX:
            self._checked.clear()
        self._checked[token] = claims, until if claims.expires is None else min(until, claims.expires)
        return claims


def bearer(authorization: str | None) -> str:
    """The token of an Authorization header, as `Bearer <token>` or DC/OS's `token=<token>`. InvalidToken without one."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    if scheme.startswith("token=") and not token:
        return scheme.removeprefix("token=")
    raise InvalidToken("cannot see who is asking: send the header Authorization: Bearer <token>")
