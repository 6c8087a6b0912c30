"""A real API server: kube-apiserver and etcd as processes, without nodes and controllers, whose part the tests play."""

import json
import os
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from chaos.program import free_port

BINARIES = Path(os.environ.get("KUBE_CACHE", Path.home() / ".cache/kube")) / "bin"
ADMIN, OPERATOR = "admin", "operator"  # tokens, and users
JSON = "application/json"
MERGE = "application/merge-patch+json"
START_SECONDS = 120.0  # a start that takes longer hangs
_UNCHECKED = ssl.create_default_context()
_UNCHECKED.check_hostname = False
_UNCHECKED.verify_mode = ssl.CERT_NONE


def missing() -> str:
    """Why there can be no API server here; "" when there can."""
    lacking = [name for name in ("kube-apiserver", "etcd") if not _found(name)]
    return f"{' and '.join(lacking)} neither on PATH nor in {BINARIES}" if lacking else ""


def _found(name: str) -> str | None:
    return shutil.which(name, path=f"{BINARIES}{os.pathsep}{os.environ.get('PATH', '')}")


needed = pytest.mark.skipif(bool(missing()), reason=missing() or "never")


class ControlPlane:
    """The processes, whose data and logs are in `folder`, and requests to them as an administrator.

    `accounts` are ServiceAccounts, `namespace:name`, whose token is that too.
    """

    def __init__(self, folder: Path, *, authorization: str = "RBAC", accounts: tuple[str, ...] = ()) -> None:
        self.folder, self.port, self.etcd_port = folder, free_port(), free_port()
        self.certificate = folder / "certificates" / "apiserver.crt"
        self._authorization, self._accounts = authorization, accounts
        self.processes: list[subprocess.Popen[bytes]] = []
        self.url = f"https://127.0.0.1:{self.port}"
        self._keys()
        self._run_etcd()
        self.begin()

    def _keys(self) -> None:
        key = rsa.generate_private_key(65537, 2048)
        plain = serialization.NoEncryption()
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        (self.folder / "sa.key").write_bytes(pem)
        users = [f"{each},system:serviceaccount:{each},{each},system:serviceaccounts" for each in self._accounts]
        (self.folder / "tokens.csv").write_text(
            "\n".join([f"{ADMIN},admin,1,system:masters", f"{OPERATOR},operator,2", *users])
        )

    def _run_etcd(self) -> None:
        client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{free_port()}"
        self._start(
            "etcd",
            *("--data-dir", str(self.folder / "etcd"), "--unsafe-no-fsync", "--log-level", "error"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"),
        )

    def begin(self) -> None:
        """Start the API server and wait until it answers."""
        key = str(self.folder / "sa.key")
        self._start(
            "kube-apiserver",
            *(f"--etcd-servers=http://127.0.0.1:{self.etcd_port}", f"--secure-port={self.port}", "--bind-address=127.0.0.1"),
            *(f"--cert-dir={self.certificate.parent}", f"--token-auth-file={self.folder}/tokens.csv"),
            *(f"--authorization-mode={self._authorization}", "--profiling=false"),
            *(f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}"),
            *("--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.96.0.0/16"),
            *("--allow-privileged=true", "--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none"),
        )
        end = time.monotonic() + START_SECONDS
        while self.status("/readyz") != 200:
            assert time.monotonic() < end, (self.folder / "kube-apiserver.log").read_text()[-2000:]
            time.sleep(0.1)

    def _start(self, name: str, *arguments: str) -> None:
        binary = _found(name)
        assert binary
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes.append(subprocess.Popen([binary, *arguments], stdout=log, stderr=log))

    def away(self) -> None:
        """The API server ends; what it has stays."""
        process = self.processes.pop()
        process.kill()
        process.wait()

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()

    def status(self, path: str) -> int:
        try:
            with self._open("GET", path, None, JSON) as answer:
                status: int = answer.status
                return status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def ask(self, method: str, path: str, body: Any = None, form: str = JSON) -> Any:
        """The answer as JSON; None for 404 and, of what is made, 409."""
        try:
            with self._open(method, path, body, form) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404 or (error.code == 409 and method == "POST"):
                return None
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from error

    def _open(self, method: str, path: str, body: Any, form: str) -> Any:
        headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": form}
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        return urllib.request.urlopen(asked, timeout=20, context=_UNCHECKED)
