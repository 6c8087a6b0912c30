"""What there is at and below a place, as JSON in cc-metric-store's form (spec/metric-store-api.md "Routes", `/api/debug`)."""

from collections.abc import Iterator, Sequence

import numpy as np
import orjson

from metricstore.engine import Engine
from metricstore.memory.registry import Level
from metricwire.errors import BadInput


def dump(engine: Engine, selector: Sequence[str]) -> Iterator[bytes]:
    """The tree, piece by piece: of each series from when to when samples have slots. BadInput for a place that is not there.

    A level is {metric: [{"start", "len", "end"}, ...], name: level, ...}: seconds, slots, seconds; more than one entry where
    further tags tell series apart.
    """
    level = engine.registry.find(selector)
    if level is None:
        raise BadInput(f"cannot dump {':'.join(selector)!r}: not found")
    return _dump(engine, level)


def _dump(engine: Engine, level: Level) -> Iterator[bytes]:
    yield b'{"data":'
    yield from _level(engine, level)
    yield b"}\n"


def _level(engine: Engine, level: Level) -> Iterator[bytes]:
    between = b"{"
    for metric in sorted(level.metrics()):
        numbers = engine.holding(np.array(list(level.own(metric)), np.int64))
        spans = [{"start": start, "len": (end - start) // step, "end": end} for start, end, step in engine.extents(numbers)]
        yield between + orjson.dumps(metric) + b":" + orjson.dumps(spans)
        between = b","
    for name, child in sorted(level.children.items()):
        yield between + orjson.dumps(name) + b":"
        yield from _level(engine, child)
        between = b","
    yield b"{}" if between == b"{" else b"}"
