"""Who may do what: every route with every method asked by every kind of caller, against a table written here by hand."""

import re
import time
from pathlib import Path
from typing import Any

import pytest

from apiserver import AGENTS, ApiServer, token
from metricstore.app import App
from metricwire.tokens import AGENT_METRICS, NODE_METRICS, SUPERUSER, issue, login_key, new_pair, sign
from metricwire.users import Cost, entry, new_password
from rsapairs import OURS

PRIVATE, PUBLIC = new_pair()
LOGIN_KEY = OURS[0]
LOGINS = {"login": [], "login: node": [NODE_METRICS], "login: agent": [AGENT_METRICS], "login: superuser": [SUPERUSER]}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")

# By path: methods, and what they need. A route that is not here fails the tests.
ONE = "/{container_id}"
READING, WRITING = ("GET", "HEAD"), ("GET", "POST")
NEEDS: dict[str, tuple[tuple[str, ...], str]] = {
    "/api/write": (WRITING, "write"),
    "/api/query": (("GET", "HEAD", "POST"), "read"),
    "/api/healthcheck": (("GET", "HEAD", "POST"), "read"),
    "/api/cardinality": (READING, "read"),
    "/api/free": (("POST",), "admin"),
    "/api/debug": (("GET", "HEAD", "POST"), "admin"),
    "/api/backup": (("GET",), "admin"),
    "/api/export": (("GET",), "read"),
    **{
        f"{prefix}/metrics/v0/{resource}": (READING, needs)
        for prefix, needs in (("/system/v1", "node"), ("/system/v1/agent/{agent_id}", "agent"))
        for resource in ("node", "ping", *(f"containers{more}" for more in ("", ONE, f"{ONE}/app", f"{ONE}/app/{{metric_id}}")))
    },
    "/metrics": (READING, "read"),
    "/metrics/self": (READING, "read"),
    "/write": (("POST",), "write"),
    "/api/v2/write": (("POST",), "write"),
    "/query": (WRITING, "write"),
    "/acs/api/v1/auth/login": (("POST",), "public"),
    "/acs/api/v1/auth/jwks": (READING, "public"),
    "/ping": (READING, "public"),
    "/health": (READING, "public"),
    "/swagger": (READING, "public"),
    "/swagger/doc.json": (READING, "public"),
    "/swagger/{file}": (READING, "public"),
    "/healthz": (READING, "public"),
    "/readyz": (READING, "public"),
}
# By caller: what it may do, and what it is told where it may not.
MAY = {
    "nobody": ({"public"}, 401),
    "another cluster's token": ({"public"}, 401),
    "no token": ({"public"}, 401),
    "no role": ({"public", "read", "node", "agent"}, 403),
    "reader": ({"public", "read", "node", "agent"}, 403),
    "writer": ({"public", "read", "node", "agent", "write"}, 403),
    "admin": ({"public", "read", "node", "agent", "write", "admin"}, 403),
    "agent": ({"public", "write"}, 403),
    "agent without a node": ({"public"}, 403),
    "pod": ({"public"}, 403),
    "login": ({"public"}, 403),
    "login: node": ({"public", "node"}, 403),
    "login: agent": ({"public", "agent"}, 403),
    "login: superuser": ({"public", "node", "agent"}, 403),
    "login of somebody who is gone": ({"public"}, 401),
}


def header(caller: str) -> str | None:
    now = int(time.time())
    kubernetes = {"agent": {}, "agent without a node": {"kubernetes.io": {}}, "pod": {"sub": AGENTS + "x"}}
    if caller in kubernetes:
        return f"Bearer {token(**kubernetes[caller])}"
    if caller.startswith("login"):
        uid = caller.replace(": ", "-").replace(" ", "-")
        return "token=" + issue(login_key(LOGIN_KEY.encode()), uid, [SUPERUSER], now=now, seconds=60, id="1")
    if caller == "another cluster's token":
        return "Bearer " + sign(new_pair()[0], "x", ["admin"], issued=now)
    roles = {"no role": [], "reader": ["reader"], "writer": ["writer"], "admin": ["ROLE_ADMIN"]}
    if caller in roles:
        return "Bearer " + sign(PRIVATE, "x", roles[caller], issued=now)
    return None if caller == "nobody" else "Bearer x.y.z"


@pytest.fixture
def app(make_app: Any, api_server: ApiServer, tmp_path: Path) -> App:
    (tmp_path / "token").write_text("mine")
    url = f"http://127.0.0.1:{api_server.server_port}"
    kubernetes = {"url": url, "token-file": str(tmp_path / "token"), "ca-file": "", "agents": AGENTS}
    (tmp_path / "key").write_text(LOGIN_KEY)
    (tmp_path / "users").mkdir()
    password = new_password("canary", Cost(14, 1))
    for caller, permissions in LOGINS.items():
        uid = caller.replace(": ", "-")
        (tmp_path / "users" / uid).write_bytes(entry(uid, permissions, password=password))
    login = {"key-files": [str(tmp_path / "key")], "users": str(tmp_path / "users")}
    store = {"login": login, "kubernetes": kubernetes, "anonymous-metrics": False, "strict-roles": True}
    return make_app({"main": {"jwt-public-key": PUBLIC}, "metric-store": store}, open_to_all=False, dev=True)


def expected(path: str, method: str, caller: str, side: str) -> set[int]:
    """The statuses that may come; what is let through may still find that an empty request says too little."""
    methods, needs = NEEDS[path]
    if method not in methods:
        return {405}
    may, otherwise = MAY[caller]
    return {*range(200, 500), 503} - {401, 403, 405} if needs in may or side == "operations" else {otherwise}


@pytest.mark.parametrize("caller", MAY)
def test_default_deny(caller: str, app: App, client: Any) -> None:
    authorization = header(caller)
    headers = {"authorization": authorization} if authorization else {}
    for side, application in (("api", app.api), ("operations", app.operations)):
        ask = client(application)
        for route in application.framework.routes:
            path = route.path.rstrip("/")
            for method in METHODS:
                asked = re.sub("{[a-z_]+}", "x", route.path.replace("{file}", "swagger-ui.css"))
                answer = ask(method, asked, headers=headers)
                assert answer.status_code in expected(path, method, caller, side), (side, method, route.path, answer.text)
                if answer.status_code in {401, 403, 405}:
                    assert len(answer.content) < 300, "a refusal shows nothing"


def test_the_applications_hold_the_table_and_nothing_else(app: App) -> None:
    table = {route.path.rstrip("/") for route in app.route_table}
    assert table == {
        route.path.rstrip("/") for application in (app.api, app.operations) for route in application.framework.routes
    }
    assert not table - NEEDS.keys(), "a new route has to say here who may ask it"


def test_what_is_no_route_is_404_for_everybody(app: App, client: Any) -> None:
    for caller in ("nobody", "admin"):
        authorization = header(caller)
        for path in ("/", "/api", "/api/", "/docs", "/openapi.json", "/redoc", "/api/query/x", "/metrics/x"):
            answer = client(app.api)("GET", path, headers={"authorization": authorization} if authorization else {})
            assert answer.status_code == 404, path
