"""The command as a person runs it, in this process."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fakekubectl import FakeKubectl
from metricscluster.__main__ import main

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
