"""Who may do what: keys that come and go, Kubernetes ServiceAccount tokens, what a node agent may write."""

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from apiserver import AGENTS, ApiServer, token
from metricstore.api.auth import Cluster, Gate, KeyRing, Permission
from metricstore.api.serviceaccounts import ApiServer as Asked
from metricstore.settings import Kubernetes
from metricwire.errors import Forbidden, InvalidToken, SettingsError, Unavailable
from metricwire.reviews import ANSWERS, ASKING, PATH_MAX, REMEMBERED, WAITING, WAITING_EACH, Reviews
from metricwire.serviceaccounts import CONFIGURATION, REFRESH, RETRY, ClusterKeys, NotAnswered
from metricwire.tokens import PUBLISHED_KEY, new_pair, public_key, sign


def test_a_removed_key_is_dead_and_a_new_one_counts_within_10_s(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> None:
    now = [0.0]
    pairs = [new_pair(), new_pair()]
    files = [tmp_path / "old", tmp_path / "new"]
    files[0].write_text(pairs[0][1] + "\n")
    gate = Gate(KeyRing("", list(map(str, files)), lambda: now[0]))
    tokens = ["Bearer " + sign(private, "x", ["admin"], issued=int(time.time())) for private, _ in pairs]

    def admitted() -> list[bool]:
        return [_admits(loop, gate, token) for token in tokens]

    assert admitted() == [True, False]
    files[1].write_text(pairs[1][1])
    now[0] += 10
    assert admitted() == [True, True], "both count while keys are rotated"
    files[0].unlink()
    now[0] += 10
    assert admitted() == [False, True]
    files[1].write_text("not a key")
    now[0] += 10
    assert admitted() == [False, False]


def test_a_key_file_that_is_no_text_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = [tmp_path / "bad", tmp_path / "good"]
    files[0].write_bytes(b"\xff\xfe")
    files[1].write_text(new_pair()[1])
    assert len(KeyRing("", list(map(str, files))).keys()) == 1
    assert f"{files[0]} is left out: cannot use public key" in caplog.text


@pytest.mark.parametrize("text", [PUBLISHED_KEY, PUBLISHED_KEY + " ", f"\n{PUBLISHED_KEY}\n"])
def test_the_published_key_counts_only_with_dev(text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "key").write_text(text)
    files = [str(tmp_path / "key")]
    with pytest.raises(SettingsError, match="which everybody has; --dev allows it"):
        KeyRing(text, [])
    assert KeyRing("", files).keys() == []
    assert "which everybody has" in caplog.text
    assert KeyRing(text, files, dev=True).keys() == [public_key(PUBLISHED_KEY)] * 2


def _admits(loop: asyncio.AbstractEventLoop, gate: Gate, header: str, needed: Permission = Permission.READ) -> bool:
    try:
        loop.run_until_complete(gate.admit(header, needed))
    except InvalidToken:
        return False
    return True


def test_a_token_that_was_checked_dies_at_its_end(loop: asyncio.AbstractEventLoop) -> None:
    now = [time.time()]
    private, public = new_pair()
    gate = Gate(KeyRing(public, []), clock=lambda: now[0])
    header = "Bearer " + sign(private, "x", [], issued=int(now[0]), expires=int(now[0]) + 60)
    assert _admits(loop, gate, header)
    now[0] += 71
    assert not _admits(loop, gate, header)


def cluster_keys(api_server: ApiServer, tmp_path: Path, steady: Any = time.monotonic) -> ClusterKeys:
    return ClusterKeys(asked(api_server, tmp_path), "metricscluster", steady, logging.getLogger("test"))


def asked(api_server: ApiServer, tmp_path: Path) -> Asked:
    (tmp_path / "token").write_text("mine\n")
    url = f"http://127.0.0.1:{api_server.server_port}"
    return Asked(Kubernetes(url=url, token_file=str(tmp_path / "token"), ca_file=""))


def cluster(api_server: ApiServer, tmp_path: Path, clock: Any = time.time) -> Cluster:
    reviews = Reviews(asked(api_server, tmp_path), clock, logging.getLogger("test"))
    return Cluster(cluster_keys(api_server, tmp_path, clock), reviews, AGENTS)


def test_tokens_that_never_expire_can_be_refused(loop: asyncio.AbstractEventLoop) -> None:
    private, public = new_pair()
    gate = Gate(KeyRing(public, []), expiring=True, clock=lambda: 1000.0)
    for expires, admitted in ((None, False), (2000, True)):
        header = "Bearer " + sign(private, "x", [], issued=0, expires=expires)
        if admitted:
            assert loop.run_until_complete(gate.admit(header, Permission.READ)).subject == "x"
        else:
            with pytest.raises(InvalidToken):
                loop.run_until_complete(gate.admit(header, Permission.READ))


def test_keys_are_fetched_once_and_again_for_a_new_one(
    api_server: ApiServer, tmp_path: Path, loop: asyncio.AbstractEventLoop
) -> None:
    now = [time.time()]
    keys = cluster_keys(api_server, tmp_path, lambda: now[0])
    for _ in range(3):
        assert loop.run_until_complete(keys.verify(token(), time.time())).node == "n1"
    assert api_server.asked == [("/.well-known/openid-configuration", "Bearer mine"), ("/openid/v1/jwks", "Bearer mine")]
    api_server.names = ["k2"]
    now[0] += 30
    assert loop.run_until_complete(keys.verify(token("k2"), time.time())).node == "n1"
    with pytest.raises(InvalidToken):
        loop.run_until_complete(keys.verify(token("k1"), time.time()))
    assert len(api_server.asked) == 4, "tokens with unknown keys do not make requests at will"


def test_a_checked_token_dies_with_the_keys_it_was_checked_by(
    api_server: ApiServer, tmp_path: Path, loop: asyncio.AbstractEventLoop
) -> None:
    now = [time.time()]
    gate = Gate(KeyRing("", []), cluster=cluster(api_server, tmp_path, lambda: now[0]), clock=lambda: now[0])
    old = f"Bearer {token()}"
    assert _admits(loop, gate, old, Permission.WRITE)
    api_server.names = ["k2"]
    now[0] += REFRESH - 1
    assert _admits(loop, gate, old, Permission.WRITE)
    now[0] += 2
    assert not _admits(loop, gate, old, Permission.WRITE), "its key is gone"


def test_a_checked_token_dies_when_another_one_shows_that_the_keys_changed(
    api_server: ApiServer, tmp_path: Path, loop: asyncio.AbstractEventLoop
) -> None:
    now = [time.time()]
    gate = Gate(KeyRing("", []), cluster=cluster(api_server, tmp_path, lambda: now[0]), clock=lambda: now[0])
    old, new = f"Bearer {token()}", f"Bearer {token('k2')}"
    assert _admits(loop, gate, old, Permission.WRITE)
    api_server.names = ["k2"]
    now[0] += 30
    assert _admits(loop, gate, new, Permission.WRITE)
    assert not _admits(loop, gate, old, Permission.WRITE)


def test_without_the_api_server_tokens_are_refused_until_it_is_there(
    api_server: ApiServer, tmp_path: Path, loop: asyncio.AbstractEventLoop
) -> None:
    now = [time.time()]
    keys = cluster_keys(api_server, tmp_path, lambda: now[0])
    (tmp_path / "token").unlink()
    with pytest.raises(Unavailable, match="could not be read yet") as raised:
        loop.run_until_complete(keys.verify(token(), time.time()))
    assert raised.value.retry_after == RETRY
    (tmp_path / "token").write_text("mine")
    now[0] += 30
    assert loop.run_until_complete(keys.verify(token(), time.time())).node == "n1"


def test_keys_come_and_go_also_when_the_wall_clock_is_set_back(
    api_server: ApiServer, tmp_path: Path, loop: asyncio.AbstractEventLoop
) -> None:
    steady, wall = [5.0], [time.time() + 300]
    joined = cluster(api_server, tmp_path, lambda: steady[0])
    gate = Gate(KeyRing("", []), cluster=joined, clock=lambda: wall[0])
    old, new = f"Bearer {token()}", f"Bearer {token('k2')}"
    assert _admits(loop, gate, old, Permission.WRITE)
    wall[0] -= 300
    api_server.names = ["k2"]
    steady[0] += REFRESH + 1
    assert not _admits(loop, gate, old, Permission.WRITE), "its key is gone"
    assert _admits(loop, gate, new, Permission.WRITE)


class Silent:
    """An API server that answers nobody until it is let go; time passes meanwhile."""

    def __init__(self, now: list[float]) -> None:
        self.asked, self.go, self._now = 0, asyncio.Event(), now

    async def ask(self, path: str, document: Any = None) -> Any:
        self.asked += 1
        await self.go.wait()
        self._now[0] += 5
        raise NotAnswered("cannot ask: timed out")


def test_all_who_wait_for_the_keys_share_one_attempt(loop: asyncio.AbstractEventLoop) -> None:
    async def crowd() -> None:
        now = [0.0]
        server = Silent(now)
        keys = ClusterKeys(server, "metricscluster", lambda: now[0], logging.getLogger("test"))
        waiting = [asyncio.create_task(keys.verify(token(), time.time())) for _ in range(20)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        server.go.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(one) for one in found] == [asyncio.CancelledError, *[Unavailable] * 19]
        assert server.asked == 1

    loop.run_until_complete(crowd())


def test_a_token_that_names_no_key_makes_no_request(
    api_server: ApiServer, tmp_path: Path, loop: asyncio.AbstractEventLoop
) -> None:
    keys = cluster_keys(api_server, tmp_path)
    with pytest.raises(InvalidToken):
        loop.run_until_complete(keys.verify(sign(new_pair()[0], "x", [], issued=int(time.time())), time.time()))
    assert api_server.asked == []


@pytest.mark.parametrize(
    ("changed", "method", "path", "body", "status", "text"),
    [
        (
            {},
            "POST",
            "/api/write",
            "load_one,cluster=c,hostname=n1 value=1\ninfo,cluster=c,hostname=n1,rack=a value=1",
            200,
            "",
        ),
        ({}, "POST", "/api/write", "load_one,cluster=c,hostname=n2 value=1", 400, "this token may write only the host n1"),
        ({}, "POST", "/api/write", "info,cluster=c,hostname=n2,rack=a value=1", 400, "this token may write only the host n1"),
        ({}, "POST", "/api/write", "load_one,cluster=d,hostname=n1 value=1", 400, "this token may write only the cluster c"),
        ({}, "POST", "/api/write?cluster=d", "info,hostname=n1,rack=a value=1", 400, "may write only the cluster c"),
        ({}, "POST", "/api/query", "{}", 403, "a node agent's token is for writing"),
        ({"kubernetes.io": {}}, "POST", "/api/write", "", 403, "nonResourceURLs: [/api/write], verbs: [post]"),
        ({"sub": "system:serviceaccount:monitoring:other"}, "POST", "/api/write", "", 403, "bound to system:serviceaccount:"),
        ({"sub": "system:serviceaccount:monitoring:other"}, "POST", "/api/query/", "{}", 403, "[/api/query], verbs: [post]"),
        ({"aud": ["api"]}, "POST", "/api/write", "", 401, "not made for this service"),
    ],
)
def test_an_agent_writes_its_own_node_and_nothing_else(
    changed: Any,
    method: str,
    path: str,
    body: str,
    status: int,
    text: str,
    api_server: ApiServer,
    tmp_path: Path,
    make_app: Any,
    client: Any,
) -> None:
    (tmp_path / "token").write_text("mine")
    kubernetes = {"url": f"http://127.0.0.1:{api_server.server_port}", "token-file": str(tmp_path / "token"), "ca-file": ""}
    store = {"cluster": "c", "kubernetes": kubernetes | {"agents": AGENTS}}
    app = make_app({"metric-store": store}, open_to_all=False)
    answer = client(app.api)(method, path, content=body.encode(), headers={"authorization": f"Bearer {token(**changed)}"})
    assert answer.status_code == status
    assert text in answer.text


SHOP = "system:serviceaccount:shop:web"


def review(loop: asyncio.AbstractEventLoop, gate: Gate, method: str, path: str, needed: Permission) -> str:
    """Who it is, or what is wrong."""
    try:
        return loop.run_until_complete(gate.admit(f"Bearer {token(sub=SHOP)}", needed, method, path)).subject
    except (Forbidden, Unavailable) as error:
        return str(error)


def test_a_service_account_may_what_rbac_grants(api_server: ApiServer, tmp_path: Path, loop: asyncio.AbstractEventLoop) -> None:
    now = [time.time()]
    joined = cluster(api_server, tmp_path, lambda: now[0])
    gate = Gate(KeyRing("", []), cluster=joined, clock=lambda: now[0])
    api_server.allowed = {(SHOP, "post", "/api/query"), (SHOP, "post", "/api/free")}
    for path in ("/api/query", "/api/query/", "/api/query"):
        assert review(loop, gate, "POST", path, Permission.READ) == SHOP
    assert review(loop, gate, "POST", "/api/free", Permission.ADMIN) == SHOP, "RBAC is all that is asked"
    assert review(loop, gate, "GET", "/api/query", Permission.READ) == (
        f"cannot get this: no ClusterRole bound to {SHOP} has the rule nonResourceURLs: [/api/query], verbs: [get]"
    )
    assert api_server.reviewed[0] == {
        "user": SHOP,
        "groups": ["system:serviceaccounts", "system:serviceaccounts:shop"],
        "nonResourceAttributes": {"path": "/api/query", "verb": "post"},
    }
    assert len(api_server.reviewed) == 3
    api_server.allowed.clear()
    now[0] += REMEMBERED - 1
    assert review(loop, gate, "POST", "/api/query", Permission.READ) == SHOP, "remembered"
    now[0] += 2
    assert "has the rule" in review(loop, gate, "POST", "/api/query", Permission.READ)


def test_nobody_is_let_in_while_rbac_cannot_be_asked(
    api_server: ApiServer, tmp_path: Path, loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    now = [time.time()]
    gate = Gate(KeyRing("", []), cluster=cluster(api_server, tmp_path, lambda: now[0]), clock=lambda: now[0])
    api_server.allowed = {(SHOP, "get", "/metrics")}
    for status, text in ((403, "own ServiceAccount needs the verb create on subjectaccessreviews"), (500, "cannot be asked")):
        api_server.refuses = status
        now[0] += 5
        for _ in range(3):
            assert text in review(loop, gate, "GET", "/metrics", Permission.READ)
    assert len(api_server.reviewed) == 2, "the API server is left alone for a moment"
    assert len([message for message in caplog.messages if "cannot tell who may do this" in message]) == 2
    api_server.refuses = 0
    now[0] += 5
    assert review(loop, gate, "GET", "/metrics", Permission.READ) == SHOP


EVIL = "system:serviceaccount:evil:pod"


class Patient:
    """An API server that permits all, and keeps whoever asks as long as `go` is not set."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.go = asyncio.Event()

    async def ask(self, path: str, document: Any = None) -> Any:
        spec = document["spec"]
        self.asked.append((spec["user"], spec["nonResourceAttributes"]["path"]))
        await self.go.wait()
        return {"status": {"allowed": True}}


def test_answers_that_are_remembered_are_bounded_and_dropped(loop: asyncio.AbstractEventLoop) -> None:
    now, server = [0.0], Patient()
    server.go.set()
    reviews = Reviews(server, lambda: now[0], logging.getLogger("test"))

    async def ask() -> None:
        await reviews.permit(SHOP, "GET", "/first")
        for number in range(ANSWERS + 10):
            await reviews.permit(EVIL, "GET", f"/{number}")
        assert len(reviews._answers) == ANSWERS
        del server.asked[:]
        await reviews.permit(EVIL, "GET", f"/{ANSWERS}")
        await reviews.permit(SHOP, "GET", "/first")
        assert server.asked == [], "who asks most is forgotten first"
        await reviews.permit(EVIL, "GET", "/0")
        now[0] += REMEMBERED
        await reviews.permit(SHOP, "GET", "/second")
        assert len(reviews._answers) == 1, "what counts no more is dropped"

    loop.run_until_complete(ask())


def test_a_long_path_is_granted_to_nobody(loop: asyncio.AbstractEventLoop) -> None:
    server = Patient()
    server.go.set()
    reviews = Reviews(server, lambda: 0.0, logging.getLogger("test"))
    loop.run_until_complete(reviews.permit(SHOP, "GET", "/" + "a" * (PATH_MAX - 1)))
    for path in ("/" + "a" * PATH_MAX, "/" + "\u00e4" * (PATH_MAX // 2), "/" + "\udc80" * PATH_MAX):
        with pytest.raises(Forbidden, match="longer than 1024 bytes") as raised:
            loop.run_until_complete(reviews.permit(SHOP, "GET", path))
        assert len(str(raised.value)) < 200
    with pytest.raises(Forbidden):
        loop.run_until_complete(reviews.permit(SHOP, "X" * PATH_MAX, "/a"))
    assert len(server.asked) == 1


def test_one_account_that_asks_a_lot_shuts_nobody_out(loop: asyncio.AbstractEventLoop) -> None:
    async def crowd() -> None:
        server = Patient()
        reviews = Reviews(server, lambda: 0.0, logging.getLogger("test"))
        evil = [asyncio.create_task(reviews.permit(EVIL, "GET", f"/{number}")) for number in range(WAITING)]
        same = [asyncio.create_task(reviews.permit(SHOP, "POST", "/api/query")) for _ in range(WAITING)]
        await asyncio.sleep(0)
        assert sum(task.done() for task in evil) == WAITING - WAITING_EACH
        assert not any(task.done() for task in same)
        server.go.set()
        found = await asyncio.gather(*evil, return_exceptions=True)
        refused = [one for one in found if one is not None]
        assert {(type(one), getattr(one, "retry_after", 0)) for one in refused} == {(Unavailable, 1)}
        assert await asyncio.gather(*same) == [None] * WAITING
        assert server.asked.count((SHOP, "/api/query")) == 1, "who asks the same shares the answer"
        assert (len(reviews._questions), reviews._waiting.total()) == (0, 0)

    loop.run_until_complete(crowd())


def test_questions_that_wait_end_with_the_one_that_fails(loop: asyncio.AbstractEventLoop) -> None:
    async def crowd() -> None:
        now = [0.0]
        server = Silent(now)
        reviews = Reviews(server, lambda: now[0], logging.getLogger("test"))
        waiting = [asyncio.create_task(reviews.permit(SHOP, "GET", f"/{number}")) for number in range(WAITING_EACH)]
        await asyncio.sleep(0)
        server.go.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(one) for one in found} == {Unavailable}
        assert server.asked == ASKING

    loop.run_until_complete(crowd())


class Elsewhere(BaseHTTPRequestHandler):
    """Sends everybody on to another path, and keeps who came."""

    came: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.came.append(self.path)
        self.send_response(302)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def elsewhere() -> Iterator[str]:
    Elsewhere.came.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("document", [None, {}])
def test_the_stores_token_goes_to_the_api_server_and_nobody_else(
    document: Any,
    elsewhere: str,
    api_server: ApiServer,
    tmp_path: Path,
    loop: asyncio.AbstractEventLoop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, elsewhere)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    loop.run_until_complete(asked(api_server, tmp_path).ask(CONFIGURATION))
    assert Elsewhere.came == []
    sent_on = Asked(Kubernetes(url=elsewhere, token_file=str(tmp_path / "token"), ca_file=""))
    with pytest.raises(NotAnswered, match="it answers 302") as raised:
        loop.run_until_complete(sent_on.ask("/x", document))
    assert raised.value.status == 302
    assert Elsewhere.came == ["/x"]
