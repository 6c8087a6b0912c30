"""The command as a whole: every option is documented, every example can be called, and it ends as programs should."""

import argparse
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from metricscluster import __main__ as program
from metricscluster import findings
from metricwire.errors import BadInput, MetricsError, SettingsError

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "command.md").read_text()
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
SHARED = TEXT.partition("## How it reaches")[2].partition("\n## ")[0]


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from parsers(one)


def commands() -> dict[str, argparse.ArgumentParser]:
    [action] = [one for one in program.parser()._actions if isinstance(one, argparse._SubParsersAction)]
    return dict(action.choices)


@pytest.mark.parametrize("name", program.COMMANDS)
def test_every_option_is_documented(name: str) -> None:
    assert f"| [`{name}`](#{name}) |" in TEXT
    for parser in parsers(commands()[name]):
        for action in parser._actions:
            for option in action.option_strings:
                if option not in {"-h", "--help"}:
                    found = re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", SECTIONS[name] + SHARED)
                    assert found, f"docs/command.md does not tell of {parser.prog} {option}"
            if action.choices and not isinstance(action.choices, dict) and name in {"status", "top", "query"}:
                assert all(str(choice) in SECTIONS[name] for choice in action.choices)


def test_no_option_is_documented_that_is_not_there() -> None:
    known = {option for parser in parsers(program.parser()) for action in parser._actions for option in action.option_strings}
    pip = {"--no-deps"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT)) - pip <= known


@pytest.mark.parametrize("name", program.COMMANDS)
def test_every_example_can_be_called(name: str) -> None:
    examples = program.COMMANDS[name].EXAMPLES.strip().splitlines()
    assert examples
    for line in examples:
        call = next(part for part in line.split(" | ") if "metricscluster" in part.split()[:2])
        words = shlex.split(call)
        words = words[words.index("metricscluster") + 1 :]
        assert program.parser().parse_args(words).command == name, line


@pytest.mark.parametrize("name", program.COMMANDS)
def test_help_says_what_it_does_and_shows_examples(name: str) -> None:
    text = commands()[name].format_help()
    assert "Exit status" in " ".join(text.split()) or name in {"inject", "size"}, text
    assert "\nexamples:\n  " in text
    assert max(len(line) for line in text.partition("examples:")[0].splitlines()) <= 80


@pytest.mark.parametrize(
    ("path", "name"), [("/opt/bin/kubectl-metricscluster", "kubectl metricscluster"), ("x", "metricscluster")]
)
def test_it_is_a_plugin_of_kubectl(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: str, name: str
) -> None:
    monkeypatch.setattr(sys, "argv", [path, "top", "--help"])
    with pytest.raises(SystemExit, match="0"):
        program.main()
    assert capsys.readouterr().out.startswith(f"usage: {name} top ")


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (BadInput("cannot use x: \x1b[31m"), 2, "cannot use x: \\x1b[31m\n"),
        (SettingsError("cannot read y"), 2, "cannot read y\n"),
        (MetricsError("cannot reach z"), 1, "cannot reach z\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
    ],
)
def test_errors_are_one_line_and_a_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, status: int, said: str
) -> None:
    def run(_: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr(program.COMMANDS["size"], "run", run)
    monkeypatch.setattr(sys, "argv", ["metricscluster", "size", "--nodes", "1", "--metrics", "1"])
    assert program.main() == status
    assert capsys.readouterr().err == said


def test_every_reason_that_status_finds_by_itself_is_documented() -> None:
    """Those of the conditions are in docs/troubleshooting.md."""
    found = set(re.findall(r"Finding\(\s*\"([A-Z]\w+)\"", Path(findings.__file__).read_text()))
    assert len(found) == 13
    assert all(f"`{reason}`" in SECTIONS["status"] for reason in found - {"Paused"})
