"""NATS: the store takes lines from a stream, and agents deliver by it."""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from . import kubernetes as k
from . import tools
from .asking import query
from .changing import change, volumes
from .test_tls import arriving

pytestmark = [
    pytest.mark.timeout(500),
    pytest.mark.skipif(
        tools.found("nats-server") is None, reason="nats-server is not installed here (Debian package nats-server)"
    ),
]
URL = f"nats://nats.{k.NAMESPACE}.svc:4222"
PASSWORD = "not a secret"
_TOLD = """
import asyncio, json, nats, sys
url, password, subject, text = json.load(sys.stdin)
async def main():
    client = await nats.connect(url, user="metricscluster", password=password)
    stream = client.jetstream()
    if text:
        answer = (await stream.publish(subject, text.encode())).seq
    else:
        answer = (await stream.add_stream(name="METRICS", subjects=[subject])).config.name
    await client.close()
    print(json.dumps(answer))
asyncio.run(main())
"""


def tell(pod: str, text: str) -> Any:
    """Publish a text; without one make the stream."""
    return k.python(pod, _TOLD, stdin=json.dumps([URL, PASSWORD, "hpc-nats", text]))


@pytest.fixture
def nats(clients: dict[str, str], nodes: list[str]) -> Iterator[str]:
    """A NATS server with a stream; the value is a pod that may ask it."""
    arguments = ["-js", "-sd", "/work/js", "--user", "metricscluster", "--pass", PASSWORD]
    tools.start("nats", "nats-server", arguments, port=4222, files={})
    secret = {"name": f"{k.NAME}-nats", "namespace": k.NAMESPACE}
    data = {"password": base64.b64encode(PASSWORD.encode()).decode()}
    k.apply({"apiVersion": "v1", "kind": "Secret", "metadata": secret, "data": data})
    pod = clients[nodes[0]]
    assert tell(pod, "") == "METRICS"
    yield pod
    change({"nats": None, "nodeAgent": {"delivery": None}})
    tools.end("nats")
    k.kubectl("delete", "secret", secret["name"])


def test_from_nats_and_by_nats(nats: str, nodes: list[str]) -> None:
    wanted = {
        "url": URL,
        "subscriptions": [{"subject": "hpc-nats", "stream": "METRICS"}],
        "username": "metricscluster",
        "credentialsSecret": f"{k.NAME}-nats",
    }
    now = int(time.time()) // 60 * 60
    assert tell(nats, f"flops_any,hostname=e2e-nats,type=node value=42 {now}") == 1
    change({"nats": wanted})

    def taken() -> bool:
        return query(nats, ["e2e-nats"], "flops_any", now, now + 60).get("e2e-nats") == [42.0]

    k.eventually(taken, seconds=30, what="what was published before is stored, in this cluster")
    change({"nodeAgent": {"delivery": {"by": "NATS", "subject": "hpc-nats"}}})
    assert {"nats"} <= volumes("daemonset", f"{k.NAME}-agent")
    assert "token" not in volumes("daemonset", f"{k.NAME}-agent")
    arriving(nats, nodes)
    change({"nats": None, "nodeAgent": {"delivery": None}})
    arriving(nats, nodes)
    for kind, part in (("statefulset", "store"), ("daemonset", "agent")):
        assert "nats" not in volumes(kind, f"{k.NAME}-{part}")
