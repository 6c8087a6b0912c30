"""The node agent's cost, on this machine, with containers."""

import time
from pathlib import Path

from bench import node
from bench.program import Program, free_port, python
from bench.progress import say
from bench.rows import Row
from bench.stores import config
from metricwire.tokens import new_pair

INTERVAL, USUAL = 1, 10  # seconds between samples here, and by default
WARM, MEASURED = 5, 30  # seconds


def agent(folder: Path) -> list[Row]:
    """An agent that samples every second: ten times what it does by default. Its store takes everything."""
    key, token = folder / "key", folder / "token"
    key.write_text(new_pair()[1])
    token.write_text("x")
    with node.peers() as peers:
        settings = {
            "cluster": "bench",
            "interval": INTERVAL,
            "store": {"url": peers.url, "token-file": str(token)},
            "pods": {"url": peers.url, "token-file": str(token), "labels": ["app.kubernetes.io/name"]},
            "host": node.make(folder),
            "spool": {"directory": str(folder / "spool")},
            "api": {"address": f"127.0.0.1:{free_port()}", "public-key-files": [str(key)]},
            "metrics-address": f"127.0.0.1:{free_port()}",
        }
        with Program(python("metricagent", "--config", config(folder, settings)), folder) as program:
            time.sleep(WARM)
            program.check()
            before, taken = program.cpu(), peers.taken
            time.sleep(MEASURED)
            used, memory, taken = program.cpu() - before, program.memory(), peers.taken - taken
    if not taken:
        raise RuntimeError(f"cannot measure the agent: its store was sent nothing\n{(folder / 'log').read_text()}")
    what = f"{node.CONTAINERS} containers"
    say(f"agent, {what}: {used:.2f} CPU-s in {MEASURED} s at {INTERVAL} s, {memory.resident / 1e6:.0f} MB resident")
    share = used / MEASURED / USUAL * INTERVAL * 100
    notes = (
        f"measured at {INTERVAL} s and divided by {USUAL // INTERVAL}; {taken} bodies sent",
        "cgroups are plain files here; the kernel takes longer to answer",
    )
    return [
        Row(f"agent, 10 s interval, {what}", "% of a core", share, 1.0, notes=notes),
        Row(f"agent, resident, {what}", "MB", memory.resident / 1e6, 60.0, notes=(f"private {memory.private / 1e6:.0f} MB",)),
    ]
