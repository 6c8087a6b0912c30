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
from metricsoperator.objects import Away, Manifest, Refused, Retry
from metricsoperator.tls import as_others_check
from metricsoperator.yamltext import yaml_text
from metricwire.errors import SettingsError

REQUEST_SECONDS = (5.0, 20.0)  # to connect, to answer
ATTEMPTS = 5
APPLY = "application/apply-patch+yaml"
THREADS = 4
_RETRIED = frozenset({409, 429, 500, 502, 503, 504})


class Answer(msgspec.Struct, frozen=True):
    """What came back: the HTTP status (0: nothing did) and the body, or the cause."""

    status: int
    body: bytes


Count = Callable[[str, int], None]
"""Takes the verb and the HTTP status of each request."""

Send = Callable[[str, str, Manifest | None, dict[str, Any]], Answer]
"""(method, path, body, parameters) -> answer; blocks, raises nothing that a network can cause."""


class Cluster:
    """Objects over HTTP."""

    def __init__(
        self,
        send: Send,
        *,
        attempts: int = ATTEMPTS,
        jitter: Callable[[], float] = random.random,
        count: Count = lambda *_: None,
    ) -> None:
        self._send = send
        self._count = count
        self._attempts = attempts
        self._jitter = jitter  # 0..1
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="api")

    async def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """See Objects."""
        return await self._ask("get", KINDS[kind].path(namespace, name), missing=True)

    async def list(self, kind: str, namespace: str, labels: str, fields: str = "") -> list[Manifest]:
        """See Objects. Items of a list do not say what they are; here they do."""
        how = {"label_selector": labels} | ({"field_selector": fields} if fields else {})
        found = await self._ask("list", KINDS[kind].path(namespace), how=how)
        assert found is not None
        return [{"apiVersion": KINDS[kind].api_version, "kind": kind} | item for item in found.get("items", [])]

    async def served(self, group: str, version: str) -> frozenset[str]:
        """See Objects."""
        found = await self._ask("get", f"/apis/{group}/{version}", missing=True)
        return frozenset(item["name"] for item in (found or {}).get("resources", []))

    async def create(self, manifest: Manifest) -> Manifest:
        """See Objects."""
        path = KINDS[manifest["kind"]].path(manifest.get("metadata", {}).get("namespace", ""))
        made = await self._ask("create", path, manifest, {"field_manager": names.FIELD_MANAGER})
        assert made is not None
        return made

    async def apply(self, manifest: Manifest, subresource: str = "") -> Manifest:
        """See Objects."""
        about = manifest["metadata"]
        path = KINDS[manifest["kind"]].path(about.get("namespace", ""), about["name"], subresource)
        how = {
            "content_type": APPLY,
            "field_manager": names.FIELD_MANAGER,
            "force_conflicts": True,
        }
        made = await self._ask("apply", path, manifest, how)
        assert made is not None
        return made

    async def merge(self, kind: str, namespace: str, name: str, change: Manifest) -> Manifest:
        """See Objects."""
        how = {"content_type": "application/merge-patch+json", "field_manager": names.FIELD_MANAGER}
        made = await self._ask("merge", KINDS[kind].path(namespace, name), change, how)
        assert made is not None
        return made

    async def delete(self, manifest: Manifest, *, orphan: bool = False) -> None:
        """See Objects. Background: deleting never waits for dependents."""
        about = manifest["metadata"]
        options = {"propagationPolicy": "Orphan" if orphan else "Background", "preconditions": {"uid": about["uid"]}}
        path = KINDS[manifest["kind"]].path(about.get("namespace", ""), about["name"])
        await self._ask("delete", path, options, missing=True)

    async def _ask(
        self, verb: str, path: str, body: Manifest | None = None, how: dict[str, Any] | None = None, *, missing: bool = False
    ) -> Manifest | None:
        """The decoded answer; None for 404 where `missing` is fine."""
        loop = asyncio.get_running_loop()
        for attempt in range(self._attempts):
            answer = await loop.run_in_executor(self._threads, self._send, _METHODS[verb], path, body, how or {})
            self._count(verb, answer.status)
            if 200 <= answer.status < 300:
                found: Manifest = msgspec.json.decode(answer.body)
                return found
            if answer.status == 404 and missing:
                return None
            if answer.status == 409 and verb == "merge":
                break  # the same change of the same version is refused again
            if not _worth_retrying(answer, verb):
                raise Refused(f"cannot {verb} {path}: {_cause(answer)}", answer.status)
            if attempt < self._attempts - 1:
                await asyncio.sleep((0.5 + self._jitter()) * 0.2 * 2**attempt)
        kind = Retry if answer.status else Away
        raise kind(f"cannot {verb} {path} after {attempt + 1} attempts: {_cause(answer)}")


_METHODS = {"get": "get", "list": "get", "create": "post", "apply": "patch", "merge": "patch", "delete": "delete"}


def _worth_retrying(answer: Answer, verb: str) -> bool:
    if answer.status == 409 and verb == "create":
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
        content = yaml_text(body).encode() if how.get("content_type") == APPLY else body
        try:
            answer = caller.request(method, path, body=content, serialize=False, _request_timeout=REQUEST_SECONDS, **how)
        except client.ApiException as error:
            return Answer(error.status or 0, (error.body or error.reason or "").encode())
        except (HTTPError, OSError) as error:
            return Answer(0, str(error).encode())
        return Answer(answer.status, answer.data)

    return send
