"""A real API server, asked what it accepts of an object, and what it says when it does not."""

import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from chaos.controlplane import ADMIN, ControlPlane
from metricsoperator.apply import APPLY
from metricsoperator.kinds import KINDS, Kind
from metricsoperator.yamltext import yaml_text

START_SECONDS = 60.0

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
            base_url=url, verify=trust, headers={"Authorization": f"Bearer {ADMIN}"}, trust_env=False, timeout=30
        )

    def close(self) -> None:
        self._client.close()

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
    """See ControlPlane."""
    plane = ControlPlane(folder, authorization=authorization, accounts=accounts)
    try:
        trust = ssl.create_default_context(cafile=str(plane.certificate))
        trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
        api = KubeApi(plane.url, trust)
        try:
            yield api
        finally:
            api.close()
    finally:
        plane.stop()
