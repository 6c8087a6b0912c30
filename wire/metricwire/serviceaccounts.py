"""Kubernetes ServiceAccount tokens, checked with the API server's published keys: no request to it per token.

How the API server is asked, and what time it is, are the caller's: store and agent use different HTTP clients.
"""

import asyncio
import logging
import math
from collections.abc import Callable

from metricwire.apiserver import ApiServer, NotAnswered
from metricwire.errors import BadInput, InvalidToken, Unavailable
from metricwire.tokens import REFUSED, Claims, KubernetesKeys, key_id, kubernetes_keys, verify_service_account

REFRESH = 8.0  # seconds that fetched keys count; a removed one is dead by then
RETRY = 4.0  # seconds between two attempts, also when a token names a key we do not have
CONFIGURATION, KEYS = "/.well-known/openid-configuration", "/openid/v1/jwks"


class ClusterKeys:
    """The keys, fetched when first needed, again after REFRESH, and when a token names an unknown one.

    `steady` is a clock that never jumps: the wall clock judges a token's times, and nothing else.
    """

    def __init__(self, server: ApiServer, audience: str, steady: Callable[[], float], logger: logging.Logger) -> None:
        self._server, self._audience, self._steady, self._logger = server, audience, steady, logger
        self._trust: KubernetesKeys | None = None
        self._fetched = self._tried = -math.inf
        self._fetching: asyncio.Task[None] | None = None
        self.version = 0  # another one when the keys have been fetched again

    @property
    def fresh(self) -> bool:
        """Whether the fetched keys count, and with them what was checked by them, without asking again."""
        return self._steady() <= self._fetched + REFRESH

    async def verify(self, token: str, now: float) -> Claims:
        """The claims of a token of this cluster, made for our audience and valid at `now` (seconds of the wall clock).

        InvalidToken otherwise; Unavailable while there have never been keys to check it by.
        """
        name = key_id(token)
        if not name:
            raise InvalidToken(REFUSED)
        if self._trust is None or (not self.fresh and self._fetching is None):  # while one asks, others use what is at hand
            await self._refresh()
        if self._trust is not None and name not in self._trust.keys:
            await self._refresh()
        if self._trust is None:
            raise Unavailable("cannot check the token: the API server's keys could not be read yet", int(RETRY))
        return verify_service_account(token, self._trust, now)

    async def _refresh(self) -> None:
        """Fetch the keys, at most once per RETRY; all who wait share it, and whoever goes away does not end it."""
        if self._fetching is None:
            if self._steady() - self._tried < RETRY:
                return
            self._fetching = asyncio.create_task(self._fetch())
        await asyncio.shield(self._fetching)

    async def _fetch(self) -> None:
        """On failure the keys at hand go on counting."""
        try:
            self._trust, wrong = kubernetes_keys(
                await self._server.ask(CONFIGURATION), await self._server.ask(KEYS), self._audience
            )
        except (NotAnswered, BadInput) as error:
            self._logger.warning("cannot read the API server's keys: %s", error)
            return
        finally:
            self._tried, self._fetching = self._steady(), None
        for reason in wrong:
            self._logger.warning("one of the API server's keys is left out: %s", reason)
        if not self.version:
            self._logger.info("ServiceAccount tokens are accepted: the API server's keys are read")
        self._fetched = self._steady()
        self.version += 1
