"""The program's start where it cannot run."""

import subprocess
import sys

import pytest

START = "import sys; sys.modules[{absent!r}] = None; from metricsoperator.__main__ import main; sys.exit(main())"


def run(absent: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", START.format(absent=absent), *arguments]
    return subprocess.run(command, env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True, check=False)


def test_help_needs_no_kopf() -> None:
    found = run("kopf", "--help")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.startswith("usage: metricscluster-operator")


@pytest.mark.parametrize("absent", ["kopf", "kubernetes"])
def test_what_is_not_installed_is_one_line(absent: str) -> None:
    found = run(absent)
    assert found.returncode == 1
    assert found.stderr.startswith("cannot start the operator: install metricscluster[operator]: ")
    assert absent in found.stderr
    assert found.stderr.count("\n") == 1
