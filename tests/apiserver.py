"""A Kubernetes API server as far as tokens are concerned: it publishes keys, and we sign ServiceAccount tokens with them.

It answers SubjectAccessReviews too: `allowed` are the (user, verb, path) that are permitted, `refuses` is a status to answer
instead.
"""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

AGENTS = "system:serviceaccount:monitoring:fritz-agent"
KEYS = {name: rsa.generate_private_key(65537, 2048) for name in ("k1", "k2")}


class ApiServer(ThreadingHTTPServer):
    """Publishes keys as a Kubernetes API server does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.names = ["k1"]
        self.asked: list[tuple[str, str | None]] = []
        self.allowed: set[tuple[str, str, str]] = set()
        self.reviewed: list[dict[str, Any]] = []  # the `spec` of each review
        self.refuses = 0


class Answer(BaseHTTPRequestHandler):
    server: ApiServer

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Authorization"]))
        jwks = [
            json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEYS[name].public_key())) | {"kid": name}
            for name in self.server.names
        ]
        content = {"issuer": "https://kubernetes"} if "openid-configuration" in self.path else {"keys": jwks}
        self._send(200, content)

    def do_POST(self) -> None:
        spec = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["spec"]
        self.server.reviewed.append(spec)
        asked = spec["nonResourceAttributes"]
        allowed = (spec["user"], asked["verb"], asked["path"]) in self.server.allowed
        self._send(self.server.refuses or 201, {"status": {"allowed": allowed}})

    def _send(self, status: int, content: Any) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def api_server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def token(key: str = "k1", **changed: Any) -> str:
    claims = {
        "iss": "https://kubernetes",
        "aud": ["metricscluster"],
        "sub": AGENTS,
        "exp": int(time.time()) + 600,
        "kubernetes.io": {"node": {"name": "n1"}},
    } | changed
    return jwt.encode(claims, KEYS[key], algorithm="RS256", headers={"kid": key})
