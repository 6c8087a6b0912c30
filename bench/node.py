"""A node to measure the agent on: this machine's /proc and /sys, with containers that are files, and who the agent talks to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CONTAINERS = 100
BY_POD = 2
PROCESSES = 5  # of a container
FIRST_PID = 5_000_000  # above what a kernel gives
NOT_CONTAINERS = 200  # other cgroups: services, users
DEVICES = 2

_CPU_STAT = "usage_usec {0}\nuser_usec {0}\nsystem_usec {0}\nnr_periods {0}\nnr_throttled 5\nthrottled_usec {0}\n"
# Those of a memory.stat that are read, and as many others as there are.
_NAMES = ["anon", "file", "file_mapped", "inactive_file", "unevictable", *(f"workingset_refault_{n}" for n in range(40))]
_NET = (
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed\n"
    "    lo: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
    "  eth0: {0} {0} 0 0 0 0 0 0 {0} {0} 0 0 0 0 0 0\n"
)


def container(number: int) -> str:
    """The id of a container."""
    return f"{number:064x}"


def pod(number: int) -> str:
    """The UID of a pod."""
    return f"{number:08x}-0000-4000-8000-000000000000"


def make(folder: Path) -> dict[str, str]:
    """The tree, and the setting `host` that names it."""
    proc, sys = folder / "proc", folder / "sys"
    for made, real in ((proc, Path("/proc")), (sys, Path("/sys"))):
        made.mkdir()
        for entry in real.iterdir():
            if not (entry.name.isdigit() and entry.name != "1") and entry != Path("/sys/fs"):
                (made / entry.name).symlink_to(entry)
    root = sys / "fs/cgroup"
    for number in range(NOT_CONTAINERS):
        (root / f"system.slice/service-{number}.service").mkdir(parents=True)
    (root / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    for number in range(CONTAINERS):
        _container(root, proc, number)
    return {"proc": str(proc), "sys": str(sys)}


def _container(root: Path, proc: Path, number: int) -> None:
    uid = pod(number // BY_POD).replace("-", "_")
    name = f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid}.slice/cri-containerd-{container(number)}.scope"
    cgroup, some = root / name, 1_000_000 + 1_237 * number
    files = {
        "cpu.stat": _CPU_STAT.format(some),
        "cpu.max": "200000 100000\n",
        "memory.current": f"{some}\n",
        "memory.swap.current": "0\n",
        "memory.max": "268435456\n",
        "memory.high": "max\n",
        "memory.stat": "".join(f"{each} {some + at}\n" for at, each in enumerate(_NAMES)),
        "memory.events": "low 0\nhigh 0\nmax 5\noom 0\noom_kill 0\noom_group_kill 0\n",
        "pids.current": f"{4 * PROCESSES}\n",
        "io.stat": "".join(f"8:{16 * at} rbytes={some} wbytes={some} rios=5 wios=6 dbytes=0 dios=0\n" for at in range(DEVICES)),
    }
    cgroup.mkdir(parents=True)
    for file, text in files.items():
        (cgroup / file).write_text(text)
    for at in range(PROCESSES):
        process = proc / str(FIRST_PID + PROCESSES * number + at)
        (process / "net").mkdir(parents=True)
        (process / "cgroup").write_text(f"0::/{name}\n")
        (process / "comm").write_text("app\n")
        (process / "net/dev").write_text(_NET.format(some))


def _pods() -> dict[str, Any]:
    """What the API server lists."""
    return {
        "metadata": {"resourceVersion": "1"},
        "items": [
            {
                "metadata": {
                    "uid": pod(number),
                    "name": f"shop-frontend-7d4b9c6f5-{number:05d}",
                    "namespace": "production",
                    "resourceVersion": "1",
                    "labels": {"app.kubernetes.io/name": "shop", "pod-template-hash": "7d4b9c6f5"},
                    "ownerReferences": [{"kind": "ReplicaSet", "name": "shop-frontend-7d4b9c6f5", "controller": True}],
                    "managedFields": [{"fieldsV1": {f"f:{n}": {} for n in range(400)}}],  # what makes pods large
                },
                "spec": {"containers": [{"name": f"c{at}"} for at in range(BY_POD)]},
                "status": {
                    "phase": "Running",
                    "podIP": f"10.1.0.{number}",
                    "containerStatuses": [
                        {"name": f"c{at}", "containerID": f"containerd://{container(BY_POD * number + at)}"}
                        for at in range(BY_POD)
                    ],
                },
            }
            for number in range(CONTAINERS // BY_POD)
        ],
    }


class _Peer(BaseHTTPRequestHandler):
    """A store that takes everything, and an API server."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken += 1
        self._answer(b"")

    def do_GET(self) -> None:
        if "watch=true" in self.path:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.server.ended.wait()
        else:
            self._answer(json.dumps(_pods()).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Peer)
        self.taken = 0
        self.ended = threading.Event()


class Peers:
    """Who the agent talks to."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self.url = f"http://127.0.0.1:{server.server_address[1]}"

    @property
    def taken(self) -> int:
        """Bodies that the store took."""
        return self._server.taken


@contextmanager
def peers() -> Iterator[Peers]:
    """A store and an API server, in threads of this process, whose time is not the agent's."""
    with _Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Peers(server)
        finally:
            server.ended.set()
            server.shutdown()
