"""Who may do what (design.md section 6): every route names what it needs, and nothing is open by omission."""

import enum
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from metricstore.api.accounts import Accounts, read_file
from metricwire.errors import Forbidden, InvalidToken, SettingsError
from metricwire.reviews import Reviews
from metricwire.serviceaccounts import ClusterKeys
from metricwire.tokens import (
    REFUSED,
    Claims,
    Kind,
    LoginKey,
    bearer,
    is_published,
    key_id,
    opened,
    public_key,
    verify,
    verify_login,
)
from metricwire.watched import Watched

logger = logging.getLogger(__name__)

CACHE_MAX = 4096  # tokens whose check is remembered


class Permission(enum.Enum):
    """What a route needs. PUBLIC must be said like the others."""

    PUBLIC = "public"
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
    DCOS_NODE = "dcos:adminrouter:ops:system-metrics"  # reading, by DC/OS's name: the node that answers
    DCOS_AGENT = "dcos:adminrouter:system:agent"  # reading, by DC/OS's name: a node asked by its name


READING = {Permission.READ, Permission.DCOS_NODE, Permission.DCOS_AGENT}
WORDS = dict.fromkeys(READING, "read") | {Permission.WRITE: "write", Permission.ADMIN: "do what needs the role admin"}


class Caller(NamedTuple):
    """Who asks. `node`, where set, is the one host the caller may write."""

    subject: str
    node: str | None = None


ANYBODY = Caller("anybody")


class Cluster(NamedTuple):
    """The Kubernetes cluster whose ServiceAccount tokens count; `agents` is the subject of the node agents."""

    keys: ClusterKeys
    reviews: Reviews
    agents: str


class KeyRing:
    """The Ed25519 keys that count now: one from the settings, the others from files that may change.

    The key that everybody has (`metricwire.tokens.PUBLISHED_KEY`) counts with `dev` only: SettingsError if it is in the
    settings, left out if it is in a file.
    """

    def __init__(
        self, fixed: str, files: Sequence[str], clock: Callable[[], float] = time.monotonic, *, dev: bool = False
    ) -> None:
        self._dev = dev
        self._fixed = [self._fixed_key(fixed)] if fixed else []
        self._watched = Watched(lambda: files, read=read_file, make=self._key, clock=clock, logger=logger) if files else None

    def keys(self) -> list[Ed25519PublicKey]:
        """The keys; `version` changes with them."""
        return self._fixed + self._watched.values() if self._watched else self._fixed

    @property
    def version(self) -> int:
        """Another one when the keys have changed."""
        return self._watched.version if self._watched else 0

    def _fixed_key(self, text: str) -> Ed25519PublicKey:
        try:
            return self._key("", text.encode())
        except SettingsError as error:
            raise SettingsError(f"cannot start with main.jwt-public-key: {error}") from error

    def _key(self, _: str, text: bytes) -> Ed25519PublicKey:
        key = public_key(text.decode(errors="replace"))
        if is_published(key) and not self._dev:
            raise SettingsError("it is the key of cc-metric-store's documentation, which everybody has; --dev allows it")
        return key


class Gate:
    """Lets callers through to what they may do. Without keys, only with `open_to_all`."""

    def __init__(
        self,
        ring: KeyRing,
        *,
        cluster: Cluster | None = None,
        accounts: Accounts | None = None,
        strict_roles: bool = False,
        expiring: bool = False,
        open_to_all: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ring, self._cluster, self._accounts, self._clock = ring, cluster, accounts, clock
        self._strict, self._expiring, self._open = strict_roles, expiring, open_to_all
        self._checked: dict[str, Claims] = {}  # by token
        self._version = (0, 0, 0)

    async def admit(self, authorization: str | None, needed: Permission, method: str = "", path: str = "") -> Caller:
        """Who asks. InvalidToken without a valid token, Forbidden when it does not permit what is needed.

        `method` and `path` are of the request: what Kubernetes' RBAC speaks of.
        """
        if needed is Permission.PUBLIC or self._open:
            return ANYBODY
        claims = await self._claims(bearer(authorization))
        if claims.kind is Kind.KUBERNETES:
            return await self._admit_service_account(claims, needed, method, path)
        if claims.kind is Kind.LOGIN:
            await self._check_login(claims, needed)
        elif not self._permits(claims, needed):
            raise Forbidden(f"cannot {WORDS[needed]}: the token's roles do not permit it")
        return Caller(claims.subject)

    async def _admit_service_account(self, claims: Claims, needed: Permission, method: str, path: str) -> Caller:
        """A node agent writes its own host; all others do what RBAC grants them."""
        assert self._cluster is not None, "BUG: a ServiceAccount token without a cluster to check it"
        if claims.subject == self._cluster.agents and claims.node:
            if needed is not Permission.WRITE:
                raise Forbidden(f"cannot {WORDS[needed]}: a node agent's token is for writing")
            return Caller(claims.subject, claims.node)
        await self._cluster.reviews.permit(claims.subject, method, path)
        return Caller(claims.subject)

    async def _check_login(self, claims: Claims, needed: Permission) -> None:
        """What counts is what the user may do now, not when the token was issued."""
        assert self._accounts is not None, "BUG: a login's token without accounts to check it"
        await self._accounts.look()
        user = self._accounts.user(claims.subject)
        if user is None:
            raise InvalidToken(REFUSED)
        if needed not in (Permission.DCOS_NODE, Permission.DCOS_AGENT):
            raise Forbidden(f"cannot {WORDS[needed]}: a login opens /system/v1/ alone")
        if not opened(user.permissions, needed.value):
            raise Forbidden(f"cannot {WORDS[needed]}: {user.uid} lacks the permission {needed.value}")

    def _permits(self, claims: Claims, needed: Permission) -> bool:
        if "admin" in claims.roles or needed in READING:
            return True
        writes = not self._strict or not claims.roles.isdisjoint({"api", "writer"})
        return needed is Permission.WRITE and writes

    async def _claims(self, token: str) -> Claims:
        keys, now = self._ring.keys(), self._clock()
        login_keys = self._accounts.keys() if self._accounts else {}
        version = (
            self._ring.version,
            self._accounts.version if self._accounts else 0,
            self._cluster.keys.version if self._cluster else 0,
        )
        if self._version != version:
            self._checked.clear()
            self._version = version
        known = self._checked.get(token)
        if known is not None and self._counts(known, now):
            return known
        claims = await self._verified(token, keys, login_keys, now)
        if len(self._checked) >= CACHE_MAX:
            self._checked.clear()
        self._checked[token] = claims
        return claims

    def _counts(self, claims: Claims, now: float) -> bool:
        """Whether what was checked holds still."""
        if claims.expires is not None and now >= claims.expires:
            return False
        return claims.kind is not Kind.KUBERNETES or (self._cluster is not None and self._cluster.keys.fresh)

    async def _verified(
        self, token: str, keys: Sequence[Ed25519PublicKey], login_keys: Mapping[str, LoginKey], now: float
    ) -> Claims:
        """The claims. The key that a token names says whose it is."""
        if key_id(token) in login_keys:
            return verify_login(token, login_keys, now)
        try:
            return verify(token, keys, now, expiring=self._expiring)
        except InvalidToken:
            if self._cluster is None:
                raise
        return await self._cluster.keys.verify(token, now)
