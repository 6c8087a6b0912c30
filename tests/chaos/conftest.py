"""Sizes, seeds and figures: `pytest tests/chaos --size full --seed 7`."""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest

from chaos.program import Program
from metricstore.disk import formats

Value = TypeVar("Value")
Figures = Callable[[str], None]
TIMEOUT = 900  # seconds for a test of full size
MERGED_SECONDS = 1300  # that a merged block lasts at most: two windows of 10 s
SMALL_SEED = 1  # what fails on one machine must fail on the next


class Size(NamedTuple):
    """How much to do. Bounds on time and memory are promises of the full size alone: `make test` runs on noisy machines."""

    full: bool

    def pick(self, small: Value, full: Value) -> Value:
        return full if self.full else small


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos")
    group.addoption("--size", choices=("small", "full"), default="small", help="how much the tests of tests/chaos do")
    group.addoption("--seed", type=int, default=None, help="replay a run of tests/chaos that printed this seed")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "chaos: has no small form; runs with --size full alone")
    config.addinivalue_line("markers", "controlplane: starts a kube-apiserver and etcd; small in `make controlplane`")
    if config.getoption("seed") is None:
        config.option.seed = time.time_ns() % 2**31 if config.getoption("size") == "full" else SMALL_SEED


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that have no small form are for `make chaos` alone."""
    ours = [item for item in items if Path(__file__).parent in item.path.parents]
    if config.getoption("size") == "full":
        for item in ours:
            item.add_marker(pytest.mark.timeout(TIMEOUT))
    else:
        items[:] = [item for item in items if item not in ours or not item.get_closest_marker("chaos")]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The figures of every test that got as far as having some."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    lines = [text for report in reports for name, text in report.user_properties if name == "figures"]
    if lines:
        terminalreporter.section(f"figures, {config.getoption('size')} size, --seed {config.getoption('seed')}")
        for line in dict.fromkeys(lines):
            terminalreporter.line(line)


@pytest.fixture(autouse=True)
def _merged_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few windows are merged, so that it happens within the little that tests keep."""
    monkeypatch.setattr(formats, "MERGED_SECONDS", MERGED_SECONDS)


@pytest.fixture
def size(request: pytest.FixtureRequest) -> Size:
    return Size(request.config.getoption("size") == "full")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    found = request.config.getoption("seed")
    assert isinstance(found, int)
    return found


@pytest.fixture
def rng(seed: int) -> random.Random:
    return random.Random(seed)


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Says what came out, at the end of the run; to be called before it is judged."""
    return lambda text: request.node.user_properties.append(("figures", text))


@pytest.fixture
def make_program(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Stores in the test's folder. At the end none is left, and each has logged as it should."""
    programs: list[Program] = []

    def make(**options: Any) -> Program:
        programs.append(Program(tmp_path, **options))
        return programs[-1]

    yield make
    for one in programs:
        one.kill()
    for one in programs:
        one.check_logs()
