"""What `helm test` runs in its pod, against a store that runs here."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.program import Program
from charts import CHART
from metricwire.tokens import new_pair, sign


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Program]:
    private, public = new_pair()
    (tmp_path / "public.key").write_text(public)
    (tmp_path / "token").write_text(sign(private, "admin", ["admin"], issued=int(time.time())) + "\n")
    program = Program(tmp_path, store={"public-key-files": [str(tmp_path / "public.key")]}, arguments=()).run()
    yield program
    program.kill()


def script(store: Program, folder: Path, seconds: float) -> "subprocess.CompletedProcess[str]":
    arguments = [f"http://127.0.0.1:{store.port}", folder / "token", folder / "no-authority", seconds]
    command = [sys.executable, CHART / "files/test.py", *arguments]
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)


def test_it_writes_queries_and_leaves_no_sample(store: Program, tmp_path: Path) -> None:
    token = {"Authorization": f"Bearer {(tmp_path / 'token').read_text().strip()}"}
    for node in ("n1", "n2"):
        assert store.ask("POST", "/api/write", f"uptime,cluster=c,hostname={node} value=1", headers=token).status == 200
    done = script(store, tmp_path, 30)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 nodes report: n1, n2" in done.stdout
    tree = store.ask("GET", "/api/debug?selector=helm-test", headers=token).json["data"]
    assert tree == {"helm-test": {"helm_test": []}}, "its name, and no sample"


def test_it_says_what_does_not_work(store: Program, tmp_path: Path) -> None:
    store.kill()
    done = script(store, tmp_path, 0)
    assert done.returncode == 1
    assert done.stderr.startswith(f"cannot write a sample to http://127.0.0.1:{store.port}: ")
