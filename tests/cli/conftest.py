"""The command as a person runs it, in this process."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakekubectl import FakeKubectl
from metricscluster.__main__ import main
from metricwire import tokens
from storeserver import Store

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Exit status, standard output, standard error of `metricscluster ARGUMENTS`."""

    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["metricscluster", *map(str, arguments)])
        capsys.readouterr()
        status = main()
        return status, *capsys.readouterr()

    return command


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKubectl:
    """The `kubectl` on PATH."""
    fake = FakeKubectl(tmp_path / "bin")
    monkeypatch.setenv("PATH", fake.path)
    return fake


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("keys")
    private, public = tokens.new_pair()
    (made / "public.key").write_text(public)
    (made / "private").write_text(private)
    (made / "admin").write_text(tokens.sign(private, "admin", ["admin"], issued=int(time.time())))
    return made


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Store]:
    made = Store(tmp_path_factory.mktemp("store"), {"load_one": {"frequency": 10}}, folder / "public.key").start()
    made.write(f"load_one,cluster=fritz,hostname=n1 value=1 {int(time.time())}", token_file=folder / "admin")
    yield made
    made.stop()
