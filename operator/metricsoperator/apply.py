"""The only code that talks to the API server: reading, server-side apply, deleting, with bounded retries.

Requests run in a small pool of threads, so that the event loop never waits for one. Errors say what to do: `Retry` (later, by
itself) or `Refused` (something has to change first).
"""

import asyncio
import os
import random
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from metricsoperator import names
from metricsoperator.kinds import KINDS
from metricsoperator.objects import Manifest, Refused, Retry
from metricsoperator.tls import as_others_check
from metricwire.errors import SettingsError

REQUEST_SECONDS = (5.0, 20.0)  # to connect, to answer
ATTEMPTS = 5
THREADS = 4
_RETRIED = frozenset({409, 429, 500, 502, 503, 504})


class Answer(msgspec.Struct, frozen=True):
    """What came back: the HTTP status (0: nothing did) and the body, or the cause."""

    status: int
    body: bytes


Send = Callable[[str, str, Manifest | None, dict[str, Any]], Answer]
"""(method, path, body, parameters) -> answer; blocks, raises nothing that a network can cause."""


class Cluster:
    """Objects over HTTP."""

    def __init__(self, send: Send, *, attempts: int = ATTEMPTS, jitter: Callable[[], float] = random.random) -> None:
        self._send = send
        self._attempts = attempts
        self._jitter = jitter  # 0..1
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="api")

    async def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """See Objects."""
        return await self._ask("get", KINDS[kind].path(namespace, name), missing=True)

    async def list(self, kind: str, namespace: str, labels: str) -> list[Manifest]:
        """See Objects. Items of a list do not say what they are; here they do."""
        found = await self._ask("get", KINDS[kind].path(namespace), how={"label_selector": labels})
        assert found is not None
        return [{"apiVersion": KINDS[kind].api_version, "kind": kind} | item for item in found.get("items", [])]

    async def create(self, manifest: Manifest) -> Manifest:
        """See Objects."""
        path = KINDS[manifest["kind"]].path(manifest.get("metadata", {}).get("namespace", ""))
        made = await self._ask("post", path, manifest, {"field_manager": names.FIELD_MANAGER})
        assert made is not None
        return made

    async def apply(self, manifest: Manifest, subresource: str = "") -> Manifest:
        """See Objects."""
        about = manifest["metadata"]
        path = KINDS[manifest["kind"]].path(about.get("namespace", ""), about["name"], subresource)
        how = {
            "content_type": "application/apply-patch+yaml",
            "field_manager": names.FIELD_MANAGER,
            "force_conflicts": True,
        }
        made = await self._ask("patch", path, manifest, how)
        assert made is not None
        return made

    async def delete(self, manifest: Manifest) -> None:
        """See Objects. Background: deleting never waits for dependents."""
        about = manifest["metadata"]
        options = {"propagationPolicy": "Background", "preconditions": {"uid": about["uid"]}}
        path = KINDS[manifest["kind"]].path(about.get("namespace", ""), about["name"])
        await self._ask("delete", path, options, missing=True)

    async def _ask(
        self, method: str, path: str, body: Manifest | None = None, how: dict[str, Any] | None = None, *, missing: bool = False
    ) -> Manifest | None:
        """The decoded answer; None for 404 where `missing` is fine."""
        loop = asyncio.get_running_loop()
        for attempt in range(self._attempts):
            answer = await loop.run_in_executor(self._threads, self._send, method, path, body, how or {})
            if 200 <= answer.status < 300:
                found: Manifest = msgspec.json.decode(answer.body)
                return found
            if answer.status == 404 and missing:
                return None
            if not _worth_retrying(answer, method):
                raise Refused(f"cannot {method} {path}: {_cause(answer)}", answer.status)
            if attempt < self._attempts - 1:
                await asyncio.sleep((0.5 + self._jitter()) * 0.2 * 2**attempt)
        raise Retry(f"cannot {method} {path} after {self._attempts} attempts: {_cause(answer)}")


def _worth_retrying(answer: Answer, method: str) -> bool:
    if answer.status == 409 and method == "post":
        return False  # there is one already
    return answer.status == 0 or answer.status in _RETRIED


def _cause(answer: Answer) -> str:
    """The message of a Kubernetes Status, or what there is."""
    try:
        found = msgspec.json.decode(answer.body)
        return str(found["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"{answer.status or 'no answer'} {answer.body[:200].decode(errors='replace')}".strip()


def connect() -> Send:
    """A sender for the cluster that this pod runs in, or that the kubeconfig names. SettingsError when there is neither."""
    # Imported late: no other module, no test and no `make generate` shall pay for it.
    from kubernetes import client, config, dynamic  # noqa: PLC0415
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    configuration = client.Configuration()
    load = config.load_incluster_config if "KUBERNETES_SERVICE_HOST" in os.environ else config.load_kube_config
    try:
        load(client_configuration=configuration)
    except config.ConfigException as error:
        raise SettingsError(f"cannot find an API server: {error}") from error
    configuration.retries = False
    configuration.connection_pool_maxsize = THREADS
    transport = client.ApiClient(configuration)
    transport.rest_client.pool_manager.connection_pool_kw["ssl_context"] = as_others_check(ssl.create_default_context())
    # Paths are known (metricsoperator.kinds): nothing is discovered, no cache file is written.
    caller = dynamic.DynamicClient(transport, discoverer=lambda *_: None)  # type: ignore[no-untyped-call]

    def send(method: str, path: str, body: Manifest | None, how: dict[str, Any]) -> Answer:
        try:
            answer = caller.request(method, path, body=body, serialize=False, _request_timeout=REQUEST_SECONDS, **how)
        except client.ApiException as error:
            return Answer(error.status or 0, (error.body or error.reason or "").encode())
        except (HTTPError, OSError) as error:
            return Answer(0, str(error).encode())
        return Answer(answer.status, answer.data)

    return send
