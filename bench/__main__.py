"""`make bench`: measure, print the table, write it to bench/results with the machine's facts."""

import json
import os
import platform
import time
from pathlib import Path

import psutil

from bench.rows import Row, all_rows
from metricwire import __version__

RESULTS = Path(__file__).parent / "results"


def facts() -> dict[str, object]:
    """What the figures depend on."""
    return {
        "version": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "memory": psutil.virtual_memory().total,
    }


def main() -> None:
    rows: list[Row] = []
    print(f"{'what':60} {'figure':>12} {'unit':14} target")
    for row in all_rows():
        rows.append(row)
        print(f"{row.what:60} {row.figure:12.3f} {row.unit:14} {row.target}", flush=True)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y-%m-%d')}.json"
    path.write_text(json.dumps({"facts": facts(), "rows": [row._asdict() for row in rows]}, indent=1) + "\n")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
