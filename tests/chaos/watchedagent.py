"""Runs the agent as it is, with a witness: `python watchedagent.py AGENT_OPTIONS`, WATCHED naming a folder.

journal    "+" and a batch's lines when the spool is given it, "." when the spool has it: what a killed agent must not lose
clock      seconds by which the clock is wrong, read each time; not there: 0
ballast    how many series more, of the metric `m`; not there: none
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from metricagent import __main__, agent, app
from metricagent.collector import Reading, Runner
from metricagent.spool import Spool

FOLDER = Path(os.environ["WATCHED"])
run, append = Runner.run, Spool.append


def number(name: str) -> float:
    try:
        return float((FOLDER / name).read_text())
    except FileNotFoundError:
        return 0.0


def watched_append(spool: Spool, text: bytes, samples: int) -> None:
    with (FOLDER / "journal").open("ab", buffering=0) as journal:
        journal.write(b"+\n" + text)
        append(spool, text, samples)
        journal.write(b".\n")


def loaded_run(runner: Runner, now: float) -> list[Reading]:
    count = int(number("ballast"))
    return [*run(runner, now), *(Reading("m", now * (n + 1) % 1, stype="ballast", stype_id=str(n)) for n in range(count))]


def wrong_clock(*more: Any) -> agent.Clock:
    return agent.Clock(lambda: time.time() + number("clock"), *more)


Spool.append, Runner.run, app.Clock = watched_append, loaded_run, wrong_clock  # type: ignore[method-assign, assignment, misc]
sys.exit(__main__.main())
