"""A real API server and its etcd, without nodes: what it accepts of an object, and what it says when it does not.

Whoever shows TOKEN may do everything; pods need no ServiceAccount to be there. The programs are found on PATH or where
shared/kube/build puts them.
"""

import os
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from chaos.program import free_port
from metricsoperator.apply import APPLY
from metricsoperator.kinds import KINDS, Kind
from metricsoperator.yamltext import yaml_text

TOKEN = "admin"
START_SECONDS = 60.0
_PATH = os.pathsep.join([os.environ.get("PATH", ""), str(Path("~/.cache/kube/bin").expanduser())])
PROGRAMS = {name: shutil.which(name, path=_PATH) for name in ("etcd", "kube-apiserver")}
LACKING = [name for name, path in PROGRAMS.items() if path is None]
needed = pytest.mark.skipif(bool(LACKING), reason=f"{' and '.join(LACKING)} not found: shared/kube/build makes them")

_MORE = {
    "Namespace": Kind("", "v1", "namespaces"),
    "CustomResourceDefinition": Kind("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
}


class Said(NamedTuple):
    """An answer: the status, the object or the message, warnings."""

    status: int
    body: dict[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def fine(self) -> bool:
        return self.status in (200, 201)

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))


class KubeApi:
    """What can be asked of it."""

    def __init__(self, url: str, trust: ssl.SSLContext) -> None:
        self.url = url
        self._client = httpx.Client(
            base_url=url, verify=trust, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False, timeout=30
        )

    def close(self) -> None:
        self._client.close()

    def ready(self) -> bool:
        try:
            return self._client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def create(self, manifest: dict[str, Any], *, dry: bool = True, strict: bool = True) -> Said:
        """A new object; `dry`: as if."""
        how = {"fieldValidation": "Strict" if strict else "Warn"} | ({"dryRun": "All"} if dry else {})
        about = manifest["metadata"]
        return self._said(self._client.post(_path(manifest, about.get("namespace", "")), params=how, json=manifest))

    def apply(self, manifest: dict[str, Any], *, dry: bool = True) -> Said:
        """Server-side apply."""
        how = {"fieldManager": "test", "force": "true", "fieldValidation": "Strict"} | ({"dryRun": "All"} if dry else {})
        about = manifest["metadata"]
        path = f"{_path(manifest, about.get('namespace', ''))}/{about['name']}"
        headers = {"Content-Type": APPLY}
        return self._said(self._client.patch(path, params=how, content=yaml_text(manifest).encode(), headers=headers))

    @staticmethod
    def _said(answer: httpx.Response) -> Said:
        known = answer.headers["Content-Type"].startswith("application/json")
        body = answer.json() if known else {"message": answer.text}  # of a path that it does not serve (yet)
        return Said(answer.status_code, body, tuple(answer.headers.get_list("Warning")))


def _path(manifest: dict[str, Any], namespace: str) -> str:
    return (KINDS | _MORE)[manifest["kind"]].path(namespace)


def wait_for(what: str, look: Any) -> None:
    end = time.monotonic() + START_SECONDS
    while not look():
        assert time.monotonic() < end, f"not within {START_SECONDS} s: {what}"
        time.sleep(0.1)


@contextmanager
def running(folder: Path, *, authorization: str = "AlwaysAllow", accounts: tuple[str, ...] = ()) -> Iterator[KubeApi]:
    """An API server whose data and logs are in `folder`; `accounts` are ServiceAccounts, `namespace:name`, which show that."""
    etcd, peers, port = free_port(), free_port(), free_port()
    key = rsa.generate_private_key(65537, 2048)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    (folder / "sa.key").write_bytes(key.private_bytes(*form))
    users = [f"{account},system:serviceaccount:{account},{account},system:serviceaccounts" for account in accounts]
    (folder / "tokens.csv").write_text("\n".join([f"{TOKEN},admin,admin,system:masters", *users]))
    commands = {
        "etcd": [
            *("--data-dir", str(folder / "etcd"), "--unsafe-no-fsync", "--log-level", "error"),
            *("--listen-client-urls", f"http://127.0.0.1:{etcd}", "--advertise-client-urls", f"http://127.0.0.1:{etcd}"),
            *("--listen-peer-urls", f"http://127.0.0.1:{peers}"),
        ],
        "kube-apiserver": [
            f"--etcd-servers=http://127.0.0.1:{etcd}",
            *("--bind-address=127.0.0.1", f"--secure-port={port}", f"--cert-dir={folder / 'certificates'}"),
            *(f"--authorization-mode={authorization}", f"--token-auth-file={folder / 'tokens.csv'}"),
            *(f"--service-account-key-file={folder / 'sa.key'}", f"--service-account-signing-key-file={folder / 'sa.key'}"),
            *("--service-account-issuer=https://kubernetes", "--service-cluster-ip-range=10.0.0.0/24"),
            *("--disable-admission-plugins=ServiceAccount", "--allow-privileged=true", "--profiling=false"),
        ],
    }
    started = []
    try:
        for name, arguments in commands.items():
            log = (folder / f"{name}.log").open("wb")
            started.append(subprocess.Popen([str(PROGRAMS[name]), *arguments], stdout=log, stderr=subprocess.STDOUT))
            log.close()
        certificate = folder / "certificates" / "apiserver.crt"
        wait_for("the API server's certificate", certificate.exists)
        trust = ssl.create_default_context(cafile=str(certificate))
        trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
        api = KubeApi(f"https://127.0.0.1:{port}", trust)
        try:
            wait_for(f"the API server is ready; see {folder}", api.ready)
            yield api
        finally:
            api.close()
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGKILL)
            process.wait(30)
