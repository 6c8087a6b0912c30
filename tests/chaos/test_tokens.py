"""T11 and T12 (P11): forged tokens, and the life of a key."""

import base64
import contextlib
import http.client
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chaos.conftest import Figures
from chaos.forgeries import Forged, Trust, forged
from chaos.program import MIB, Program
from metricwire.tokens import LEEWAY, NODE_METRICS, PUBLISHED_KEY, SUPERUSER, login_key, new_pair, sign
from metricwire.users import Cost, entry, new_password
from rsapairs import ACCOUNT

ISSUER = "https://kubernetes"
AGENT = "system:serviceaccount:monitoring:fritz-agent"
LINE = "m,cluster=c,hostname=n1 value=1"
WRITE, READ = ("POST", "/api/write"), ("GET", "/system/v1/metrics/v0/ping")  # what a path's good token may
LOGIN = "/acs/api/v1/auth/login"
WEAK = rsa.generate_private_key(65537, 1024)
# spec/metric-store-api.md "Tokens": admin, by the private half that everybody has
PUBLISHED_TOKEN = (
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSJ9.eyJ1c2VyIjoiYWRtaW4iLCJyb2xlcyI6WyJST0xFX0FETUlOIiwiUk9MRV9BTkFMWVNUIiwiUk9MRV9VU0VSIl19."
    "d-3_3FZTsadPjDEdsWrrQ7nS0edMAR4zjl-eK7rJU3HziNBfI9PDHDIpJVHTNN5E5SlLGLFXctWyKAkwhXL-Dw"
)
STRANGER = {"sub": "system:serviceaccount:default:stranger"}
# Valid tokens that do not permit what they ask for: changed claims, method, path.
FORBIDDEN: dict[str, list[tuple[str, dict[str, Any], str, str]]] = {
    "Ed25519": [
        (f"roles {roles!r}", {"roles": roles}, "POST", "/api/write")
        for roles in (
            [],
            None,
            "admin",
            ["user"],
            ["ADMIN "],
            [["admin"]],
            {"admin": 1},
            ["role_role_admin"],
            ["administrator"],
        )
    ],
    "ServiceAccount": [
        ("an agent reads", {}, "POST", "/api/query"),
        ("a stranger writes", STRANGER, "POST", "/api/write"),
        ("a stranger reads", STRANGER, "POST", "/api/query"),
        ("a stranger with roles", STRANGER | {"roles": ["admin"]}, "POST", "/api/query"),
        ("an agent without a node", {"kubernetes.io": {}}, "POST", "/api/write"),
        ("an agent with roles reads", {"roles": ["admin"]}, "POST", "/api/query"),
    ],
    "Login": [
        *(
            (f"a login asks {path}", {}, method, path)
            for method, path in (
                WRITE,
                ("POST", "/api/query"),
                ("POST", "/api/free"),
                ("GET", "/api/debug"),
                ("GET", "/api/backup"),
                ("POST", "/write"),
            )
        ),
        ("a login with roles writes", {"roles": ["admin"]}, *WRITE),
        ("a user without permissions", {"uid": "none"}, *READ),
        ("permissions that the token alone has", {"uid": "none", "permissions": [SUPERUSER]}, *READ),
        ("the other prefix", {"uid": "node"}, "GET", "/system/v1/agent/n1/metrics/v0/ping"),
    ],
}


class ApiServer(ThreadingHTTPServer):
    """Publishes `keys` by name as a Kubernetes API server does."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Publisher)
        self.keys: dict[str, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey] = {}
        self.more: list[dict[str, Any]] = []

    def jwks(self) -> list[dict[str, Any]]:
        found = []
        for name, key in self.keys.items():
            algorithm = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
            found.append(json.loads(algorithm.to_jwk(key.public_key())) | {"kid": name, "use": "sig"})
        return found + self.more


class Publisher(BaseHTTPRequestHandler):
    server: ApiServer

    def do_GET(self) -> None:
        self._answer({"issuer": ISSUER} if "openid-configuration" in self.path else {"keys": self.server.jwks()})

    def _answer(self, found: dict[str, Any]) -> None:
        text = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self) -> None:
        """A SubjectAccessReview: nothing is allowed."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({"status": {"allowed": False}})

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def api_server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def kubernetes(api_server: ApiServer, folder: Path) -> dict[str, Any]:
    (folder / "token").write_text("mine")
    url = f"http://127.0.0.1:{api_server.server_port}"
    return {"url": url, "token-file": str(folder / "token"), "ca-file": "", "agents": AGENT}


def service_account(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, name: str) -> Trust:
    claims = {
        "iss": ISSUER,
        "aud": ["metricscluster"],
        "sub": AGENT,
        "iat": int(time.time()),
        "exp": int(time.time()) + 3600,
        "kubernetes.io": {"node": {"name": "n1"}},
    }
    return Trust(key, {"alg": "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256", "kid": name}, claims, True)


class Tried:
    """What became of attempts: every answer as it should be, or not."""

    def __init__(self, store: Program) -> None:
        self.count: Counter[str] = Counter()
        self.texts: set[str] = set()  # of the answers 401
        self.wrong: list[str] = []
        self._store = store

    def add(self, path: str, name: str, status: int, text: str, wanted: int = 401) -> None:
        """One attempt and its answer."""
        self.count[path] += 1
        if status != wanted:
            self.wrong.append(f"{path}: {name}: {status} {text[:200]}")
        elif wanted == 401:
            self.texts.add(text)

    def attack(self, path: str, attempts: Iterable[Forged], target: tuple[str, str] = WRITE) -> None:
        """Each attempt tries to write, or what else that path is for; none may."""
        for attempt in attempts:
            header = attempt.header.encode("utf-8", "surrogatepass").decode("latin-1")
            answer = self._store.ask(*target, LINE, {"Authorization": header})
            self.add(path, attempt.name, answer.status, answer.text)

    def attack_with_two(self, path: str, name: str, *tokens: str) -> None:
        """A header field for each token: which of them would count is not for a proxy and us to see differently."""
        connection = http.client.HTTPConnection("127.0.0.1", self._store.port, timeout=30)
        connection.putrequest("POST", "/api/write")
        for one in tokens:
            connection.putheader("Authorization", f"Bearer {one}")
        connection.putheader("Content-Length", str(len(LINE)))
        connection.endheaders(LINE.encode())
        answer = connection.getresponse()
        self.add(path, name, answer.status, answer.read().decode())
        connection.close()


def status_of(store: Program, token: str, method: str = "POST", path: str = "/api/write", body: str = LINE) -> int:
    return store.ask(method, path, body, {"Authorization": f"Bearer {token}"}).status


def pem(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def login(folder: Path, *keys: str) -> dict[str, Any]:
    """Settings of a login with such keys, and users: `x` and the account `poller` may all, `node` and `none` less."""
    (folder / "users").mkdir()
    password = new_password("canary", Cost(14, 1))
    for uid, permissions in {"x": [SUPERUSER], "node": [NODE_METRICS], "none": []}.items():
        (folder / "users" / uid).write_bytes(entry(uid, permissions, password=password))
    (folder / "users" / "poller").write_bytes(entry("poller", [SUPERUSER], public_key=ACCOUNT[1]))
    names = [folder / f"login-{number}.pem" for number in range(2)]
    for name, text in zip(names, keys, strict=False):
        name.write_text(text)
    return {"key-files": list(map(str, names)), "users": str(folder / "users")}


def login_token(key: rsa.RSAPrivateKey) -> Trust:
    now = int(time.time())
    claims = {"uid": "x", "iat": now, "exp": now + 3600, "jti": "1", "permissions": [SUPERUSER]}
    return Trust(key, {"alg": "RS256", "typ": "JWT", "kid": login_key(pem(key).encode()).id}, claims, True)


@pytest.fixture
def trusting(make_program: Callable[..., Program], tmp_path: Path, api_server: ApiServer) -> tuple[Program, dict[str, Trust]]:
    """A store that knows keys of all kinds, and the way to each."""
    key = Ed25519PrivateKey.generate()
    rsa_key, ec_key = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
    ours = rsa.generate_private_key(65537, 2048)
    api_server.keys = {"k1": rsa_key, "k2": ec_key, "weak": WEAK}
    files = {"key": base64.b64encode(key.public_key().public_bytes_raw()).decode(), "published": PUBLISHED_KEY}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    settings = {"public-key-files": [str(tmp_path / name) for name in files], "strict-roles": True}
    settings |= {"kubernetes": kubernetes(api_server, tmp_path), "login": login(tmp_path, pem(ours))}
    store = make_program(store=settings, arguments=())
    claims = {"user": "x", "roles": ["admin"], "exp": int(time.time()) + 3600}
    return store.run(), {
        "Ed25519": Trust(key, {"alg": "EdDSA", "typ": "JWT"}, claims, False),
        "ServiceAccount RS256": service_account(rsa_key, "k1"),
        "ServiceAccount ES256": service_account(ec_key, "k2"),
        "Login RS256": login_token(ours),
    }


def test_t11_forged_tokens_are_refused(trusting: tuple[Program, dict[str, Trust]], figures: Figures) -> None:
    store, paths = trusting
    base, tried = store.use(), Tried(store)
    for path, trust in paths.items():
        target = READ if path.startswith("Login") else WRITE
        assert status_of(store, trust.good(), *target) == 200, f"{path}: the good token"
        attempts = list(forged(trust))
        assert len(attempts) >= 80
        tried.attack(path, attempts, target)
        tried.attack_with_two(path, "two headers, the good one first", trust.good(), "x")
        tried.attack_with_two(path, "two headers, the good one last", "x", trust.good())
        tried.attack_with_two(path, "two good headers", trust.good(), trust.good())
        assert status_of(store, trust.good(), *target) == 200, f"{path}: the good token still counts"
    tried.attack("Ed25519", [Forged("the key that everybody has", f"Bearer {PUBLISHED_TOKEN}")])
    tried.attack("ServiceAccount RS256", [Forged("RSA of 1024 bits", f"Bearer {service_account(WEAK, 'weak').good()}")])
    proof = Trust(serialization.load_pem_private_key(ACCOUNT[0].encode(), None), {"alg": "RS256"}, {}, True)  # type: ignore[arg-type]
    shown = proof.good(uid="poller", exp=int(time.time()) + 60)
    tried.attack("Login RS256", [Forged("what an account logs in with", f"token={shown}")], READ)
    for path, trust in paths.items():
        for name, changed, method, target in FORBIDDEN[path.split()[0]]:
            tried.add(path, name, status_of(store, trust.good(**changed), method, target), "", 403)
    grown = (store.use().resident - base.resident) / MIB
    each = ", ".join(f"{count} {path}" for path, count in tried.count.items())
    figures(
        f"T11: {sum(tried.count.values())} attempts ({each}), {len(tried.wrong)} answered otherwise than 401 or 403, "
        f"{len(tried.texts)} texts, RSS {grown:+.0f} MiB"
    )
    assert not tried.wrong, "\n".join(tried.wrong)
    assert len(tried.texts) == 2, "what is no token at all may be told, why a token does not count may not"


def test_t11_forged_proofs_log_nobody_in(trusting: tuple[Program, dict[str, Trust]], figures: Figures) -> None:
    """What a service account logs in with, forged in the same ways; a uid for each attempt, so that no lock is in the way."""
    store, paths = trusting
    now = int(time.time())
    key = serialization.load_pem_private_key(ACCOUNT[0].encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    trust = Trust(key, {"alg": "RS256", "typ": "JWT"}, {"uid": "poller", "iat": now, "exp": now + 200}, True)
    attempts = [attempt.header.removeprefix("Bearer ") for attempt in forged(trust) if attempt.header.startswith("Bearer ")]
    attempts = [text for text in attempts if text.isascii() and text != trust.good()]
    attempts += [trust.good(exp=now + 400), paths["Login RS256"].good(uid="poller", exp=now + 200)]
    found: Counter[tuple[int, str]] = Counter()
    for number, text in enumerate(attempts):
        source = f"127.{number // 250}.{number % 250}.2"
        connection = http.client.HTTPConnection("127.0.0.1", store.port, timeout=30, source_address=(source, 0))
        connection.request("POST", LOGIN, json.dumps({"uid": "poller", "token": text}), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        found[answer.status, answer.read().decode() if answer.status == 401 else text[:200]] += 1
        connection.close()
    others = found.total() - max(found.values())
    figures(f"T11: {len(attempts)} forged proofs of a service account, {others} answered otherwise than 401")
    assert [status for status, _ in found] == [401], found
    assert store.ask("POST", LOGIN, json.dumps({"uid": "poller", "token": trust.good()})).status == 200


def test_t11_a_token_of_a_megabyte_is_not_read(trusting: tuple[Program, dict[str, Trust]]) -> None:
    store, _ = trusting
    with socket.create_connection(("127.0.0.1", store.port)) as one, contextlib.suppress(ConnectionError):
        one.sendall(b"POST /api/write HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ".ljust(32 * 1024 + 1, b"x"))
        assert one.recv(100).startswith(b"HTTP/1.1 431 ")
    status, _ = store.end()
    assert status == 0


def dead_after(refused: Callable[[], bool], beside: Callable[[], bool], limit: float) -> tuple[float, int]:
    """Seconds until it is refused, and how often what must go on counting did not meanwhile."""
    begun, failures = time.monotonic(), 0
    while not refused():
        assert time.monotonic() - begun < limit, f"it still counts after {limit:g} s"
        failures += not beside()
        time.sleep(0.05)
    return time.monotonic() - begun, failures + (not beside())


def test_t12_a_checked_token_dies_at_its_end(make_program: Callable[..., Program], tmp_path: Path, figures: Figures) -> None:
    private, public = new_pair()
    (tmp_path / "key").write_text(public)
    store = make_program(store={"public-key-files": [str(tmp_path / "key")]}, arguments=()).run()
    now = int(time.time())
    token = sign(private, "x", ["admin"], issued=now - 60, expires=now + 3 - LEEWAY)
    late, asked = [], time.time()
    while status_of(store, token) == 200:
        late.append(asked - now - 3)
        time.sleep(0.01)
        asked = time.time()
    assert late, "it counted, so it was remembered"
    figures(f"T12: a token used {len(late)} times before was last accepted {late[-1]:+.2f} s after exp + leeway ({LEEWAY} s)")
    assert late[-1] <= 1


@pytest.mark.chaos
def test_t12_keys_are_rotated_and_removed(
    make_program: Callable[..., Program], tmp_path: Path, api_server: ApiServer, figures: Figures
) -> None:
    pairs = [new_pair(), new_pair()]
    files = [tmp_path / "old", tmp_path / "new"]
    files[0].write_text(pairs[0][1])
    api_server.keys = {"k1": rsa.generate_private_key(65537, 2048)}
    settings = {"public-key-files": list(map(str, files)), "kubernetes": kubernetes(api_server, tmp_path)}
    store = make_program(store=settings, arguments=()).run()
    old, new = (sign(private, "x", ["admin"], issued=int(time.time())) for private, _ in pairs)
    account = service_account(api_server.keys["k1"], "k1").good()
    assert [status_of(store, token) for token in (old, new, account)] == [200, 401, 200]
    files[1].write_text(pairs[1][1])
    added, failed = dead_after(lambda: status_of(store, new) == 200, lambda: status_of(store, old) == 200, 12)
    files[0].unlink()
    removed, more = dead_after(lambda: status_of(store, old) == 401, lambda: status_of(store, new) == 200, 12)
    api_server.keys = {"k2": rsa.generate_private_key(65537, 2048)}
    swapped, still = dead_after(lambda: status_of(store, account) == 401, lambda: status_of(store, new) == 200, 400)
    figures(
        f"T12: a new key counts after {added:.1f} s, a removed one until {removed:.1f} s, one gone from the JWKS until "
        f"{swapped:.1f} s; {failed + more + still} failed requests with the key that counts; no restart"
    )
    assert failed + more + still == 0
    assert max(added, removed, swapped) <= 10


@pytest.mark.chaos
def test_t12_login_keys_are_rotated_and_removed(make_program: Callable[..., Program], tmp_path: Path, figures: Figures) -> None:
    old, new = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    store = make_program(store={"login": login(tmp_path, pem(old))}, arguments=()).run()
    tokens = [login_token(key).good() for key in (old, new)]

    def counts(token: str) -> bool:
        return status_of(store, token, *READ) == 200

    assert [counts(token) for token in tokens] == [True, False]
    (tmp_path / "login-1.pem").write_text(pem(old))
    (tmp_path / "login-0.pem").write_text(pem(new))
    added, failed = dead_after(lambda: counts(tokens[1]), lambda: counts(tokens[0]), 12)
    issued = store.ask("POST", LOGIN, json.dumps({"uid": "x", "password": "canary"})).json["token"]
    assert jwt.get_unverified_header(issued)["kid"] == login_key(pem(new).encode()).id, "the first signs"
    (tmp_path / "login-1.pem").unlink()
    removed, more = dead_after(lambda: not counts(tokens[0]), lambda: counts(tokens[1]) and counts(issued), 12)
    (tmp_path / "users" / "x").unlink()
    gone, _ = dead_after(lambda: not counts(issued), lambda: True, 12)
    figures(
        f"T12: a new login key counts after {added:.1f} s, a removed one until {removed:.1f} s, a removed user until "
        f"{gone:.1f} s; {failed + more} failed requests with what counts; no restart"
    )
    assert failed + more == 0
    assert max(added, removed, gone) <= 10
