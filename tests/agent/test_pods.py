"""Which pods the agent knows: objects as the API has them, what is known how long, list and watch of a stand-in server."""

import asyncio
import json
import random
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from metricagent import podwatch
from metricagent.pod import Pod, PodContainer
from metricagent.podobject import Described, PodObject, describe
from metricagent.pods import ENDED_KEPT, UNHEARD_KEPT, Pods
from metricagent.podwatch import Patience, PodWatch
from metricagent.scrape import Failed, address

A, B, C = "a1" * 32, "b2" * 32, "c3" * 32
CREATED = "2026-01-31T12:00:00Z"  # minute 29,497,680 since 1970


def an_object(name: str = "web-7d4b9-x2x", *, container: str = A, ip: str = "10.0.0.5", **metadata: Any) -> dict[str, Any]:
    """A Pod with much that is of no interest."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-{name}",
            "resourceVersion": "7",
            "creationTimestamp": CREATED,
            "labels": {"app.kubernetes.io/name": "web", "pod-template-hash": "7d4b9", "secret": "x"},
            "annotations": {"prometheus.io/scrape": "true", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}],
            **metadata,
        },
        "spec": {
            "nodeName": "n1",
            "initContainers": [{"name": "init", "image": "i"}],
            "containers": [
                {"name": "app", "image": "i", "resources": {"limits": {"cpu": "1", "ephemeral-storage": "2Gi"}}},
                {"name": "side", "resources": {}},
            ],
        },
        "status": {
            "phase": "Running",
            "podIP": ip,
            "podIPs": [{"ip": ip}, {"ip": f"fd00::{ip.rpartition('.')[2]}"}],
            "initContainerStatuses": [{"name": "init", "containerID": f"containerd://{'e5' * 32}"}],
            "containerStatuses": [
                {"name": "app", "containerID": f"containerd://{container}", "state": {"running": {}}},
                {"name": "side", "containerID": ""},
            ],
            "ephemeralContainerStatuses": [{"name": "debug", "containerID": f"cri-o://{'f6' * 32}"}],
        },
    }


def described(found: dict[str, Any], *labels: str) -> Described:
    return describe(msgspec.json.decode(json.dumps(found), type=PodObject), labels)


def test_an_object() -> None:
    found = described(an_object(), "app.kubernetes.io/name", "absent")
    assert found == Described(
        Pod(
            uid="uid-web-7d4b9-x2x",
            name="web-7d4b9-x2x",
            namespace="shop",
            ip="10.0.0.5",
            host_network=False,
            containers=(
                PodContainer("init", "e5" * 32, init=True),
                PodContainer("app", A),
                PodContainer("side", ""),
                PodContainer("debug", "f6" * 32),
            ),
            labels=(("app.kubernetes.io/name", "web"),),
            annotations=(("prometheus.io/scrape", "true"),),
        ),
        ("10.0.0.5", "fd00::5"),
        {A: 2 * 1024**3},
        ended=False,
    )


def test_an_object_with_next_to_nothing() -> None:
    found = described({"metadata": {"uid": "u", "labels": None, "ownerReferences": None}, "spec": {}, "status": {}})
    assert found == Described(Pod("u", "", "", "", False, ()), (), {}, ended=False)


@pytest.mark.parametrize("limit", ["2Ei5", "", "1e3x", "-1"])
def test_a_limit_that_cannot_be_read_is_none(limit: str) -> None:
    found = an_object()
    found["spec"]["containers"][0]["resources"]["limits"]["ephemeral-storage"] = limit
    assert described(found).storage == {}


@pytest.mark.parametrize(
    ("kind", "name", "labels", "owner"),
    [
        ("ReplicaSet", "web-7d4b9", {"pod-template-hash": "7d4b9"}, ("web", "Deployment")),
        ("ReplicaSet", "my-web-7d4b9-7d4b9", {"pod-template-hash": "7d4b9"}, ("my-web-7d4b9", "Deployment")),
        ("ReplicaSet", "web-7d4b9", {"rollouts-pod-template-hash": "7d4b9"}, ("web", "Rollout")),
        ("ReplicaSet", "web-7d4b9", {}, ("web-7d4b9", "ReplicaSet")),
        ("ReplicaSet", "web-7d4b9", {"pod-template-hash": ""}, ("web-7d4b9", "ReplicaSet")),
        ("ReplicaSet", "web-7d4b9", {"pod-template-hash": "d4b9"}, ("web-7d4b9", "ReplicaSet")),
        ("ReplicaSet", "-7d4b9", {"pod-template-hash": "7d4b9"}, ("-7d4b9", "ReplicaSet")),
        ("Job", "backup-29497679", {}, ("backup", "CronJob")),
        ("Job", "db-backup-1-29497600", {}, ("db-backup-1", "CronJob")),
        ("Job", "backup-20260131", {}, ("backup-20260131", "Job")),  # a day, and no minute near the pod's creation
        ("Job", "backup-1769860800", {}, ("backup-1769860800", "Job")),
        ("Job", "backup", {}, ("backup", "Job")),
        ("StatefulSet", "db", {}, ("db", "StatefulSet")),
        ("Node", "n1", {}, ("n1", "Node")),
    ],
)
def test_the_workload_behind_a_pod(kind: str, name: str, labels: dict[str, str], owner: tuple[str, str]) -> None:
    references = [
        {"kind": "Other", "name": "x"},
        {"apiVersion": "v1", "kind": kind, "name": name, "uid": "u", "controller": True},
    ]
    pod = described(an_object(labels=labels, ownerReferences=references)).pod
    assert (pod.owner, pod.owner_kind) == owner


@pytest.mark.parametrize("name", ["x" * 254, "a\nb", "a\\", "a b", "", "a/b", "\u00e4"])
@pytest.mark.parametrize("kind", ["ReplicaSet", "Job", "Thing"])
def test_what_no_workload_can_be_called_is_none(kind: str, name: str) -> None:
    """Who makes pods writes any text there, of any length, and it would be at each of their series."""
    for reference in ({"kind": kind, "name": name}, {"kind": f"{name}-", "name": kind}):
        pod = described(an_object(ownerReferences=[{**reference, "controller": True}])).pod
        assert (pod.owner, pod.owner_kind) == ("", "")
    pod = described(an_object(ownerReferences=[{"kind": kind, "name": "x" * 253, "controller": True}])).pod
    assert (pod.owner, pod.owner_kind) == ("x" * 253, kind)


@given(st.binary())
def test_ids_of_containers_are_64_digits_or_nothing(data: bytes) -> None:
    found = an_object(container=data.decode("utf-8", "replace"))
    assert all(len(container.id) in (0, 64) for container in described(found).pod.containers)


# What is known


def pods(*names: str, now: float = 0.0) -> Pods:
    found = Pods()
    found.replace([described(an_object(name, container=name[0] * 64, ip=f"10.0.0.{n}")) for n, name in enumerate(names)], now)
    return found


def test_what_a_directory_answers() -> None:
    found = pods("a", "b")
    assert [pod.name for pod in found.all()] == ["a", "b"]
    assert len(found) == 2
    owner = found.by_container("b" * 64)
    assert owner is not None
    assert (owner[0].name, owner[1].name) == ("b", "app")
    assert found.has_container("b" * 64)
    assert found.storage_limit("b" * 64) == 2 * 1024**3
    for ip, name in (("10.0.0.1", "b"), ("fd00::1", "b")):
        pod = found.by_ip(ip)
        assert pod is not None
        assert pod.name == name
    assert found.by_ip("10.0.0.9") is None
    assert found.by_ip("") is None
    assert found.by_container("") is None
    assert found.storage_limit(A) is None


def test_a_pod_on_the_hosts_network_has_no_address_of_its_own() -> None:
    found = an_object()
    found["spec"]["hostNetwork"] = True
    known = Pods()
    known.put(described(found), 0)
    assert known.by_ip("10.0.0.5") is None
    assert known.by_container(A) is not None


def test_an_address_is_its_present_owners() -> None:
    old, new = an_object("old"), an_object("new", container=B)
    old["status"]["phase"] = "Succeeded"
    for order in ((old, new), (new, old)):
        known = Pods()
        for each in order:
            known.put(described(each), 0)
        assert known.by_ip("10.0.0.5") == described(new).pod
    known = Pods()
    known.put(described(an_object("new", container=B)), 0)
    known.remove(described(an_object("old")), 0)
    assert known.by_ip("10.0.0.5") == described(new).pod


def test_an_address_of_two_that_run_is_nobodys() -> None:
    one, two, three = (
        described(an_object(name, container=container)) for name, container in (("one", A), ("two", B), ("three", C))
    )
    known = Pods()
    known.replace([one, two, three], 0)
    assert known.by_ip("10.0.0.5") is None
    assert known.by_ip("fd00::5") is None
    known.remove(three, 1)
    assert known.by_ip("10.0.0.5") is None
    known.remove(one, 1)
    assert known.by_ip("10.0.0.5") == two.pod


def test_what_ended_is_known_a_while_longer() -> None:
    known = pods("a", "b")
    known.remove(described(an_object("a", container="a" * 64, ip="10.0.0.0")), 100)
    known.expire(100 + ENDED_KEPT)
    assert known.has_container("a" * 64)
    assert known.by_ip("10.0.0.0") is None
    known.expire(101 + ENDED_KEPT)
    assert not known.has_container("a" * 64)
    assert [pod.name for pod in known.all()] == ["b"]


def test_what_a_list_no_longer_has_ended_and_may_come_back() -> None:
    known = pods("a", "b")
    known.replace([described(an_object("b", container="b" * 64))], 100)
    assert known.has_container("a" * 64)
    known.put(described(an_object("a", container="a" * 64)), 150)
    known.expire(1000)
    assert known.has_container("a" * 64)
    known.replace([], 1000)
    known.replace([], 1100)
    known.expire(1000 + ENDED_KEPT + 1)
    assert len(known) == 0


def test_an_hour_without_the_api_server() -> None:
    known = pods("a", now=10)
    known.expire(10 + UNHEARD_KEPT)
    assert len(known) == 1
    known.heard(20)
    known.expire(20 + UNHEARD_KEPT)
    assert len(known) == 1
    known.expire(21 + UNHEARD_KEPT)
    assert len(known) == 0
    assert known.by_ip("10.0.0.0") is None


# List and watch


Answer = Callable[[web.Request], Any]


class Server:
    """Lists and watches as an API server does; `script` has other answers to give first, by "list" and "watch"."""

    def __init__(self) -> None:
        self.version = 10
        self.objects: dict[str, dict[str, Any]] = {}
        self.events: list[tuple[int, dict[str, Any]]] = []
        self.script: dict[str, list[Answer]] = {"list": [], "watch": []}
        self.asked: list[tuple[str, dict[str, str], str]] = []
        self.changed = asyncio.Condition()
        self.watching = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        kind = "watch" if request.query.get("watch") == "true" else "list"
        self.asked.append((kind, dict(request.query), request.headers["Authorization"]))
        if self.script[kind]:
            answer: web.StreamResponse = await self.script[kind].pop(0)(request)
            return answer
        return await (self.watch(request) if kind == "watch" else self.list(request))

    async def list(self, request: web.Request) -> web.Response:
        """A page, as large as is asked for."""
        objects = list(self.objects.values())
        start, limit = int(request.query.get("continue", 0)), int(request.query["limit"])
        if start and "resourceVersion" in request.query:
            return web.json_response({"message": "resourceVersion beside continue"}, status=400)
        more = {"continue": str(start + limit)} if start + limit < len(objects) else {}
        metadata = {"resourceVersion": str(self.version), **more}
        return web.json_response({"kind": "PodList", "metadata": metadata, "items": objects[start : start + limit]})

    async def watch(self, request: web.Request) -> web.StreamResponse:
        response = await self.begin(request)
        after = int(request.query["resourceVersion"])
        with suppress(ConnectionError):
            while True:
                for version, event in [each for each in self.events if each[0] > after]:
                    after = version
                    data = json.dumps(event).encode() + b"\n"
                    await response.write(data[:100])  # in pieces, as networks deliver them
                    await response.write(data[100:])
                async with self.changed:
                    self.watching.set()
                    await self.changed.wait()
        return response

    @staticmethod
    async def begin(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        return response

    async def happen(self, type: str, found: dict[str, Any], version: int = 0) -> None:
        self.version = version or self.version + 1
        found = {**found, "metadata": {**found.get("metadata", {}), "resourceVersion": str(self.version)}}
        self.events.append((self.version, {"type": type, "object": found}))
        if type == "DELETED":
            del self.objects[found["metadata"]["uid"]]
        elif type in ("ADDED", "MODIFIED"):
            self.objects[found["metadata"]["uid"]] = found
        async with self.changed:
            self.changed.notify_all()

    def count(self, kind: str) -> int:
        return sum(each[0] == kind for each in self.asked)


class Scene:
    """A server, an agent that follows it, and how the two are brought to an end."""

    def __init__(self, token: Path) -> None:
        self.server = Server()
        self.token = token
        self.registry = CollectorRegistry()
        self.pods = Pods()
        self.waits: list[float] = []
        self.patience = Patience(30, 30, 1)
        self.ca_file = Path("/none")

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0.001)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get("/api/v1/pods", self.server.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.05)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with podwatch.session() as session:
                watch = PodWatch(
                    url=f"http://127.0.0.1:{runner.addresses[0][1]}/",
                    token_file=self.token,
                    ca_file=self.ca_file,
                    node="n1",
                    labels=["app.kubernetes.io/name"],
                    session=session,
                    pods=self.pods,
                    registry=self.registry,
                    chance=random.Random(1),
                    patience=self.patience,
                    sleep=self.sleep,
                )
                following = asyncio.create_task(watch.run())
                try:
                    yield
                finally:
                    following.cancel()
                    with suppress(asyncio.CancelledError):
                        await following
        finally:
            await runner.cleanup()

    def names(self) -> set[str]:
        return {pod.name for pod in self.pods.all()}

    def value(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"metricagent_pods_{name}")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    (tmp_path / "token").write_text("first\n")
    return Scene(tmp_path / "token")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 what is waited for is far away
            await asyncio.sleep(0.002)


def test_a_list_then_what_changes(scene: Scene) -> None:
    async def run() -> None:
        server = scene.server
        await server.happen("ADDED", an_object("a"))
        async with scene.running():
            await until(lambda: scene.names() == {"a"})
            await server.happen("ADDED", an_object("b", container=B))
            await until(lambda: scene.names() == {"a", "b"})
            await server.happen("MODIFIED", an_object("b", container=C))
            await until(lambda: scene.pods.has_container(C))
            assert not scene.pods.has_container(B)
            await server.happen("DELETED", an_object("b", container=C))
            await until(lambda: scene.pods.by_ip("10.0.0.5") == described(an_object("a"), "app.kubernetes.io/name").pod)
            assert (scene.value("known"), scene.value("reached"), scene.value("lists_total")) == (2, 1, 1)
        (listing, watching) = server.asked
        selector = "spec.nodeName=n1,status.phase!=Succeeded,status.phase!=Failed"
        assert listing[:2] == ("list", {"fieldSelector": selector, "resourceVersion": "0", "limit": "50"})
        assert watching[1] == {
            "fieldSelector": selector,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": "11",
            "timeoutSeconds": "30",
        }
        assert listing[2] == "Bearer first"

    asyncio.run(run())


def test_a_list_is_taken_in_pages(scene: Scene) -> None:
    async def run() -> None:
        for n in range(120):
            await scene.server.happen("ADDED", an_object(f"p{n}", container=f"{n:064x}"))
        async with scene.running():
            await until(lambda: scene.server.count("watch") == 1)
            assert scene.names() == {f"p{n}" for n in range(120)}
            assert scene.value("lists_total") == 1
        lists = [query for kind, query, _ in scene.server.asked if kind == "list"]
        assert [query.get("continue") for query in lists] == [None, "50", "100"]

    asyncio.run(run())


def test_a_list_whose_next_page_is_gone_is_begun_again(scene: Scene) -> None:
    async def run() -> None:
        for n in range(60):
            await scene.server.happen("ADDED", an_object(f"p{n}", container=f"{n:064x}"))
        scene.server.script["list"] += [scene.server.list, status(410)]
        async with scene.running():
            await until(lambda: len(scene.names()) == 60)
        lists = [query for kind, query, _ in scene.server.asked if kind == "list"]
        assert [query.get("resourceVersion") for query in lists] == ["0", None, None, None]
        assert [query.get("continue") for query in lists] == [None, "50", None, "50"]

    asyncio.run(run())


def test_a_watch_goes_on_from_the_last_bookmark_with_the_token_of_then(scene: Scene) -> None:
    async def run() -> None:
        server = scene.server

        async def one_bookmark(request: web.Request) -> web.StreamResponse:
            response = await server.begin(request)
            bookmark = {"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {"resourceVersion": "99"}}}
            await response.write(json.dumps(bookmark).encode() + b"\n")
            scene.token.write_text("second")
            return response

        server.script["watch"].append(one_bookmark)
        async with scene.running():
            await until(lambda: server.count("watch") == 2)
        assert server.asked[-1][1]["resourceVersion"] == "99"
        assert server.asked[-1][2] == "Bearer second"
        assert server.count("list") == 1
        assert len(scene.waits) == 1  # it ended at once: not a failure, and yet not to be done again and again

    asyncio.run(run())


def status(code: int, headers: dict[str, str] | None = None) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        text = {"kind": "Status", "message": "told so", "code": code}
        return web.json_response(text, status=code, headers=headers)

    return answer


def sent(*pieces: bytes) -> Answer:
    """A watch of these bytes, properly ended."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = await Server.begin(request)
        for piece in pieces:
            await response.write(piece)
        return response

    return answer


async def cut(request: web.Request) -> web.StreamResponse:
    """A connection that breaks in the middle of an event."""
    response = await Server.begin(request)
    await response.write(b'{"type": "ADDED", "object": {"metadata"')
    assert request.transport is not None
    request.transport.abort()
    return response


def error(code: int) -> bytes:
    return json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": code, "message": "told so"}}).encode() + b"\n"


@pytest.mark.parametrize("gone", [status(410), sent(error(410))], ids=["as a status", "as an event"])
def test_a_version_that_is_gone_is_listed_again_from_what_is_recent(scene: Scene, gone: Answer) -> None:
    async def run() -> None:
        server = scene.server
        await server.happen("ADDED", an_object("a"))
        server.script["watch"].append(gone)
        async with scene.running():
            await until(lambda: server.count("watch") == 2)
            await server.happen("ADDED", an_object("b", container=B))
            await until(lambda: scene.names() == {"a", "b"})
        lists = [query for kind, query, _ in server.asked if kind == "list"]
        assert [query.get("resourceVersion") for query in lists] == ["0", None]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (status(500), "it answers 500 (told so)"),
        (status(403), "it answers 403 (told so)"),
        (cut, ""),
        (sent(error(500)), "it ends the watch: 500 told so"),
        (sent(b"garbage\n"), "it answers nonsense: "),
        (sent(b"{}\n"), "it answers nonsense: "),
        (sent(b'{"type": "ADDED", "object": []}\n'), "it answers nonsense: "),
        (sent(b'{"type": "ADDED", "object": {"metadata": {"name": 5}}}\n'), "it answers nonsense: "),
        (sent(b"\xff\xfe\n"), "it answers nonsense: "),
        (sent(b'{"type":' + b"[" * 100_000 + b"\n"), "it answers nonsense: "),
        (sent(*[b"x" * 65536] * 80), "an event is larger than 4194304 bytes"),
    ],
    ids=["500", "403", "cut", "error", "garbage", "no event", "no pod", "wrong type", "no utf-8", "deep", "endless"],
)
def test_trouble_with_a_watch_is_waited_out_and_what_is_known_stays(
    scene: Scene, answer: Answer, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        server = scene.server
        await server.happen("ADDED", an_object("a"))
        server.script["watch"] += [answer, answer, answer]
        async with scene.running():
            await until(lambda: server.count("watch") == 4)
            assert scene.names() == {"a"}
            await server.happen("ADDED", an_object("b", container=B))
            await until(lambda: scene.names() == {"a", "b"})
            assert (scene.value("reached"), scene.value("failures_total")) == (1, 3)

    caplog.set_level("INFO", "metricagent")
    asyncio.run(run())
    assert [bound / 2 <= wait <= bound for wait, bound in zip(scene.waits, (2, 4, 8), strict=False)] == [True] * 3
    assert said in caplog.messages[0]
    assert caplog.messages[0].startswith("cannot follow the pods of this node: ")
    assert caplog.messages[-1] == "the pods of this node are followed again"


@pytest.mark.parametrize(
    "answer",
    [status(503, {"Retry-After": "77"}), sent(b"{}"), sent(b"[]"), sent(b'{"metadata": {}, "items": [{"metadata": 1}]}'), cut],
    ids=["503", "empty", "a list", "no pods", "cut"],
)
def test_trouble_with_a_list(scene: Scene, answer: Answer) -> None:
    async def run() -> None:
        await scene.server.happen("ADDED", an_object("a"))
        scene.server.script["list"].append(answer)
        async with scene.running():
            await until(lambda: scene.names() == {"a"})

    asyncio.run(run())
    assert len(scene.waits) >= 1
    assert (scene.waits[0] >= 77) == (answer.__qualname__.startswith("status"))


def test_a_watch_that_hangs_is_given_up(scene: Scene) -> None:
    async def run() -> None:
        server, hanging = scene.server, asyncio.Event()

        async def hang(request: web.Request) -> web.StreamResponse:
            response = await server.begin(request)
            await hanging.wait()
            return response

        scene.patience = Patience(0.05, 0.05, 0.05)
        server.script["watch"].append(hang)
        async with scene.running():
            await until(lambda: server.count("watch") >= 2)
            hanging.set()
        assert scene.value("failures_total") >= 1  # type: ignore[operator]
        assert server.count("list") == 1
        assert server.asked[-1][1]["timeoutSeconds"] == "1"

    asyncio.run(run())


@pytest.mark.parametrize("text", [None, "", "a\nb", "\u00e4"])
def test_without_a_token_it_is_tried_again(scene: Scene, text: str | None) -> None:
    async def run() -> None:
        scene.token.unlink()
        if text is not None:
            scene.token.write_text(text)
        await scene.server.happen("ADDED", an_object("a"))
        async with scene.running():
            await until(lambda: len(scene.waits) >= 2)
            assert scene.server.asked == []
            scene.token.write_text("first")
            await until(lambda: scene.names() == {"a"})

    asyncio.run(run())


def test_a_server_that_is_not_there_then_is_with_its_certificates(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with podwatch.session() as session:
            watch = PodWatch(
                url="https://127.0.0.1:1",
                token_file=scene.token,
                ca_file=scene.ca_file,
                node="n1",
                labels=[],
                session=session,
                pods=scene.pods,
                registry=scene.registry,
                chance=random.Random(1),
                sleep=scene.sleep,
            )
            following = asyncio.create_task(watch.run())
            await until(lambda: len(scene.waits) >= 2)
            scene.ca_file.write_bytes(b"")
            await until(lambda: len(caplog.messages) >= 2)
            scene.ca_file.write_text(ssl.DER_cert_to_PEM_cert(b"no certificate"))
            waits = len(scene.waits)
            await until(lambda: len(scene.waits) > waits + 1)
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    scene.ca_file = scene.token.with_name("ca.crt")
    asyncio.run(run())
    assert f"cannot use {scene.ca_file}: No such file or directory" in caplog.messages[0]
    assert all("cannot follow the pods of this node: cannot use " in message for message in caplog.messages)


def test_of_annotations_only_those_for_scrapes_are_kept_and_not_more_than_can_be_used() -> None:
    notes = {"prometheus.io/path": "/" + "y" * 250_000, "prometheus.io/scrape": "true", "prometheus.io/x": "1", "a": "b"}
    kept = describe(msgspec.convert(an_object("p", annotations=notes), PodObject), ()).pod.annotations
    assert [(name, len(text)) for name, text in kept] == [("prometheus.io/path", 1100), ("prometheus.io/scrape", 4)]
    with pytest.raises(Failed, match="longer than 1024 characters"):
        address(Pod("u", "p", "shop", "10.0.0.1", False, (), annotations=(*kept, ("prometheus.io/port", "80"))))


def test_many_events_of_large_objects(scene: Scene) -> None:
    """Objects of half a megabyte, of which nothing is kept but who they are."""

    async def run() -> None:
        server = scene.server
        async with scene.running():
            for n in range(8):
                await server.happen("ADDED", an_object(f"p{n}", annotations={"x": "y" * 500_000}))
            await until(lambda: len(scene.names()) == 8)
        assert all(pod.annotations == () for pod in scene.pods.all())

    asyncio.run(run())
