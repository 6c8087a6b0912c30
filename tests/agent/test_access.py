"""Who may ask an agent: keys that come and go, tokens of the login by their permissions, ServiceAccounts as RBAC says."""

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest

from apiserver import AGENTS, ApiServer, token
from metricagent import apiserver
from metricagent.access import Access
from metricagent.settings import ApiSettings, KubernetesSettings
from metricagent.tokencheck import Cluster, TokenCheck
from metricwire import tokens
from metricwire.errors import Forbidden, InvalidToken, MetricsError, SettingsError, Unavailable
from metricwire.reviews import OUR_RULE, Reviews
from metricwire.serviceaccounts import ClusterKeys
from rsapairs import FOREIGN, OURS

NOW = 1_800_000_000
PRIVATE, PUBLIC = tokens.new_pair()
LOGIN, LOGIN_PUBLIC = (text.encode() for text in OURS)
OWN, BY_NAME = "/system/v1/metrics/v0/node", "/system/v1/agent/n1/metrics/v0/node"
logger = logging.getLogger("test")


async def may(access: TokenCheck, authorization: Sequence[str], method: str, path: str) -> None:
    """Return if whoever sent these headers may ask this."""
    await access.permit(await access.identify(authorization), method, path)


def check(access: TokenCheck, *headers: str, path: str = OWN) -> type[MetricsError] | None:
    """What became of it: None when it may."""
    try:
        asyncio.run(may(access, headers, "GET", path))
    except MetricsError as error:
        return type(error)
    return None


def open_access(settings: ApiSettings) -> Access:
    return Access(
        settings,
        lambda: TokenCheck(settings.public_key_files, login_key_files=settings.login_key_files, now=lambda: NOW),
    )


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(PUBLIC + "\n")
    return path


def test_a_removed_key_is_dead_and_a_new_one_counts(key_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    now = float(NOW)
    access = TokenCheck([str(key_file)], now=lambda: now)
    good = f"Bearer {tokens.sign(PRIVATE, 'alice', ['user'], issued=NOW - 100)}"
    assert check(access, good) is None
    key_file.write_text("no key")
    for _ in range(2):
        now += 9
        assert check(access, good) is InvalidToken
    assert len(caplog.messages) == 1
    key_file.write_text(PUBLIC)
    now += 9
    assert check(access, good) is None


def test_tokens_that_never_expire_can_be_refused(key_file: Path) -> None:
    access = TokenCheck([str(key_file)], now=lambda: NOW, expiring=True)
    assert check(access, f"Bearer {tokens.sign(PRIVATE, 'alice', [], issued=NOW)}") is InvalidToken
    assert check(access, f"Bearer {tokens.sign(PRIVATE, 'alice', [], issued=NOW, expires=NOW + 60)}") is None


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, "cannot read K: No such file"),
        ("x", "cannot use K: cannot use public key: expected base64"),
        ("ü", "cannot use K: cannot use public key: "),
        (tokens.PUBLISHED_KEY, "cannot use K: it is the key of cc-metric-store's documentation"),
    ],
)
def test_a_key_file_that_cannot_be_used_at_the_start(key_file: Path, text: str | None, error: str) -> None:
    key_file.unlink()
    if text is not None:
        key_file.write_text(text)
    with pytest.raises(SettingsError) as raised:
        open_access(ApiSettings(public_key_files=(str(key_file),)))
    assert str(raised.value).replace(str(key_file), "K").startswith(error)


@pytest.mark.parametrize(
    ("permissions", "path", "outcome"),
    [
        ([tokens.NODE_METRICS], OWN, None),
        ([tokens.NODE_METRICS], BY_NAME, Forbidden),
        ([tokens.AGENT_METRICS], OWN, Forbidden),
        ([tokens.AGENT_METRICS], BY_NAME, None),
        ([tokens.SUPERUSER], OWN, None),
        ([tokens.SUPERUSER], BY_NAME, None),
        ([], OWN, Forbidden),
        (["dcos"], BY_NAME, Forbidden),
    ],
)
def test_a_login_may_what_its_permissions_open(
    permissions: list[str], path: str, outcome: type[MetricsError] | None, tmp_path: Path
) -> None:
    (tmp_path / "key").write_bytes(LOGIN_PUBLIC)
    missing = str(tmp_path / "previous")
    access = TokenCheck([], login_key_files=[str(tmp_path / "key"), missing], now=lambda: NOW)
    issued = tokens.issue(tokens.login_key(LOGIN), "alice", permissions, now=NOW, seconds=60, id="1")
    assert [check(access, text, path=path) for text in (f"Bearer {issued}", f"token={issued}")] == [outcome] * 2
    assert check(access, f"token={issued}", f"token={issued}", path=path) is InvalidToken, "two headers"
    foreign = tokens.issue(tokens.login_key(FOREIGN[0].encode()), "alice", permissions, now=NOW, seconds=60, id="1")
    stale = tokens.issue(tokens.login_key(LOGIN), "alice", permissions, now=NOW - 90, seconds=60, id="1")
    endless = jwt.encode({"uid": "alice"}, LOGIN, algorithm="RS256", headers={"kid": tokens.login_key(LOGIN).id})
    for bad in (foreign, stale, endless):
        assert check(access, f"token={bad}", path=path) is InvalidToken


def test_a_private_login_key_is_not_for_agents(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(LOGIN)
    with pytest.raises(SettingsError, match="expected PEM of an RSA public key"):
        open_access(ApiSettings(login_key_files=(str(tmp_path / "key"),)))


def test_what_checks_tokens_is_loaded_for_the_first_one(key_file: Path) -> None:
    settings = ApiSettings(public_key_files=(str(key_file),))
    loaded = []

    def load() -> TokenCheck:
        loaded.append(1)
        return TokenCheck(settings.public_key_files, now=lambda: NOW)

    everybody = Access(ApiSettings(anonymous=True), load)
    assert asyncio.run(everybody.identify([])) is None
    asyncio.run(everybody.permit(None, "GET", OWN))
    access = Access(settings, load)
    assert not loaded
    for _ in range(2):
        claims = asyncio.run(access.identify([f"Bearer {tokens.sign(PRIVATE, 'alice', [], issued=NOW)}"]))
        asyncio.run(access.permit(claims, "GET", OWN))
    assert loaded == [1]


def test_an_agent_that_nobody_asks_has_not_loaded_it() -> None:
    program = (
        "import sys, metricagent.app; print(sorted({'cryptography', 'jwt', 'nats', 'pynvml', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert done.stdout == "[]\n"


@asynccontextmanager
async def joined(api_server: ApiServer, folder: Path, clock: Callable[[], float] = time.time) -> AsyncIterator[TokenCheck]:
    """An agent of a Kubernetes cluster."""
    (folder / "token").write_text("mine\n")
    url = f"http://127.0.0.1:{api_server.server_port}"
    settings = KubernetesSettings(url=url, token_file=str(folder / "token"), ca_file="")
    async with apiserver.connected(settings) as server:
        cluster = Cluster(ClusterKeys(server, settings.audience, clock, logger), Reviews(server, clock, logger))
        yield TokenCheck([], cluster=cluster, now=clock)


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(coroutine)


def test_a_service_account_may_what_rbac_grants(api_server: ApiServer, tmp_path: Path) -> None:
    now = time.time()

    async def ask() -> None:
        async with joined(api_server, tmp_path, lambda: now) as access:
            api_server.allowed.add((AGENTS, "get", OWN))
            for _ in range(3):
                await may(access, [f"Bearer {token()}"], "GET", OWN + "/")
            assert [path for path, by in api_server.asked if by == "Bearer mine"] == [
                "/.well-known/openid-configuration",
                "/openid/v1/jwks",
            ]
            assert len(api_server.reviewed) == 1, "an answer is remembered"
            with pytest.raises(Forbidden, match=r"has the rule nonResourceURLs: \[/system/v1/agent/n1/metrics/v0/node\]"):
                await may(access, [f"Bearer {token()}"], "GET", BY_NAME)
            with pytest.raises(InvalidToken):
                await may(access, [f"Bearer {token(aud=['api'])}"], "GET", OWN)

    run(ask())


@pytest.mark.parametrize(("status", "text"), [(403, OUR_RULE), (500, "the API server cannot be asked")])
def test_nobody_is_let_in_while_rbac_cannot_be_asked(
    status: int, text: str, api_server: ApiServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = time.time()

    async def ask() -> None:
        async with joined(api_server, tmp_path, lambda: now) as access:
            api_server.allowed.add((AGENTS, "get", OWN))
            api_server.refuses = status
            for _ in range(3):
                with pytest.raises(Unavailable, match=text):
                    await may(access, [f"Bearer {token()}"], "GET", OWN)
        assert len(api_server.reviewed) == 1, "a failing API server is left alone for a moment"

    run(ask())
    assert len([message for message in caplog.messages if "cannot tell who may do this" in message]) == 1


def test_a_token_file_that_holds_no_token_is_not_shown(
    api_server: ApiServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask() -> None:
        async with joined(api_server, tmp_path) as access:
            (tmp_path / "token").write_text("canary\r\nx: y")
            with pytest.raises(Unavailable, match="could not be read yet"):
                await may(access, [f"Bearer {token()}"], "GET", OWN)

    run(ask())
    assert "holds no token" in caplog.text
    assert "canary" not in caplog.text
