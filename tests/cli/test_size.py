"""`metricscluster size`, and that docs/operations.md says what it does."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from metricscluster import size, store
from metricscluster.__main__ import main
from metricscluster.size import Load, needs

DOCS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
SOURCE = Path(size.__file__).read_text()
CONSTANTS = re.findall(r"^([A-Z]+) = ([0-9_.]+)  # (.*)$", SOURCE, re.MULTILINE)


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["metricscluster", *shlex.split(arguments)])
    status = main()
    return status, capsys.readouterr().out


def test_every_constant_is_documented() -> None:
    assert len(CONSTANTS) == 14
    for name, value, meaning in CONSTANTS:
        assert f"| `{name}` | {value.replace('_', ',')} | {meaning} |" in DOCS


def test_the_example_is_what_the_command_prints(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    example = re.search(r"```\nmetricscluster (size [^\n]*)\n```\n\n```\n(.*?)```", DOCS, re.DOTALL)
    assert example is not None
    assert run(monkeypatch, capsys, example[1]) == (0, example[2])


def test_the_documented_formula_is_the_one_that_is_used() -> None:
    load = Load(nodes=7, metrics=11, containers=3, container_metrics=5, interval=10.0, retention=100.0, archive=1000.0)
    text = re.search(r"```\n(series  = .*?)```", DOCS, re.DOTALL)
    assert text is not None
    names = {name: float(value) for name, value, _ in CONSTANTS}
    names |= {name: float(getattr(load, name)) for name in ("nodes", "metrics", "containers", "interval", "retention")}
    names |= {"container_metrics": 5.0, "archived_time": 1000.0}
    for line in text[1].splitlines():
        name, _, right = line.partition("=")
        formula = re.split(r" {3,}", right)[0].replace("container metrics", "container_metrics")
        if name.strip() != "limits":
            names[name.strip()] = eval(formula.replace("archived time", "archived_time").strip(), {}, names)
    found = needs(load)
    for name in ("series", "rate", "memory", "disk", "archive", "cpu", "network"):
        assert getattr(found, name) == pytest.approx(names[name])


@pytest.mark.parametrize(
    "arguments", ["--nodes x --metrics 1", "--nodes 1 --metrics 1 --interval 1y", "--nodes -1 --metrics 1", "--nodes 1"]
)
def test_what_is_no_number_or_duration_is_refused(monkeypatch: pytest.MonkeyPatch, arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["metricscluster", "size", *arguments.split()])
    with pytest.raises(SystemExit, match="2"):
        main()


def test_an_interval_of_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, capsys, "size --nodes 1 --metrics 1 --interval 0s") == (2, "")


@pytest.mark.parametrize("action", store._ACTIONS)
def test_every_command_is_documented(action: str) -> None:
    assert f"| `metricscluster store {action}" in DOCS
