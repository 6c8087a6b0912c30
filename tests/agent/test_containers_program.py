"""The program on a node with containers: an API server, a store, a scrape of /metrics, and the names in all of it."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from chaos.program import free_port
from metricwire.lineprotocol import decode

ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
WEB = "a1" * 32
LISTED = {
    "metadata": {"resourceVersion": "5"},
    "items": [
        {
            "metadata": {
                "uid": "u1",
                "name": "web-7d4b9-x2x",
                "namespace": "shop",
                "labels": {"pod-template-hash": "7d4b9", "team": "a b"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "web-7d4b9", "controller": True}],
            },
            "spec": {"containers": [{"name": "app", "resources": {"limits": {"ephemeral-storage": "1Gi"}}}]},
            "status": {"containerStatuses": [{"name": "app", "containerID": f"containerd://{WEB}"}]},
        }
    ],
}


async def api_server() -> tuple[web.AppRunner, str]:
    async def pods(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response(LISTED)
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.Event().wait()
        return response

    app = web.Application()
    app.router.add_get("/api/v1/pods", pods)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


def test_containers_have_names_in_the_store_and_in_metrics(
    running_store: Any, write_settings: Callable[..., Path], golden: Path, tmp_path: Path
) -> None:
    async def scene() -> tuple[list[Any], str]:
        runner, url = await api_server()
        metrics = f"127.0.0.1:{free_port()}"
        async with running_store as store:
            settings = write_settings(
                running_store.url,
                **{
                    "host": {"proc": str(golden / "cgroup2/proc"), "sys": str(golden / "cgroup2/sys"), "root": "/"},
                    "pods": {"url": url, "token-file": str(tmp_path / "token"), "labels": ["team"]},
                    "metrics-address": metrics,
                },
            )
            agent = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "metricagent", "--config", str(settings), stdout=asyncio.subprocess.PIPE, env=ENVIRONMENT
            )
            try:
                async with asyncio.timeout(60):
                    while not any(b"\ninfo," in b"\n" + body for body in store.bodies):
                        store.written.clear()
                        await store.written.wait()
                async with aiohttp.ClientSession() as session, session.get(f"http://{metrics}/metrics") as response:
                    text = await response.text()
            finally:
                agent.send_signal(signal.SIGTERM)
                await agent.communicate()
                await runner.cleanup()
            return store.bodies, text

    bodies, text = asyncio.run(scene())
    batches = [decode(body, now=0) for body in bodies]
    (labels,) = [labels for batch in batches for labels in batch.labels][:1]
    assert labels.place.path == ("fritz", "n1", f"container{WEB}")
    assert dict(labels.labels) == {
        "container": "app",
        "label_team": "a b",
        "namespace": "shop",
        "owner": "web",
        "owner_kind": "Deployment",
        "pod": "web-7d4b9-x2x",
        "pod_uid": "u1",
    }
    sent = {s.series.metric: s.value for batch in batches for s in batch.samples if s.series.place == labels.place}
    assert sent["container_memory_rss"] == 52428800
    assert sent["container_disk_limit_bytes"] == 1024**3
    line = next(line for line in text.splitlines() if line.startswith("container_memory_rss{") and WEB in line)
    assert 'pod="web-7d4b9-x2x"' in line
    assert 'label_team="a b"' in line
    assert line.endswith(" 52428800.0")
    assert "metricagent_pods_known 1.0" in text
