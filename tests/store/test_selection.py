"""What a request asks for is remembered, and never longer than it holds."""

import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from metricstore.query import execute, selection
from metricstore.query.execute import Execution
from metricstore.query.request import Subject
from metricstore.query.selection import Asked, Request, Selection, Selections
from storeapp import Client, MakeApp

NOW = 1_800_000_000
STEPS, STEP = 40, 640  # seconds
LAST = NOW + STEPS * STEP
METRICS = {"m": {"frequency": 10, "aggregation": "sum"}, "other": {"frequency": 10}}
THREADS = {"metric": "m", "host": "h1", "type": "hwthread", "type-ids": ["0", "1", "2"]}
REQUESTS: list[dict[str, Any]] = [
    {"queries": [{"metric": "m", "host": "h1"}]},
    {"queries": [THREADS, THREADS | {"aggreg": True}, {"metric": "other", "host": "h1", "scale-by": 2.0}]},
    {"for-all-nodes": ["m", "other"]},
]


@pytest.fixture
def ask(make_app: MakeApp, client: Callable[[Any], Client], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Asks a store, twice a store that finds everything anew: as the metric's samples change, both say the same."""
    app = make_app({"metrics": METRICS}, clock=lambda: LAST, passing=lambda: 0)
    asked = client(app.api)

    def ask(path: str, body: Any) -> Any:
        if isinstance(body, str):
            return asked("POST", path, content=body)
        remembered = asked("POST", path, json=body).json()
        with monkeypatch.context() as patch:
            patch.setattr(Selections, "get", lambda *_: None)
            assert asked("POST", path, json=body).json() == remembered
        return remembered

    return ask


def line(metric: str, host: str, value: float, at: int, thread: str = "") -> str:
    part = f",type=hwthread,type-id={thread}" if thread else ""
    return f"{metric},cluster=c,hostname={host}{part} value={value} {at}\n"


def test_what_comes_and_goes_is_seen_by_requests_that_were_made_before(ask: Callable[..., Any]) -> None:
    rng = random.Random(1)
    for step in range(STEPS):
        at = NOW + STEP * step
        metric, host, thread = rng.choice(["m", "other"]), rng.choice(["h1", "h2"]), rng.choice(["", "0", "1"])
        assert ask("/api/write", line(metric, host, step, at, thread)).status_code == 200
        if rng.random() < 0.2:
            before = rng.choice([at - 6400, at + 6400])
            assert ask(f"/api/free?to={before}", '[["c", "h1"]]').status_code == 200
        for request in REQUESTS:
            start = at - rng.choice([60, 6400])
            ask("/api/query", request | {"cluster": "c", "from": start, "to": at + 60})
            ask("/api/query", request | {"cluster": "c", "from": at + 60, "to": start})


def test_samples_may_go_while_an_answer_is_made(
    make_app: MakeApp, client: Callable[[Any], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "QUERIES_AT_ONCE", 2)
    app = make_app({"metrics": METRICS}, clock=lambda: LAST, passing=lambda: 0)
    ask, selections, limits = client(app.api), Selections(app.engine), app.settings.metric_store.limits
    ask("POST", "/api/write", content="".join(line("m", f"h{number}", number, NOW) for number in range(6)))
    body = orjson.dumps({"cluster": "c", "from": NOW, "to": NOW + 10, "for-all-nodes": ["m"]})
    for known in (False, True):
        execution = Execution(app.engine, body, limits, selections)
        assert bool(selections.get(("c", b"null", ("m",)))) == known
        answered = execution.rows()
        rows = [*next(answered), *next(answered)]
        if known:
            assert ask("POST", f"/api/free?to={LAST}", content=b'[["c", "h1"], ["c", "h3"], ["c", "h4"]]').status_code == 200
        rows += [row for some in answered for row in some]
        assert [len(row) for row in rows] == ([1, 1, 1, 0, 0, 1] if known else [1] * 6)


def test_an_error_is_not_remembered(ask: Callable[..., Any]) -> None:
    query = {"cluster": "c", "from": NOW, "to": NOW + 10, "queries": [{"metric": "new", "host": "h1"}]}
    assert "unknown metric" in ask("/api/query", query)["results"][0][0]["error"]
    ask("/api/write", line("new", "h1", 1.5, NOW))
    assert ask("/api/query", query)["results"][0][0]["data"] == [1.5]


def subject(name: str, queries: bytes = b"") -> Subject:
    return Subject(name, queries, ())


def found(generation: int, asked: int = 10) -> Request:
    """A request of so many entries."""
    groups = selection.Groups.of([])
    entries = [Asked(0, selection.Query("m"))] * asked
    return Request([], [Selection([], [None] * asked, entries, groups, groups.sizes, plain=True)], generation)


def test_memory_is_bounded(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make_app().engine
    selections, some = Selections(engine), found(engine.generation)
    monkeypatch.setattr(selection, "REMEMBERED", 3 * (10 * selection.ASKED_BYTES + selection.REQUEST_BYTES + 1))
    for name in "abca":
        selections.keep(subject(name), some)
        assert selections.get(subject("a")) or name == "c", "the one that was asked for last stays"
    assert [name for name in "abc" if selections.get(subject(name))] == ["a", "b", "c"]
    selections.keep(subject("d"), some)
    assert [name for name in "abcd" if selections.get(subject(name))] == ["b", "c", "d"]
    monkeypatch.setattr(selection, "LARGEST", 10)
    selections.keep(subject("large"), some)
    assert not selections.get(subject("large"))


def test_the_words_of_a_request_count(make_app: MakeApp) -> None:
    engine = make_app().engine
    selections, nothing = Selections(engine), found(engine.generation, 0)
    long = [subject("c", bytes(selection.LARGEST - selection.REQUEST_BYTES - 1 - more)) for more in (0, 1, 2, 3, 4)]
    for one in long:
        selections.keep(one, nothing)
    assert [bool(selections.get(one)) for one in long] == [False, True, True, True, True]
    longer = subject("c", bytes(selection.LARGEST))
    selections.keep(longer, nothing)
    assert not selections.get(longer)


def test_what_finds_nothing_is_forgotten_some_time(make_app: MakeApp) -> None:
    engine = make_app().engine
    selections, nothing = Selections(engine), found(engine.generation, 0)
    for number in range(selection.REMEMBERED // selection.REQUEST_BYTES + 1):
        selections.keep(subject(str(number)), nothing)
    assert not selections.get(subject("0"))
    assert selections.get(subject(str(number)))


def test_what_was_found_among_other_series_is_forgotten(make_app: MakeApp, client: Callable[[Any], Client]) -> None:
    app = make_app({"metrics": METRICS}, clock=lambda: LAST, passing=lambda: 0)
    selections = Selections(app.engine)
    before = app.engine.generation
    selections.keep(subject("a"), found(before))
    selections.keep(subject("b"), found(before))
    assert client(app.api)("POST", "/api/write", content=line("m", "h1", 1, NOW)).status_code == 200
    selections.keep(subject("late"), found(before))
    selections.keep(subject("new"), found(app.engine.generation))
    assert [name for name in ("a", "b", "late", "new") if selections.get(subject(name))] == ["new"]
