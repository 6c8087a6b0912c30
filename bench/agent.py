"""The node agent's cost, on this machine."""

import time
from pathlib import Path

from bench.program import Program, free_port, python
from bench.progress import say
from bench.rows import Row
from bench.stores import config
from metricwire.tokens import new_pair

INTERVAL, USUAL = 1, 10  # seconds between samples here, and by default
WARM, MEASURED = 5, 20  # seconds


def agent(folder: Path) -> list[Row]:
    """An agent that samples every second: ten times what it does by default. Its store is away, so it spools."""
    key, token = folder / "key", folder / "token"
    key.write_text(new_pair()[1])
    token.write_text("x")
    settings = {
        "cluster": "bench",
        "interval": INTERVAL,
        "store": {"url": f"http://127.0.0.1:{free_port()}", "token-file": str(token)},
        "spool": {"directory": str(folder / "spool")},
        "api": {"address": f"127.0.0.1:{free_port()}", "public-key-files": [str(key)]},
        "metrics-address": f"127.0.0.1:{free_port()}",
    }
    with Program(python("metricagent", "--config", config(folder, settings)), folder) as program:
        time.sleep(WARM)
        program.check()
        before = program.cpu()
        time.sleep(MEASURED)
        used, memory = program.cpu() - before, program.memory()
    say(f"agent: {used:.2f} CPU-s in {MEASURED} s at an interval of {INTERVAL} s, {memory.resident / 1e6:.0f} MB resident")
    note = f"measured at {INTERVAL} s and divided by {USUAL // INTERVAL}; the containers of this machine, not 100"
    return [
        Row("agent, 10 s interval", "% of a core", used / MEASURED / USUAL * INTERVAL * 100, 1.0, notes=(note,), judged=False),
        Row(
            "agent, resident",
            "MB",
            memory.resident / 1e6,
            60.0,
            notes=(f"private {memory.private / 1e6:.0f} MB",),
            judged=False,
        ),
    ]
