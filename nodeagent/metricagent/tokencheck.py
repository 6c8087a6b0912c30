"""What tokens say: who is asking this node, and whether they may (design.md section 6).

ClusterCockpit's tokens whatever their role, as cc-metric-store lets any valid one read; those of DC/OS' login by their
permissions; ServiceAccounts as RBAC says.

Keys are in files and read again when they change; nothing here needs the store.
"""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from metricagent.keyfiles import check_key, read_key
from metricwire import tokens
from metricwire.errors import Forbidden, InvalidToken
from metricwire.reviews import Reviews
from metricwire.serviceaccounts import ClusterKeys
from metricwire.watched import Watched

BY_NAME = "/system/v1/agent/"  # below it a node is asked by its name, which DC/OS has a permission of its own for

logger = logging.getLogger(__name__)


class Cluster(NamedTuple):
    """The Kubernetes cluster whose ServiceAccount tokens count."""

    keys: ClusterKeys
    reviews: Reviews


class TokenCheck:
    """Checks tokens. A key that cannot be used is left out, as the log says.

    `key_files` hold Ed25519 keys, `login_key_files` public halves of the store's login keys; of these some may be missing.
    `expiring`: Ed25519 tokens count only if they say when they end.
    """

    def __init__(
        self,
        key_files: Sequence[str],
        *,
        now: Callable[[], float],
        login_key_files: Sequence[str] = (),
        cluster: Cluster | None = None,
        expiring: bool = False,
    ) -> None:
        self._now, self._cluster, self._expiring = now, cluster, expiring
        self._keys = Watched(lambda: key_files, read=read_key, make=_key, clock=now, logger=logger)
        self._login_keys = Watched(
            lambda: login_key_files, read=read_key, make=lambda _, pem: tokens.login_public_key(pem), clock=now, logger=logger
        )

    def demand(self) -> None:
        """SettingsError when a key of the login cannot be used."""
        self._login_keys.demand(missing_is_fine=True)

    async def identify(self, authorization: Sequence[str]) -> tokens.Claims:
        """Who sent these Authorization headers (all of that name).

        InvalidToken: nobody knows who it is; Unavailable: Kubernetes cannot be asked.
        """
        token = tokens.bearer(authorization[0] if len(authorization) == 1 else None)
        name, login_keys = tokens.key_id(token), {key.id: key for key in self._login_keys.values()}
        if name in login_keys:
            return tokens.verify_login(token, login_keys, self._now())
        try:
            return tokens.verify(token, self._keys.values(), self._now(), expiring=self._expiring)
        except InvalidToken:
            if self._cluster is None:
                raise
            return await self._cluster.keys.verify(token, self._now())

    async def permit(self, claims: tokens.Claims, method: str, path: str) -> None:
        """Return if it may ask this. Forbidden: it may not; Unavailable: Kubernetes cannot be asked."""
        if claims.kind is tokens.Kind.CLUSTERCOCKPIT:
            return
        if claims.kind is tokens.Kind.LOGIN:
            _check_permission(claims, path)
            return
        assert self._cluster is not None, "BUG: a ServiceAccount's token was accepted without a cluster"
        await self._cluster.reviews.permit(claims.subject, method, path)


def _check_permission(claims: tokens.Claims, path: str) -> None:
    """What counts is what the store wrote into the token: users are not known here."""
    needed = tokens.AGENT_METRICS if path.startswith(BY_NAME) else tokens.NODE_METRICS
    if not tokens.opened(claims.permissions, needed):
        raise Forbidden(f"cannot read this: {claims.subject} lacks the permission {needed}")


def _key(_: str, text: bytes) -> Ed25519PublicKey:
    check_key(text)
    return tokens.public_key(text.decode(errors="replace"))
