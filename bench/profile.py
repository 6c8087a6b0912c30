"""Where a store's time goes: py-spy beside a row, as a flame graph. Only where py-spy is installed (`pip install py-spy`)."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

from bench.data import FREQUENCY, Fleet
from bench.figures import LARGE, LARGE_CONNECTIONS, SMALL, SMALL_CONNECTIONS
from bench.program import measure, run
from bench.progress import say
from bench.sender import Load
from bench.stores import QUERIES, Ours

ROWS = ("large", "small", *(f"query{number}" for number in range(1, len(QUERIES) + 1)), "metrics")
SECONDS = 10
RATE = 200  # samples a second


def profile(row: str, folder: Path, results: Path) -> None:
    """Write results/profile-ROW.svg. RuntimeError when py-spy is missing or fails."""
    spy = shutil.which("py-spy") or str(Path(sys.executable).with_name("py-spy"))
    if not Path(spy).exists():
        raise RuntimeError("cannot profile: py-spy is not installed; pip install py-spy")
    fleet, minutes = Fleet(), 30
    start = int(time.time()) // FREQUENCY * FREQUENCY - 600 * FREQUENCY
    path = results / f"profile-{row}.svg"
    with Ours(folder) as store:
        store.ready()

        def send(at: int, count: int, lines: int, connections: int) -> None:
            measure(store, Load(store.port, store.write_path, start + at * FREQUENCY, count, lines, connections, live=True))

        send(0, minutes, LARGE, LARGE_CONNECTIONS)
        command = [
            spy,
            "record",
            "--native",
            "--threads",
            "-r",
            str(RATE),
            "-d",
            str(SECONDS),
            "-o",
            str(path),
            "-p",
            str(store.process.pid),
        ]
        recording = run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        at, requests = minutes, store.queries(fleet, start, start + minutes * FREQUENCY)
        exposition = store.exposition()
        while recording.poll() is None:
            if row in {"large", "small"}:
                send(at, 10, *((LARGE, LARGE_CONNECTIONS) if row == "large" else (SMALL, SMALL_CONNECTIONS)))
                at = minutes + (at + 10 - minutes) % 540
            elif exposition is not None:
                store.ask(exposition if row == "metrics" else requests[int(row.removeprefix("query")) - 1])
        if recording.returncode:
            raise RuntimeError(f"cannot profile: {recording.communicate()[1].decode()[-500:]}")
    say(f"written to {path}")
