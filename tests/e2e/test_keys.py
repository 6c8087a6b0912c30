"""New keys: without a restart, the old ones beside them for a while, then gone."""

import base64
import time

import pytest
import yaml

from . import kubernetes as k
from .asking import STORE, ask

pytestmark = pytest.mark.timeout(400)
OVERLAP = 60  # seconds: no shorter than a kubelet takes to bring a changed Secret into pods


def admin() -> str:
    return base64.b64decode(k.get("secret", f"{k.NAME}-keys")["data"]["admin-token"]).decode()


def status(pod: str, token: str) -> int:
    body = '{"cluster": "fritz", "from": 0, "to": 1, "queries": []}'
    return ask(pod, f"{STORE}/api/query", body, headers={"Authorization": f"Bearer {token}"}, token_file="").status


def uids() -> set[str]:
    return {pod["metadata"]["uid"] for pod in k.get("pods", "-l", f"app.kubernetes.io/instance={k.NAME}")["items"]}


def test_keys_are_rotated(clients: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    pod = next(iter(clients.values()))
    old, before = admin(), uids()
    assert status(pod, old) == 200
    generation = k.get("metricscluster", k.NAME)["status"]["keys"]["generation"] + 1
    keys = {"spec": {"auth": {"keys": {"generation": generation, "overlap": f"{OVERLAP}s"}}}}
    k.kubectl("patch", "metricscluster", k.NAME, "--type=merge", "-p", yaml.safe_dump(keys))
    began = 0.0

    def signs() -> bool:
        nonlocal began
        looked = time.monotonic()
        if admin() != old:
            return True
        began = looked  # the overlap begins after this look
        return False

    k.eventually(signs, seconds=OVERLAP + 60, what="the new keys sign")
    new = admin()
    assert status(pod, new) == 200, "known before it signed"
    assert status(pod, old) == 200, "the overlap lasts"
    k.eventually(lambda: status(pod, old) == 401, seconds=OVERLAP + 120, what="the old ones are gone")
    gone = time.monotonic() - began
    assert gone >= OVERLAP
    assert status(pod, new) == 200
    assert k.get("metricscluster", k.NAME)["status"]["keys"] == {"generation": generation, "unusable": [], "lost": False}
    assert uids() == before, "no pod was replaced"
    with capsys.disabled():
        print(f"\nkeys rotated; the old ones counted for {gone:.0f} s beside the new ones, overlap {OVERLAP} s")
