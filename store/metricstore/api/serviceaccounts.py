"""Kubernetes ServiceAccount tokens, checked with the API server's published keys: no request to it per token."""

import asyncio
import http.client
import json
import logging
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt

from metricstore.settings import Kubernetes
from metricwire.errors import InvalidToken
from metricwire.tokens import Claims, KubernetesKeys, verify_service_account

logger = logging.getLogger(__name__)

REFRESH = 8.0  # seconds that fetched keys count; a removed one is dead by then
RETRY = 4.0  # seconds between two attempts, also when a token names a key we do not have
ANSWER_MAX = 1024**2  # bytes of an answer that is read


class ClusterKeys:
    """The keys, fetched when first needed, again after REFRESH, and when a token names an unknown one."""

    def __init__(self, settings: Kubernetes, clock: Callable[[], float] = time.time) -> None:
        self.agents = settings.agents
        self._settings, self._clock = settings, clock
        self._trust: KubernetesKeys | None = None
        self._fetched = self._tried = 0.0
        self.version = 0
        self._lock = asyncio.Lock()

    @property
    def until(self) -> float:
        """Until when the fetched keys count, and with them what was checked by them (seconds)."""
        return self._fetched + REFRESH

    async def verify(self, token: str) -> Claims:
        """The claims of a token of this cluster, made for our audience; InvalidToken otherwise."""
        now = self._clock()
        if self._trust is None or (now > self.until and not self._lock.locked()):  # while one asks, others use what is at hand
            await self._refresh()
        try:
            return self._verified(token)
        except InvalidToken:
            if not self._names_unknown_key(token):
                raise
            await self._refresh()
            return self._verified(token)

    def _verified(self, token: str) -> Claims:
        if self._trust is None:
            raise InvalidToken("cannot check the token: the API server's keys could not be read yet")
        return verify_service_account(token, self._trust, self._clock())

    def _names_unknown_key(self, token: str) -> bool:
        try:
            key = jwt.get_unverified_header(token).get("kid")
        except jwt.InvalidTokenError:
            return False
        return isinstance(key, str) and self._trust is not None and key not in self._trust.keys

    async def _refresh(self) -> None:
        """Fetch the keys, at most once per RETRY; on failure the ones at hand go on counting."""
        async with self._lock:
            if self._clock() - self._tried < RETRY:
                return
            self._tried = self._clock()
            try:
                self._trust = await asyncio.to_thread(self._fetch)
            except (OSError, urllib.error.URLError, http.client.HTTPException, ValueError, KeyError, jwt.PyJWTError) as error:
                logger.warning("cannot read the API server's keys from %s: %s", self._settings.url, error)
            else:
                if not self._fetched:
                    logger.info("ServiceAccount tokens are accepted: keys read from %s", self._settings.url)
                self._fetched = self._clock()
                self.version += 1

    def _fetch(self) -> KubernetesKeys:
        issuer = self._get("/.well-known/openid-configuration")["issuer"]
        keys = {}
        for found in self._get("/openid/v1/jwks")["keys"]:
            try:
                key = jwt.PyJWK(found)
            except jwt.PyJWTError as error:
                logger.warning("one of the API server's keys is left out: %s", error)
                continue
            if key.key_id:
                keys[key.key_id] = key
        return KubernetesKeys(keys, issuer, self._settings.audience)

    def _get(self, path: str) -> dict[str, Any]:
        token = Path(self._settings.token_file).read_text().strip()
        context = ssl.create_default_context(cafile=self._settings.ca_file)
        # Since 3.13 Python asks of an authority's certificate what many clusters' own lack (kubernetes-client/python#2394).
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        request = urllib.request.Request(self._settings.url + path, headers={"Authorization": f"Bearer {token}"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:  # noqa: S310 - the API server's URL
            found: dict[str, Any] = json.loads(answer.read(ANSWER_MAX))
        return found
