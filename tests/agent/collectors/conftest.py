"""What the collectors' tests share: the fixture trees, ten seconds of them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from metricagent.collector import Reading
from metricagent.collectors import COLLECTORS
from metricagent.host import Host


@pytest.fixture
def ticking(tmp_path: Path, golden: Path) -> Callable[[str], list[Reading]]:
    """What a collector gives the second time, ten seconds after the first."""

    def tick(name: str) -> list[Reading]:
        host = Host(proc=tmp_path / name / "proc", sys=tmp_path / name / "sys")
        shutil.copytree(golden / "proc", host.proc)
        shutil.copytree(golden / "sys", host.sys, symlinks=True)
        collector = COLLECTORS[name](host)
        collector.collect(100.0)
        shutil.copytree(golden / "proc-later", host.proc, dirs_exist_ok=True)
        shutil.copytree(golden / "sys-later", host.sys, dirs_exist_ok=True)
        return collector.collect(110.0)

    return tick


@pytest.fixture
def later(tmp_path: Path, golden: Path) -> Path:
    """A procfs that can be made to be ten seconds later."""
    shutil.copytree(golden / "proc", tmp_path / "proc")
    return tmp_path / "proc"
