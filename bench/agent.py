"""The node agent's cost, on this machine, with containers."""

import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import node
from bench.program import Program, free_port, python
from bench.progress import say
from bench.rows import Row
from bench.stores import config
from metricwire.tokens import new_pair, sign

INTERVAL, USUAL = 1, 10  # seconds between samples here, and by default
WARM, MEASURED = 5, 30  # seconds
FAILURES = 300  # requests by strangers before they are counted: more than are answered
STRANGERS = 10_000
PATIENCE = 5.0  # seconds for an answer
MEMORY = 60.0  # MB resident, at most


def agent(folder: Path) -> list[Row]:
    """An agent that samples every second: ten times what it does by default. Its store takes everything."""
    (private, public), port = new_pair(), free_port()
    key, token = folder / "key", folder / "token"
    key.write_text(public)
    token.write_text("x")
    with node.peers() as peers:
        settings = {
            "cluster": "bench",
            "interval": INTERVAL,
            "store": {"url": peers.url, "token-file": str(token)},
            "pods": {"url": peers.url, "token-file": str(token), "labels": ["app.kubernetes.io/name"]},
            "host": node.make(folder),
            "spool": {"directory": str(folder / "spool")},
            "api": {"address": f"127.0.0.1:{port}", "public-key-files": [str(key)]},
            "metrics-address": f"127.0.0.1:{free_port()}",
        }
        with Program(python("metricagent", "--config", config(folder, settings)), folder) as program:
            time.sleep(WARM)
            program.check()
            before, taken = program.cpu(), peers.taken
            time.sleep(MEASURED)
            used, memory, taken = program.cpu() - before, program.memory(), peers.taken - taken
            answer = _ask(port, sign(private, "bench", [], issued=int(time.time())))
            asked = program.memory()
    if not taken or not answer.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"cannot measure the agent: {taken} bodies sent, {answer[:40]!r}\n{(folder / 'log').read_text()}")
    what = f"{node.CONTAINERS} containers"
    say(f"agent, {what}: {used:.2f} CPU-s in {MEASURED} s at {INTERVAL} s, {memory.resident / 1e6:.0f} MB resident")
    share = used / MEASURED / USUAL * INTERVAL * 100
    notes = (
        f"measured at {INTERVAL} s and divided by {USUAL // INTERVAL}; {taken} bodies sent",
        "cgroups are plain files here; the kernel takes longer to answer",
    )
    rows = [Row(f"agent, 10 s interval, {what}", "% of a core", share, 1.0, notes=notes)]
    for when, found in (("", memory), (", somebody having asked", asked)):
        private_part = (f"private {found.private / 1e6:.0f} MB",)
        rows.append(Row(f"agent, resident, {what}{when}", "MB", found.resident / 1e6, MEMORY, notes=private_part))
    return [*rows, _strangers(folder, settings)]


def _strangers(folder: Path, settings: Mapping[str, Any]) -> Row:
    """Connections, one after the other, with a token that does not count: of an agent that samples nothing meanwhile."""
    port = free_port()
    quiet = {**settings, "interval": 3600, "api": settings["api"] | {"address": f"127.0.0.1:{port}"}}
    with Program(python("metricagent", "--config", config(folder, quiet)), folder) as program:
        time.sleep(WARM)
        program.check()
        for _ in range(FAILURES):
            _ask(port, "a.b.c")
        before = program.cpu()
        for _ in range(STRANGERS):
            _ask(port, "a.b.c")
        used = program.cpu() - before
    say(f"agent: {used:.2f} CPU-s for {STRANGERS} connections of a stranger")
    return Row("agent, connection of an address with too many failures", "us CPU", used / STRANGERS * 1e6)


def _ask(port: int, token: str) -> bytes:
    """What comes first of the answer; nothing where the connection is ended."""
    request = f"GET /system/v1/metrics/v0/node HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
            connection.sendall(request.encode())
            return connection.recv(4096)
    except ConnectionError:
        return b""
