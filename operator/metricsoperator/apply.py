"""The only code that talks to the API server: reading, server-side apply, deleting.

Requests run in a small pool of threads, so that the event loop never waits for one. Errors say what to do: `Retry` (later, by
itself) or `Refused` (something has to change first). Each is sent once: who waits to send it again would hold up others, and
the work list comes back to a MetricsCluster when it is time.
"""

import asyncio
import os
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from metricsoperator import names
from metricsoperator.kinds import KINDS
from metricsoperator.objects import Away, Keep, Manifest, Refused, Retry, everything
from metricsoperator.yamltext import yaml_text
from metricwire.errors import SettingsError
from metricwire.trust import as_others_check

REQUEST_SECONDS = (5.0, 20.0)  # to connect, to answer
APPLY = "application/apply-patch+yaml"
THREADS = 66  # one for each turn of a work list and each lister; they begin when they are needed
PAGE = 8  # objects of a list that are asked for at once: each may have 1.5 MB, and anybody may label his like ours
PODS_PAGE = 250  # a part may have thousands
_PASSING = frozenset({0, 409, 410, 429, 500, 502, 503, 504})  # 410: of a list that took too long


class Answer(msgspec.Struct, frozen=True):
    """What came back: the HTTP status (0: nothing did) and the body, or the cause."""

    status: int
    body: bytes


class _Listed(msgspec.Struct, rename={"next": "continue"}):
    next: str = ""


class _Page(msgspec.Struct):
    items: list[msgspec.Raw] | None = None  # each decoded by itself: together they may take ten times the text
    metadata: _Listed = msgspec.field(default_factory=_Listed)


Count = Callable[[str, int], None]
"""Takes the verb and the HTTP status of each request."""

Send = Callable[[str, str, Manifest | None, dict[str, Any]], Answer]
"""(method, path, body, parameters) -> answer; blocks, raises nothing that a network can cause."""


class Cluster:
    """Objects over HTTP."""

    def __init__(self, send: Send, *, count: Count = lambda *_: None) -> None:
        self._send = send
        self._count = count
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="api")

    async def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """See Objects."""
        body = await self._ask("get", KINDS[kind].path(namespace, name), missing=True)
        return _object(body) if body else None

    async def list(self, kind: str, namespace: str, labels: str, fields: str = "", keep: Keep = everything) -> list[Manifest]:
        """See Objects. Items of a list do not say what they are; here they do."""
        how: dict[str, Any] = {"label_selector": labels, "limit": PODS_PAGE if kind == "Pod" else PAGE} | (
            {"field_selector": fields} if fields else {}
        )
        what, found = {"apiVersion": KINDS[kind].api_version, "kind": kind}, []
        while True:
            page = msgspec.json.decode(await self._ask("list", KINDS[kind].path(namespace), how=how), type=_Page)
            kept = (keep(what | msgspec.json.decode(raw)) for raw in page.items or ())
            found += [item for item in kept if item is not None]
            if not page.metadata.next:
                return found
            how = how | {"_continue": page.metadata.next}

    async def served(self, group: str, version: str) -> frozenset[str]:
        """See Objects."""
        body = await self._ask("get", f"/apis/{group}/{version}", missing=True)
        return frozenset(item["name"] for item in _object(body)["resources"]) if body else frozenset()

    async def create(self, manifest: Manifest) -> Manifest:
        """See Objects."""
        path = KINDS[manifest["kind"]].path(manifest.get("metadata", {}).get("namespace", ""))
        return _object(await self._ask("create", path, manifest, {"field_manager": names.FIELD_MANAGER}))

    async def apply(self, manifest: Manifest, subresource: str = "") -> Manifest:
        """See Objects."""
        about = manifest["metadata"]
        path = KINDS[manifest["kind"]].path(about.get("namespace", ""), about["name"], subresource)
        how = {
            "content_type": APPLY,
            "field_manager": names.FIELD_MANAGER,
            "force_conflicts": True,
        }
        return _object(await self._ask("apply", path, manifest, how))

    async def merge(self, kind: str, namespace: str, name: str, change: Manifest) -> Manifest:
        """See Objects."""
        how = {"content_type": "application/merge-patch+json", "field_manager": names.FIELD_MANAGER}
        return _object(await self._ask("merge", KINDS[kind].path(namespace, name), change, how))

    async def delete(self, manifest: Manifest, *, orphan: bool = False) -> None:
        """See Objects. Background: deleting never waits for dependents."""
        about = manifest["metadata"]
        options = {"propagationPolicy": "Orphan" if orphan else "Background", "preconditions": {"uid": about["uid"]}}
        path = KINDS[manifest["kind"]].path(about.get("namespace", ""), about["name"])
        await self._ask("delete", path, options, missing=True)

    async def _ask(
        self, verb: str, path: str, body: Manifest | None = None, how: dict[str, Any] | None = None, *, missing: bool = False
    ) -> bytes:
        """The answer; nothing for 404 where `missing` is fine."""
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._threads, self._send, _METHODS[verb], path, body, how or {})
        self._count(verb, answer.status)
        if 200 <= answer.status < 300:
            return answer.body
        if answer.status == 404 and missing:
            return b""
        text = f"cannot {verb} {path}: {_cause(answer)}"
        if answer.status not in _PASSING or (answer.status == 409 and verb == "create"):  # there is one already
            raise Refused(text, answer.status)
        raise (Retry if answer.status else Away)(text)


_METHODS = {"get": "get", "list": "get", "create": "post", "apply": "patch", "merge": "patch", "delete": "delete"}


def _object(body: bytes) -> Manifest:
    found: Manifest = msgspec.json.decode(body)
    return found


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
