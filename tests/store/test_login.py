"""Logging in as on DC/OS: who gets a token, what it opens, and that everything else is refused alike."""

import asyncio
import ipaddress
import json
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from metricstore.api import login
from metricstore.api.accounts import FEW, Accounts
from metricstore.api.attempts import KEPT, LOCK_MAX, TRIES, TRIES_ADDRESS, WINDOW, Attempts
from metricstore.api.auth import Gate, KeyRing, Permission
from metricstore.settings import Login
from metricwire import users
from metricwire.errors import Forbidden, InvalidToken, MetricsError, SettingsError, TooMany
from metricwire.tokens import AGENT_METRICS, NODE_METRICS, SUPERUSER, issue, jwks, login_key, new_pair, sign
from metricwire.users import Cost, entry, new_password
from rsapairs import ACCOUNT, FOREIGN, OURS

KEYS = [OURS, FOREIGN]
PRIVATE, PUBLIC = new_pair()
SECRET = "correct horse battery"
CHEAP = new_password(SECRET, Cost(14, 1))
PEOPLE = {"alice": [NODE_METRICS], "bob": [AGENT_METRICS], "carol": [SUPERUSER], "dave": []}
OWN, BY_NAME = "/system/v1/metrics/v0/ping", "/system/v1/agent/n1/metrics/v0/ping"
LOGIN = "/acs/api/v1/auth/login"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Keys and users as Secrets are mounted."""
    (tmp_path / "users").mkdir()
    (tmp_path / "key").write_text(KEYS[0][0])
    for uid, permissions in PEOPLE.items():
        (tmp_path / "users" / uid).write_bytes(entry(uid, permissions, password=CHEAP))
    (tmp_path / "users" / "poller").write_bytes(entry("poller", [SUPERUSER], public_key=ACCOUNT[1]))
    return tmp_path


def settings(folder: Path) -> dict[str, Any]:
    return {"key-files": [str(folder / "key"), str(folder / "previous")], "users": str(folder / "users")}


@pytest.fixture
def ask(folder: Path, make_app: Any, client: Any) -> Any:
    found = {"main": {"jwt-public-key": PUBLIC}, "metric-store": {"login": settings(folder)}}
    app = make_app(found, open_to_all=False)
    asked = client(app.api)
    asked.operations = client(app.operations)
    admin = {"authorization": f"Bearer {sign(PRIVATE, 'admin', ['admin'], issued=int(time.time()) - 5)}"}
    asked("POST", "/api/write", content=b"load_one,cluster=c,hostname=n1 value=1", headers=admin)
    return asked


def proof(uid: str = "poller", key: str = ACCOUNT[0], algorithm: str = "RS256", **claims: Any) -> str:
    return jwt.encode({"uid": uid, "exp": int(time.time()) + 200} | claims, key, algorithm=algorithm)


def logged_in(ask: Any, **credentials: Any) -> str:
    answer = ask("POST", LOGIN, json=credentials)
    assert (answer.status_code, list(answer.json())) == (200, ["token"]), answer.text
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.json()["token"])


def test_a_password_gives_a_token_of_five_days_that_the_published_keys_check(ask: Any) -> None:
    token = logged_in(ask, uid="alice", password=SECRET)
    found = ask("GET", "/acs/api/v1/auth/jwks").json()["keys"]
    head = jwt.get_unverified_header(token)
    assert [(key["kid"], key["alg"], key["use"]) for key in found] == [(head["kid"], "RS256", "sig")]
    claims = jwt.decode(token, jwt.PyJWK(found[0]), algorithms=["RS256"])
    assert claims["uid"] == "alice"
    assert claims["exp"] - claims["iat"] == 5 * 86400
    assert len(claims["jti"]) == 32


@pytest.mark.parametrize(("uid", "opens"), [("alice", {OWN}), ("bob", {BY_NAME}), ("carol", {OWN, BY_NAME}), ("dave", set())])
def test_permissions_open_the_two_prefixes_and_nothing_else(uid: str, opens: set[str], ask: Any) -> None:
    token = logged_in(ask, uid=uid, password=SECRET)
    for path in (OWN, BY_NAME):
        for header in (f"token={token}", f"Bearer {token}"):
            answer = ask("GET", path, headers={"authorization": header})
            assert answer.status_code == (200 if path in opens else 403), answer.text
    for method, path in (("POST", "/api/query"), ("POST", "/api/write"), ("POST", "/api/free"), ("GET", "/api/debug")):
        answer = ask(method, path, headers={"authorization": f"token={token}"})
        assert answer.status_code == 403
        assert "a login opens /system/v1/ alone" in answer.text


@pytest.mark.parametrize(("uid", "status"), [("alice", 403), ("bob", 403), ("carol", 200)])
def test_another_node_by_query_needs_the_permission_for_other_nodes_too(uid: str, status: int, ask: Any) -> None:
    token = logged_in(ask, uid=uid, password=SECRET)
    assert ask("GET", f"{OWN}?node=n1", headers={"authorization": f"token={token}"}).status_code == status


def test_a_service_account_logs_in_with_its_key_and_each_proof_once(ask: Any) -> None:
    shown = proof(jti="1")
    token = logged_in(ask, uid="poller", token=shown)
    assert ask("GET", BY_NAME, headers={"authorization": f"token={token}"}).status_code == 200
    again = ask("POST", LOGIN, json={"uid": "poller", "token": shown})
    assert (again.status_code, again.json()["error"]) == (401, login.WRONG)
    assert logged_in(ask, uid="poller", token=proof(jti="2"))


def wrong() -> list[dict[str, Any]]:
    now = int(time.time())
    ours = issue(login_key(KEYS[0][0].encode()), "poller", [SUPERUSER], now=now, seconds=200, id="1")
    return [
        {"uid": "alice", "password": SECRET + " "},
        {"uid": "alice", "password": ""},
        {"uid": "nobody", "password": SECRET},
        {"uid": "Alice", "password": SECRET},
        {"uid": "poller", "password": SECRET},
        {"uid": "", "password": SECRET},
        {"uid": "alice\u0000", "password": "\u0000"},
        {"uid": "alice", "token": proof("alice")},
        {"uid": "nobody", "token": proof("nobody")},
        {"uid": "poller", "token": ""},
        {"uid": "poller", "token": "x.y.z"},
        {"uid": "poller", "token": proof("alice")},
        {"uid": "poller", "token": proof(key=KEYS[1][0])},
        {"uid": "poller", "token": proof(key=ACCOUNT[1][30:], algorithm="HS256")},
        {"uid": "poller", "token": jwt.encode({"uid": "poller", "exp": now + 60}, None, algorithm="none")},
        {"uid": "poller", "token": proof(exp=now - 60)},
        {"uid": "poller", "token": proof(exp=now + 400)},
        {"uid": "poller", "token": jwt.encode({"uid": "poller"}, ACCOUNT[0], algorithm="RS256")},
        {"uid": "poller", "token": ours},
    ]


def test_whatever_is_wrong_the_answer_is_the_same(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metricstore.api.attempts.TRIES", 100)
    answers = [ask("POST", LOGIN, json=credentials) for credentials in wrong()]
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.text for answer in answers} == {
        json.dumps({"status": "Unauthorized", "error": login.WRONG}, separators=(",", ":"))
    }
    text = ask.operations("GET", "/metrics/self").text
    assert f'metricstore_logins_total{{outcome="refused"}} {float(len(answers))}' in text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"canary", 400),
        (b'"canary"', 400),
        (b'{"uid": "alice"}', 400),
        (b'{"uid": "alice", "password": null}', 400),
        (b'{"uid": "alice", "password": "canary", "token": "canary"}', 400),
        (b'{"uid": {"canary": 1}, "password": "canary"}', 400),
        (b'{"uid": "alice", "password": ["canary"]}', 400),
        (b'{"uid": "alice", "password": "\xffcanary"}', 400),
        (b"[" * 5000, 400),
        (b'{"uid": "alice", "password": "%s"}' % (b"canary" * 6000), 413),
    ],
    ids=range(11),
)
def test_what_cannot_be_read_is_said_without_showing_it(body: bytes, status: int, ask: Any) -> None:
    answer = ask("POST", LOGIN, content=body)
    assert answer.status_code == status, answer.text
    assert "canary" not in answer.text
    assert ask("GET", LOGIN).status_code == 405


def test_without_a_login_there_is_none(make_app: Any, client: Any) -> None:
    ask = client(make_app().api)
    assert ask("POST", LOGIN, json={"uid": "alice", "password": SECRET}).status_code == 404
    assert ask("GET", "/acs/api/v1/auth/jwks").status_code == 404


def test_guessing_is_slowed_down_for_a_uid_and_an_address(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metricstore.api.attempts.TRIES", 2)
    for uid in ("alice", "nobody"):
        answers = [ask("POST", LOGIN, json={"uid": uid, "password": "x"}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [401, 401, 429]
        assert 1 <= int(answers[2].headers["retry-after"]) <= 60
    assert ask("POST", LOGIN, json={"uid": "alice", "password": SECRET}).status_code == 429, "a lock does not tell"
    assert logged_in(ask, uid="bob", password=SECRET)


def test_more_at_once_than_can_be_served_are_told_to_come_again(
    folder: Path, make_app: Any, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metricstore.api.login.QUEUE", 2)
    app = make_app({"metric-store": {"login": settings(folder)}}, open_to_all=False)

    async def crowd() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app.api), base_url="http://store") as client:
            asked = (client.post(LOGIN, json={"uid": uid, "password": SECRET}) for uid in ("alice", "bob", "carol", "dave"))
            return await asyncio.gather(*asked)

    answers = loop.run_until_complete(crowd())
    assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503]
    assert all(answer.headers["retry-after"] == "5" for answer in answers if answer.status_code == 503)


def test_tries_are_counted_by_uid_and_address_and_locks_grow() -> None:
    now = [0.0]
    attempts = Attempts(lambda: now[0])

    def tried(uid: str = "a", address: str = "10.0.0.1") -> int:
        """0, or the seconds to wait."""
        try:
            attempts.begin(uid, address)
        except TooMany as error:
            return error.retry_after
        return 0

    waits = []
    for _ in range(6):
        assert [tried() for _ in range(TRIES)] == [0] * TRIES
        waits.append(tried())
        assert (tried("b"), tried(address="10.0.0.2")) == (0, 0), "nobody else is locked"
        now[0] += waits[-1]
    assert waits == [60, 120, 240, 480, 900, 900]
    now[0] += LOCK_MAX + 1
    assert [tried() for _ in range(TRIES + 1)] == [0] * TRIES + [60], "after a while it begins anew"
    attempts.succeeded("a", "10.0.0.1")
    assert tried() == 0
    assert [tried("c", f"2001:db8::{one:x}") for one in range(TRIES)] == [0] * TRIES
    assert tried("c", "2001:db8::ffff:1") > 0, "one host has a whole network"
    assert tried("a", "::ffff:10.0.0.9") == tried("a", "10.0.0.9") == 0


def test_what_is_remembered_of_tries_is_bounded() -> None:
    attempts = Attempts(lambda: 0.0)
    for number in range(KEPT + 100):
        attempts.begin("alice", str(ipaddress.ip_address(number)))
    assert (len(attempts._tries), len(attempts._left)) == (KEPT, KEPT)


def test_tries_from_an_address_are_counted_over_all_uids_and_lock_nobody() -> None:
    now = [0.0]
    attempts = Attempts(lambda: now[0])

    def tried(uid: str, address: str = "10.0.0.1") -> int:
        try:
            attempts.begin(uid, address)
        except TooMany as error:
            return error.retry_after
        return 0

    assert [tried(f"user{number}") for number in range(TRIES_ADDRESS + 1)] == [0] * TRIES_ADDRESS + [1]
    assert len(attempts._tries) == TRIES_ADDRESS, "what is refused takes no place"
    assert tried("user0", "10.0.0.2") == 0
    attempts.succeeded("user1", "10.0.0.1")
    assert [tried("alice"), tried("alice")] == [0, 1], "the right password is no try"
    now[0] += WINDOW / TRIES_ADDRESS * TRIES
    assert [tried("bob") for _ in range(TRIES + 1)] == [0] * TRIES + [1], "refused for the address: the uid is not locked"
    now[0] += WINDOW
    assert [tried("bob") for _ in range(TRIES + 1)] == [0] * TRIES + [60]
    for _ in range(2 * TRIES_ADDRESS):
        assert tried("bob") == 60, "tries at a locked uid"
    assert tried("carol") == 0, "do not count for the others from there"
    networks = [tried(f"a{number}", f"2001:db8::{number:x}") for number in range(TRIES_ADDRESS + 1)]
    assert networks == [0] * TRIES_ADDRESS + [1], "one host has a whole network"


def test_one_address_takes_few_of_the_places(folder: Path, make_app: Any, loop: asyncio.AbstractEventLoop) -> None:
    app = make_app({"metric-store": {"login": settings(folder)}}, open_to_all=False)

    async def crowd() -> list[list[httpx.Response]]:
        many = httpx.AsyncClient(transport=httpx.ASGITransport(app=app.api, client=("2001:db8::1", 1)), base_url="http://store")
        one = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app.api, client=("2001:db8:0:1::1", 1)), base_url="http://store"
        )
        async with many, one:
            asked = [
                many.post(LOGIN, json={"uid": f"user{number}", "password": "x"}) for number in range(4 * login.QUEUE_ADDRESS)
            ]
            asked.append(one.post(LOGIN, json={"uid": "alice", "password": SECRET}))
            first = await asyncio.gather(*asked)
            return [first, [await many.post(LOGIN, json={"uid": "alice", "password": SECRET})]]

    first, then = loop.run_until_complete(crowd())
    assert Counter(answer.status_code for answer in first) == {401: login.QUEUE_ADDRESS, 429: 3 * login.QUEUE_ADDRESS, 200: 1}
    assert {answer.headers["retry-after"] for answer in first if answer.status_code == 429} == {"1"}
    assert [answer.status_code for answer in then] == [200], "its places are given back"


class Life:
    """Accounts whose clock is ours, and a gate that knows them."""

    def __init__(self, folder: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.now, self._loop = 0.0, loop
        self.accounts = Accounts(
            Login(**{name.replace("-", "_"): value for name, value in settings(folder).items()}), self.clock
        )
        self.gate = Gate(KeyRing("", []), accounts=self.accounts)

    def clock(self) -> float:
        return self.now

    def tried(self, key: str, uid: str) -> type[MetricsError] | None:
        token = issue(login_key(key.encode()), uid, [], now=int(time.time()), seconds=60, id="1")
        try:
            self._loop.run_until_complete(self.gate.admit(f"token={token}", Permission.DCOS_NODE))
        except MetricsError as error:
            return type(error)
        return None


def test_who_has_no_key_is_checked_with_one_of_a_size_that_accounts_have(folder: Path, loop: asyncio.AbstractEventLoop) -> None:
    life = Life(folder, loop)
    poller = life.accounts.user("poller")
    assert poller is not None
    assert poller.key is not None
    keys = {uid: life.accounts.nobodys_key(uid) for uid in map(str, range(100))}
    assert {key.key_size for key in keys.values()} == {poller.key.key_size}
    assert all(life.accounts.nobodys_key(uid) is key for uid, key in keys.items())
    assert poller.key.public_numbers() not in [key.public_numbers() for key in keys.values()]
    (folder / "users" / "larger").write_bytes(entry("larger", [], public_key=pem_of(3072, public=True)))
    life.now += 10
    loop.run_until_complete(life.accounts.look())
    assert life.accounts.user("larger")
    assert {life.accounts.nobodys_key(uid).key_size for uid in keys} == {poller.key.key_size, 3072}
    for uid in ("poller", "larger"):
        (folder / "users" / uid).unlink()
    life.now += 10
    loop.run_until_complete(life.accounts.look())
    assert life.accounts.user("poller") is None
    assert life.accounts.nobodys_key("x").key_size == 2048


def test_keys_are_rotated_and_removed(folder: Path, loop: asyncio.AbstractEventLoop) -> None:
    life, (old, new) = Life(folder, loop), (private for private, _ in KEYS)
    assert (life.tried(old, "alice"), life.tried(new, "alice")) == (None, InvalidToken)
    (folder / "previous").write_text(old)
    (folder / "key").write_text(new)
    life.now += 10
    assert (life.tried(old, "alice"), life.tried(new, "alice")) == (None, None)
    assert life.accounts.signing_key() == life.accounts.keys()[login_key(new.encode()).id], "the first signs"
    assert len(jwks(life.accounts.keys().values())["keys"]) == 2
    (folder / "previous").unlink()
    life.now += 10
    assert (life.tried(old, "alice"), life.tried(new, "alice")) == (InvalidToken, None)
    (folder / "key").unlink()
    life.now += 10
    assert life.tried(new, "alice") is InvalidToken
    assert life.accounts.signing_key() is None


def test_users_change_while_the_store_runs(
    folder: Path, loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    life, key = Life(folder, loop), KEYS[0][0]
    assert [life.tried(key, uid) for uid in ("alice", "bob", "erin")] == [None, Forbidden, InvalidToken]
    (folder / "users" / "alice").unlink()
    (folder / "users" / "bob").write_bytes(entry("bob", [SUPERUSER], password=CHEAP))
    (folder / "users" / "erin").write_bytes(b"[%b, %b]" % (entry("erin", [SUPERUSER], password=CHEAP), b'{"uid": "frank"}'))
    (folder / "users" / "zoe").write_text('{"uid": "zoe", "password": "canary", "permissions": []}')
    (folder / "users" / "zz").write_bytes(entry("bob", [], password=CHEAP))
    life.now += 10
    assert [life.tried(key, uid) for uid in ("alice", "bob", "erin")] == [InvalidToken, None, None]
    for text in ("cannot use entry 2 of", "zoe (zoe): expected $scrypt$", "user bob is there twice"):
        assert text in caplog.text
    assert "canary" not in caplog.text


def test_many_bad_entries_are_told_in_a_few_lines(
    folder: Path, loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    bad = b"[" + b"1," * 1000 + b",".join([entry("bob", [], password=CHEAP)] * 500) + b"]"
    (folder / "users" / "a-bad").write_bytes(bad)
    (folder / "users" / "b-worse").write_bytes(b"[" + b"1," * FEW + b"1]")
    (folder / "users" / "c-less").write_bytes(b"[1]")
    Life(folder, loop)
    told = [message for message in caplog.messages if "a-bad" in message]
    assert len(told) == FEW + 1
    assert told[-1].endswith("990 more entries are left out")
    assert len([message for message in caplog.messages if "b-worse" in message]) == FEW + 1
    assert len([message for message in caplog.messages if "c-less" in message]) == 1
    twice = [message for message in caplog.messages if "twice" in message]
    assert len(twice) == FEW + 1
    assert twice[-1].startswith("490 more users are there twice")


def test_users_are_read_beside_the_requests(
    folder: Path, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large file keeps whoever needs it, and nobody else."""
    life = Life(folder, loop)
    held, reading = threading.Event(), threading.Event()
    usual = users.read

    def slow(text: bytes, name: str) -> Any:
        reading.set()
        held.wait(30)
        return usual(text, name)

    monkeypatch.setattr("metricstore.api.accounts.read", slow)
    (folder / "users" / "erin").write_bytes(entry("erin", [], password=CHEAP))
    life.now += 10

    async def look() -> None:
        first = asyncio.create_task(life.accounts.look())
        await asyncio.to_thread(reading.wait, 30)
        await life.accounts.look()
        assert life.accounts.user("alice"), "others go by what was read before"
        assert life.accounts.user("erin") is None
        held.set()
        await first
        assert life.accounts.user("erin")

    loop.run_until_complete(look())


def pem_of(bits: int, *, public: bool = False) -> str:
    from cryptography.hazmat.primitives import serialization

    key = rsa.generate_private_key(65537, bits)
    if public:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, "none of the files in metric-store.login.key-files exists"),
        ("x", "expected PEM of an RSA private key"),
        (KEYS[0][1], "expected PEM of an RSA private key"),
        (pem_of(1024), "cannot use RSA key of 1024 bits: 2048 to 8192 are allowed"),
    ],
    ids=["missing", "no PEM", "public half", "1024 bits"],
)
def test_a_key_that_cannot_sign_is_named_at_the_start(
    text: str | None, error: str, folder: Path, loop: asyncio.AbstractEventLoop
) -> None:
    (folder / "key").unlink()
    if text is not None:
        (folder / "key").write_text(text)
    with pytest.raises(SettingsError, match=error):
        Life(folder, loop)
