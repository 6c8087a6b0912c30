"""T20 (P13): confusion. Names that are nearly others', methods and forms that are not there, tokens of elsewhere, at the store
and at the agent: 204, 404, 405, 406, 401 and 403 as specified, nothing of anybody else's, no route without a check.

The samples and what node n1 answers to them are those of tests/golden/dcos; what is not n1's there says `foreign`.
"""

import asyncio
import http.client
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
import yaml
from aiohttp import web

from chaos.conftest import Figures, Size
from chaos.program import Program
from metricagent import dcosapi
from metricagent.access import Access
from metricagent.latest import Latest
from metricagent.settings import ApiSettings
from metricagent.tokencheck import TokenCheck
from metricwire.lineprotocol import decode
from metricwire.samples import Place
from metricwire.tokens import AGENT_METRICS, NODE_METRICS, SUPERUSER, issue, login_key, new_login_pair, new_pair, sign
from metricwire.users import entry

GOLDEN = Path(__file__).parents[1] / "golden" / "dcos"
ANSWERS = yaml.safe_load((GOLDEN / "answers.yaml").read_text())
IDS: dict[str, str] = ANSWERS["ids"]
HERE = Place("fritz", "n1")
FOREIGN = ("foreign", "31337", IDS["foreign"], IDS["alien"])  # what is others', and what it is worth
PRIVATE, PUBLIC = new_pair()
LOGIN, LOGIN_PUBLIC = new_login_pair()
USERS = {
    "nothing": [],
    "node": [NODE_METRICS],
    "agent": [AGENT_METRICS],
    "both": [NODE_METRICS, AGENT_METRICS],
    "super": [SUPERUSER],
}
DAY = 86_400.0  # seconds: tokens are made when the tests are collected, and asked with whenever their turn comes
ELSEWHERE, LOGIN_ELSEWHERE = new_pair()[0], new_login_pair()[0]  # the keys of cluster A, not of B, which is asked

OWN, BY_NAME = "/system/v1/metrics/v0", "/system/v1/agent/{}/metrics/v0"
RESOURCES = ("node", "containers", "containers/{}", "containers/{}/app", "containers/{}/app/{}", "ping")
METHODS = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
# Nobody's names: nearly n1's. `n%31` and the like are n1's own, otherwise written.
NEARLY = (
    *(
        "n",
        "n11",
        "n1.",
        ".n1",
        "N1",
        "n1%20",
        "%20n1",
        "n1%00",
        "n1%0a",
        "n1%0d%0aX:1",
        "n1,n2",
        "n1;n2",
        "n%31%2e",
        "%EF%BD%8E1",
    ),
    *("*", "n*", "n.", ".*", "n%5B1%5D", "%5En1%24", "n1%7Cn2", "%28n1%29", "%7Bagent_id%7D", "%7Bagent%7D", "%25s", "%2e%2e"),
    *("n1%2F", "%2Fn1", "n1%2F..%2Fn2", "n2%2F..%2Fn1", "n1%252F", "n1%5C", "n1%3Fnode=n2", "n1%23", "localhost", "127.0.0.1"),
)
NOT_JSON = (
    "text/html",
    "application/json;q=0",
    "application/json;q=0, */*",
    "*/*;q=0",
    "application/*;q=0,text/html",
    "application/xml",
)
JSON = ("application/json", "*/*", "application/*;q=0.1", "text/html;q=0.9, application/json;q=0.001", "")


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes
    headers: dict[str, str]


class Server:
    """One of the two that speak the DC/OS API, at a port of this machine; its `routes`: methods by path, names in braces.

    `renew` gives it samples of now: what is older than three intervals is not shown.
    """

    def __init__(self, name: str, port: int, routes: dict[str, set[str]], renew: Callable[[], None] = lambda: None) -> None:
        self.name, self.routes, self.renew = name, routes, renew
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def ask(self, method: str, path: str, **headers: str) -> Answer:
        """One request with the path as it is written."""
        self._connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            self._connection.putheader(name, value)
        self._connection.endheaders()
        answer = self._connection.getresponse()
        return Answer(answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()})

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def token(private: str = PRIVATE, *roles: str, expires: float = DAY) -> str:
    now = int(time.time())
    return f"Bearer {sign(private, 'x', list(roles), issued=now - 60, expires=now + int(expires))}"


def login_token(uid: str, private: str = LOGIN, expires: float = DAY) -> str:
    now, key = int(time.time()), login_key(private.encode())
    return f"token={issue(key, uid, USERS[uid], now=now - 60, seconds=60 + int(expires), id='1')}"


GOOD = token(PRIVATE, "user")


class Verdict:
    """What was asked of the servers, and what was not answered as specified."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self.wrong: list[str] = []

    def ask(self, server: Server, kind: str, wanted: int, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask; the answer has to have that status, and nothing of anybody else's."""
        answer = server.ask(method, path, **({"Authorization": GOOD} | headers))
        self.count[kind] += 1
        where = f"{server.name}: {kind}: {method} {path} {headers}: {answer.status} {answer.body[:200]!r}"
        if answer.status != wanted:
            self.wrong.append(f"{where}, not {wanted}")
        shown = answer.body.decode() if answer.status == 200 else ""  # a problem repeats the name that was asked for
        if any(text in shown for text in FOREIGN):
            self.wrong.append(f"{where}: somebody else's")
        if answer.status == 204 and answer.body:
            self.wrong.append(f"{where}: 204 with a body")
        if answer.status >= 400 and (len(answer.body) > 1000 or b"shop" in answer.body):
            self.wrong.append(f"{where}: a refusal that tells")
        return answer


def samples() -> bytes:
    """Those of tests/golden/dcos, of now."""
    found = (GOLDEN / "samples.lp").read_bytes()
    stamp = decode(found, now=0).samples[0].timestamp
    return found.replace(b" %d\n" % stamp, b" %d\n" % (int(time.time()) // 10 * 10))


@pytest.fixture
def store(make_program: Callable[..., Program], make_app: Any, tmp_path: Path) -> Iterator[Server]:
    """The store as a program. Its route table is that of the same settings in this process."""
    (tmp_path / "key").write_text(PUBLIC)
    (tmp_path / "login").write_text(LOGIN)
    (tmp_path / "users").mkdir()
    for uid, permissions in USERS.items():
        (tmp_path / "users" / uid).write_bytes(entry(uid, permissions, public_key=LOGIN_PUBLIC))
    login = {"key-files": [str(tmp_path / "login")], "users": str(tmp_path / "users")}
    settings = {"public-key-files": [str(tmp_path / "key")], "strict-roles": True, "anonymous-metrics": False, "node": "n1"}
    settings |= {"login": login}
    program = make_program(store=settings, arguments=()).run()

    def renew() -> None:
        answer = program.ask("POST", "/api/write", samples(), {"Authorization": token(PRIVATE, "writer")})
        assert answer.status == 200, answer.text

    routes: dict[str, set[str]] = {}
    for route in make_app(
        {"metric-store": settings | {"directory": str(tmp_path / "other")}}, open_to_all=False
    ).api.framework.routes:
        routes.setdefault(route.path.rstrip("/"), set()).update(route.methods)
    server = Server("store", program.port, routes, renew)
    yield server
    server.close()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Server]:
    """The agent's server on what n1's agent has of the samples."""
    (tmp_path / "key").write_text(PUBLIC)
    (tmp_path / "login.pub").write_text(LOGIN_PUBLIC)
    batch, latest, now = decode(samples(), now=0), Latest(10), time.time()
    latest.update([sample for sample in batch.samples if sample.series.place[:2] == HERE[:2]], now)
    latest.label({one.place: dict(one.labels) for one in batch.labels if one.place[:2] == HERE[:2]})
    keys, login_keys = (str(tmp_path / "key"),), (str(tmp_path / "login.pub"),)
    settings = ApiSettings(public_key_files=keys, login_key_files=login_keys)
    access = Access(settings, lambda: TokenCheck(keys, login_key_files=login_keys, now=time.time))
    loop, app = asyncio.new_event_loop(), dcosapi.application(HERE, latest, access, lambda: now)
    runner = web.AppRunner(app, shutdown_timeout=0.1)

    async def start() -> int:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return int(runner.addresses[0][1])

    port = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    routes: dict[str, set[str]] = {}
    for route in app.router.routes():
        assert route.resource is not None
        routes.setdefault(route.resource.canonical.replace("{slash}", ""), set()).add(route.method)
    server = Server("agent", port, routes)
    yield server
    server.close()
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def servers(store: Server, agent: Server) -> tuple[Server, Server]:
    return store, agent


def filled(path: str) -> str:
    """The path with ids in the place of their names."""
    for name, container in IDS.items():
        path = path.replace(f"<{name}>", container)
    return path


def resources() -> Iterator[str]:
    """The paths of everything that n1 has below a prefix."""
    for form in RESOURCES:
        yield form.format(IDS["web"], "orders")


def mutated(name: str, rng: random.Random) -> str:
    """A container id with one thing changed."""
    at, sign = rng.randrange(len(name)), chr(rng.choice([*range(32, 127), rng.randrange(0x110000 - 0x800)]))
    if "\ud800" <= sign <= "\udfff" or sign == "/":
        sign = "."
    changed = rng.choice(
        [name[:at] + sign + name[at + 1 :], name[:at], name[at:], name[:at] + sign + name[at:], name.upper(), sign]
    )
    return changed if changed not in {"", name} else name + name


def near(servers: Iterable[Server], verdict: Verdict, rng: random.Random, size: Size) -> None:
    """Names, whole ones only; slashes, real ones only."""
    turns = itertools.cycle(resources())
    nearly = [*itertools.product(NEARLY, resources())] if size.full else [(name, next(turns)) for name in NEARLY]
    for server in servers:
        for prefix, case in itertools.product((OWN, BY_NAME.format("n1"), BY_NAME.format("%6E%31")), ANSWERS["answers"]):
            path = f"{prefix}/{filled(case['get'])}"
            verdict.ask(server, "ids", case.get("status", 200), f"{path}?cluster=fritz")
        for name, resource in nearly:
            verdict.ask(server, "agent ids", 404, f"{BY_NAME.format(name)}/{resource}?cluster=fritz")
        for resource in resources():
            verdict.ask(server, "agent ids", 404, f"{OWN}/{resource}?node=n3")
            verdict.ask(server, "agent ids", 404, f"{BY_NAME.format('n1')}/{resource}?cluster=frit")
            verdict.ask(server, "paths", 404, f"/system%2Fv1/metrics/v0/{resource}")
            verdict.ask(server, "paths", 404, f"/system/v1/agent/n1%2Fmetrics/v0/{resource}")
            verdict.ask(server, "paths", 404, f"/system/v1/metrics/v0/../v0/{resource}")
            verdict.ask(server, "paths", 404, f"/system/v1/metrics/v0/./{resource}")
            verdict.ask(server, "paths", 404, f"//system/v1/metrics/v0/{resource}")
            verdict.ask(server, "paths", 404, f"/system/v1/metrics/v0/{resource}//")
            verdict.ask(server, "paths", 404, f"/SYSTEM/v1/metrics/v0/{resource}")
        for _ in range(size.pick(50, 5000)):
            changed = quote(mutated(rng.choice([IDS["web"], IDS["cron"], "unknown"]), rng), safe="")
            resource = rng.choice(RESOURCES[2:5]).format(changed, "")
            verdict.ask(server, "mutated ids", 204, f"{OWN}/{resource}?cluster=fritz")


def forms(servers: Iterable[Server], verdict: Verdict) -> None:
    """Methods and media types that there are, and are not."""
    for server, prefix, resource in itertools.product(servers, (OWN, BY_NAME.format("n1")), resources()):
        path = f"{prefix}/{resource}?cluster=fritz"
        got = server.ask("GET", path, Authorization=GOOD)
        head = verdict.ask(server, "methods", got.status, path, "HEAD")
        told = ("content-type", "content-length")
        if head.body or [head.headers.get(name) for name in told] != [got.headers.get(name) for name in told]:
            verdict.wrong.append(f"{server.name}: HEAD {path}: {head}, not as GET: {got.headers}")
        for method in METHODS:
            refusal = verdict.ask(server, "methods", 405, path, method)
            if {*refusal.headers.get("allow", "").replace(" ", "").split(",")} != {"GET", "HEAD"}:
                verdict.wrong.append(f"{server.name}: {method} {path}: Allow: {refusal.headers.get('allow')}")
        for accept in NOT_JSON:
            verdict.ask(server, "Accept", 406, path, Accept=accept)
            verdict.ask(server, "Accept", 404, f"{BY_NAME.format('n3')}/{resource}", Accept=accept)
        for accept in JSON:
            answer = verdict.ask(server, "Accept", got.status, path, Accept=accept)
            if answer.status == 200 and answer.headers["content-type"] != "application/json":
                verdict.wrong.append(f"{server.name}: {path}: Accept: {accept}: {answer.headers}")


def others(store: Server, verdict: Verdict) -> None:
    """What says `foreign` is there for who asks for it, and there alone."""
    for node, cluster, container, other in (("n2", "fritz", "foreign", "alien"), ("n1", "other", "alien", "foreign")):
        prefix, asked = BY_NAME.format(node), f"?cluster={cluster}"
        ids = store.ask("GET", f"{prefix}/containers{asked}", Authorization=GOOD)
        shown = store.ask("GET", f"{prefix}/containers/{IDS[container]}/app{asked}", Authorization=GOOD)
        if ids.body.decode() != f'["{IDS[container]}"]' or shown.status != 200 or IDS[other].encode() in shown.body:
            verdict.wrong.append(f"{prefix}: {ids}, {shown}")
        for name in {*IDS.values(), "unknown"} - {IDS[container]}:
            verdict.ask(store, "ids", 204, f"{prefix}/containers/{name}/app{asked}")
            verdict.ask(store, "ids", 204, f"{prefix}/containers/{name}{asked}")


# What a route needs, by its path; those of DC/OS by their prefix; all others: reading. A new one of another kind has to say so.
NEEDS = {
    "public": {"/ping", "/health", "/acs/api/v1/auth/login", "/acs/api/v1/auth/jwks"},
    "write": {"/api/write", "/write", "/api/v2/write", "/query"},
    "admin": {"/api/free", "/api/debug", "/api/backup"},
}
READS = {"read", "here", "by name"}
# By who asks: the header, what is let through, and what is said otherwise.
CALLERS: dict[str, tuple[str | None, set[str], int]] = {
    "nobody": (None, set(), 401),
    "an empty token": ("Bearer ", set(), 401),
    "no token": ("Bearer x.y.z", set(), 401),
    "another scheme": ("Basic YWRtaW46YWRtaW4=", set(), 401),
    "two tokens": (f"{GOOD}, {GOOD}", set(), 401),
    "cluster A's admin at B": (token(ELSEWHERE, "admin"), set(), 401),
    "cluster A's admin, as on DC/OS": (token(ELSEWHERE, "admin").replace("Bearer ", "token="), set(), 401),
    "cluster A's superuser at B": (login_token("super", LOGIN_ELSEWHERE), set(), 401),
    "an admin of the past": (token(PRIVATE, "admin", expires=-60), set(), 401),
    "a superuser of the past": (login_token("super", expires=-60), set(), 401),
    "no role": (token(PRIVATE), READS, 403),
    "reader": (token(PRIVATE, "reader"), READS, 403),
    "writer": (token(PRIVATE, "writer"), READS | {"write"}, 403),
    "admin": (token(PRIVATE, "ROLE_ADMIN"), READS | {"write", "admin"}, 403),
    "no permission": (login_token("nothing"), set(), 403),
    "the first prefix's permission": (login_token("node"), {"here"}, 403),
    "the second prefix's permission": (login_token("agent"), {"by name"}, 403),
    "the permissions of both": (login_token("both"), {"here", "by name"}, 403),
    "superuser": (login_token("super"), {"here", "by name"}, 403),
}


def need(path: str) -> str:
    if path.startswith("/system/"):
        return "by name" if path.startswith("/system/v1/agent/") else "here"
    return next((name for name, paths in NEEDS.items() if path in paths), "read")


def named(path: str) -> str:
    """A path of the table with names of n1 in it."""
    for name, value in {"agent": "n1", "container": IDS["web"], "metric": "orders"}.items():
        path = path.replace(f"{{{name}}}", value).replace(f"{{{name}_id}}", value)
    assert "{" not in path, f"a route with another name in it: {path}"
    return path


def walk(servers: Iterable[Server], verdict: Verdict) -> None:
    """Every route of either table asked by everybody; and paths that are no route."""
    for server in servers:
        for path, caller in itertools.product(server.routes, CALLERS):
            authorization, may, otherwise = CALLERS[caller]
            headers = {"Authorization": authorization} if authorization else {}
            for method in sorted(server.routes[path]):
                status, body, _ = server.ask(method, f"{named(path)}?cluster=fritz", **headers)
                verdict.count[f"{server.name}'s routes x callers"] += 1
                let = need(path) in may or need(path) == "public"
                where = f"{server.name}: {caller}: {method} {path}: {status} {body[:200]!r}"
                if let and (status == 403 or (status == 401 and need(path) != "public") or status >= 500):
                    verdict.wrong.append(f"{where}: not let through")
                if not let and (status != otherwise or len(body) > 300):
                    verdict.wrong.append(f"{where}, not {otherwise}")
        for path, caller in itertools.product(("/", "/system/v1", "/system/v1/metrics/v0", "/api", "/nothing"), CALLERS):
            authorization, _, otherwise = CALLERS[caller]
            expected = 401 if server.name == "agent" and otherwise == 401 else 404  # the agent asks who it is first
            status, body, _ = server.ask("GET", path, **({"Authorization": authorization} if authorization else {}))
            verdict.count["no such route"] += 1
            if status != expected:
                verdict.wrong.append(f"{server.name}: {caller}: GET {path}: {status} {body[:200]!r}")


def test_t20_nobody_is_taken_for_another(
    servers: tuple[Server, Server], size: Size, rng: random.Random, figures: Figures
) -> None:
    verdict, store = Verdict(), servers[0]
    store.renew()
    near(servers, verdict, rng, size)
    store.renew()
    others(store, verdict)
    forms(servers, verdict)
    walk(servers, verdict)
    each = ", ".join(f"{count} {kind}" for kind, count in sorted(verdict.count.items()))
    routes = " and ".join(f"{len(server.routes)} of the {server.name}" for server in servers)
    figures(
        f"T20: {sum(verdict.count.values())} requests ({each}), routes: {routes}; "
        f"{len(verdict.wrong)} answered otherwise than specified or with something of another's"
    )
    assert not verdict.wrong, "\n".join(verdict.wrong[:50])
