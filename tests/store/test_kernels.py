"""The kernels against the reference decoder and against loops in Python, compiled and in NumPy."""

import itertools
import struct
from collections.abc import Set
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from metricstore.numeric import kernels, plain
from metricstore.numeric.plain import NAN_BITS, NO_ROW, SKIP
from metricwire.lineprotocol import BAD_KEPT, Batch, Heads, Limits, decode, series_of
from metricwire.samples import SeriesKey

NOW = 1_800_000_000
LIMITS = Limits(line=120)
compiled = pytest.mark.skipif(not kernels.COMPILED, reason="the extension metricstore.numeric._kernels was not built here")
implementations = pytest.mark.parametrize("module", [plain, pytest.param(kernels, marks=compiled)], ids=["plain", "compiled"])

HEADS = [
    b"m,cluster=c,hostname=h",
    b"m,hostname=h,cluster=c",  # the same series
    b"mm,cluster=c,hostname=h,type=hwthread,type-id=3",
    b"mm,cluster=c,hostname=h,type=hwthread,type-id=33",
    b"eight,cluster=c,hostname=h",
    b"a\\,b,cluster=c,hostname=h",
    b"a\\ b,cluster=c,hostname=h",
    b"m,cluster=\xc3\xbc,hostname=h",
    b"value=1,cluster=c,hostname=h",
    b"x" * 70 + b",cluster=c,hostname=h",
    b"info,cluster=c,hostname=h,rack=r",
    b"m,cluster=c",
    b"#m,cluster=c,hostname=h",
    b"",
]
long_texts = st.builds(  # of more digits than a float holds
    lambda digits, decimals: b"%d.%0*d" % (digits // 10**decimals, decimals, digits % 10**decimals),
    st.integers(2**53, 10**17),
    st.integers(3, 17),
)
number_texts = st.one_of(st.from_regex(rb"-?[0-9]{1,15}(\.[0-9]{1,17})?", fullmatch=True), long_texts)
values = st.one_of(
    number_texts,
    st.floats(allow_nan=False, allow_infinity=False).map(lambda value: repr(value).encode()),
    st.sampled_from(
        [
            b"-0",
            b"0.0",
            b"4i",
            b"4u",
            b"+1",
            b"1e3",
            b".5",
            b"5.",
            b"-",
            b"",
            b"nan",
            b"inf",
            b"1" * 16,
            b"0." + b"1" * 18,
            b"0." + b"0" * 17 + b"1",
        ]
    ),
)
stamps = st.one_of(
    st.just(b""),
    st.integers(0, 10**10).map(lambda second: b" %d" % second),
    st.sampled_from(
        [b" ", b"  1", b" 1 ", b" -1", b" 00000000001", b" 1800000000123", b" 18000000001", b" x", b"\r", b" 1\r", b"\t1"]
    ),
)
fields = st.sampled_from(
    [b" value=", b" value=", b" value=", b"  value=", b" valu=", b" Value=", b" event=", b" a=1,value=", b"", b" "]
)
usual = st.tuples(st.sampled_from(HEADS[:10]), st.just(b" value="), number_texts, stamps).map(b"".join)
odd = st.tuples(st.sampled_from(HEADS), fields, values, stamps).map(b"".join)
noise = st.one_of(st.just(b""), st.binary(max_size=30), st.text("m,=ch value0123.-\r\\#\x00", max_size=40).map(str.encode))


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Lines, usual and odd, some bytes of which are changed; no quotation marks."""
    lines = draw(st.lists(st.one_of(usual, usual, odd, noise), max_size=40))
    body = bytearray(b"\n".join(lines) + draw(st.sampled_from([b"", b"\n", b"\n\n"])))
    for at, byte in draw(st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=3)):
        if at < len(body):
            body[at] = byte
    return bytes(body).replace(b'"', b"'")


def taught(module: ModuleType, heads: Heads, numbers: dict[SeriesKey, int]) -> Any:
    table = module.HeadTable(LIMITS.line)
    for head, series in heads.of("").items():
        table.add(head, numbers[series])
    return table


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


def found_in(batch: Batch, first: int = 1) -> list[tuple[int, SeriesKey, int, bytes]]:
    lines = [first - 1 + line for line in batch.sample_lines]
    return [(line, s.series, s.timestamp, bits(s.value)) for line, s in zip(lines, batch.samples, strict=True)]


def both(
    module: ModuleType,
    body: bytes,
    learnt: bytes,
    *,
    dropped: Set[int] = frozenset(),
    dead: Set[int] = frozenset(),
    span: tuple[int, int] = (-(2**62), 2**62),
) -> None:
    """Check that the samples of a table and of the reference for the lines it leaves are the reference's of the whole."""
    oldest, latest = span
    whole = decode(body, now=NOW, limits=LIMITS)
    heads = Heads()
    decode(learnt, now=NOW, limits=LIMITS, heads=heads)
    series = sorted(set(heads.of("").values()))
    numbers = {key: SKIP if number in dropped else number for number, key in enumerate(series)}
    alive = np.array([number not in dead for number in range(len(series))], np.uint8)
    lines = taught(module, heads, numbers).decode(body, NOW, oldest, latest, alive)
    columns = (lines.lines.tolist(), lines.numbers.tolist(), lines.timestamps.tolist(), lines.values.tolist())
    merged = [(line, series[number], time, bits(value)) for line, number, time, value in zip(*columns, strict=True)]
    assert all(oldest <= time <= latest and alive[numbers[key]] for _, key, time, _ in merged)
    rest = [(first, decode(body[start:end], now=NOW, limits=LIMITS)) for first, start, end in lines.others]
    for first, batch in rest:
        merged += found_in(batch, first)
    merged.sort(key=lambda entry: entry[0])
    wanted = found_in(whole)
    kept = {entry[0] for entry in merged}
    missing = [entry for entry in wanted if entry[0] not in kept]
    assert merged == [entry for entry in wanted if entry[0] in kept]
    assert all(numbers[key] == SKIP for _, key, _, _ in missing)
    assert len(missing) == lines.skipped
    assert lines.total == body.count(b"\n") + (body[-1:] not in {b"", b"\n"})
    assert whole.bad_count <= BAD_KEPT
    assert [(first - 1 + number, text, why) for first, b in rest for number, text, why in b.bad] == [
        tuple(bad) for bad in whole.bad
    ]
    assert [labels for _, b in rest for labels in b.labels] == whole.labels
    assert sum(b.messages for _, b in rest) == whole.messages


few = st.sets(st.integers(0, 8), max_size=2)


@implementations
@given(bodies(), st.none() | bodies(), few, few, st.sampled_from([(0, 2**62), (NOW, NOW), (0, NOW - 1), (5, 10**9)]))
def test_any_body_gives_what_the_reference_gives(
    module: ModuleType, body: bytes, learnt: bytes | None, dropped: set[int], dead: set[int], span: tuple[int, int]
) -> None:
    learnt = body if learnt is None else learnt
    both(module, body, learnt, dropped=dropped, dead=dead, span=span)


@implementations
@given(st.lists(usual, min_size=1, max_size=100))
def test_many_usual_lines_give_what_the_reference_gives(module: ModuleType, lines: list[bytes]) -> None:
    body = b"\n".join(lines)
    both(module, body, body)


@implementations
def test_however_a_body_ends_it_gives_what_the_reference_gives(module: ModuleType) -> None:
    body = b"\n".join(head + b" value=%d.5 %d" % (at, at) for at, head in enumerate(HEADS[:5])) + b"\n\n"
    for end in range(len(body)):
        both(module, body[:end], body)
        both(module, body[end:], body)


@compiled
@given(st.lists(st.one_of(number_texts, st.floats(0, 1e15).map(lambda value: b"%.3f" % value)), min_size=1, max_size=100))
@example([b"9007199254740992", b"9007199254740993", b"900719925474099.3", b"0.00000000000000001", b"-0", b"-0.0", b"0"])
@example(
    [
        b"999999999999999.99999999999999999",
        b"0.30000000000000004",
        b"179769313486231.570814527423731",
        b"5.0e0",
        b"0.000000000000000001",
    ]
)
def test_values_are_those_of_float(texts: list[bytes]) -> None:
    table = kernels.HeadTable(100)
    table.add(b"m", 0)
    body = b"\n".join(b"m value=" + text for text in texts)
    lines = table.decode(body, NOW, 0, NOW, np.ones(1, np.uint8))
    assert [bits(value) for value in lines.values] == [bits(float(texts[line - 1])) for line in lines.lines]
    assert len(lines.values) >= sum(len(text) <= 16 and b"e" not in text for text in texts)


@compiled
def test_a_usual_line_needs_no_reference() -> None:
    table = kernels.HeadTable(100)
    for number, head in enumerate(HEADS[:4]):
        table.add(head, number)
    body = b"\n".join(head + b" value=-1.25 17" for head in HEADS[:4]) + b"\n" + HEADS[0] + b" value=9007199254740993.5\n\n"
    lines = table.decode(body, NOW, 0, NOW, np.ones(4, np.uint8))
    assert lines.numbers.tolist() == [0, 1, 2, 3]
    assert lines.timestamps.tolist() == [17] * 4
    assert lines.values.tolist() == [-1.25] * 4
    assert lines.lines.tolist() == [1, 2, 3, 4]
    start = body.index(b"\n" + HEADS[0]) + 1
    assert lines.others == [(5, start, len(body) - 1)]
    assert lines.total == 6
    assert [column.dtype for column in lines[:4]] == [np.uint32, np.int64, np.float64, np.uint32]


@compiled
@given(bodies(), st.sampled_from([(0, 2**62), (NOW, NOW), (0, NOW - 1), (5, 10**9)]))
@example(b"\n".join(head + b" value=1 17" for head in HEADS), (0, NOW))
def test_lines_of_fresh_heads_are_usual_once_these_are_learnt(body: bytes, span: tuple[int, int]) -> None:
    table, nobody = kernels.HeadTable(LIMITS.line), np.zeros(0, np.uint8)
    first = table.decode(body, NOW, *span, nobody)
    assert not len(first.numbers)
    learnt: dict[int, SeriesKey] = {}  # by line
    for line, start, end in first.fresh:
        series = series_of(body[start:end], "", LIMITS)
        if series:
            learnt[line] = series
    keys = sorted(set(learnt.values()))
    for line, start, end in first.fresh:
        if line in learnt:
            table.add(body[start:end], keys.index(learnt[line]))
    again = table.decode(body, NOW, *span, np.ones(len(keys), np.uint8))
    assert again.lines.tolist() == list(learnt)
    columns = (again.lines.tolist(), again.numbers.tolist(), again.timestamps.tolist(), again.values.tolist())
    found = [(line, keys[number], time, bits(value)) for line, number, time, value in zip(*columns, strict=True)]
    wanted = {entry[0]: entry for entry in found_in(decode(body, now=NOW, limits=LIMITS))}
    assert found == [wanted[line] for line in learnt]
    assert {line for line, _, _ in again.fresh} == {line for line, _, _ in first.fresh} - learnt.keys()


@compiled
def test_fresh_heads_are_noted_up_to_a_number() -> None:
    body = b"".join(b"m%d,cluster=c,hostname=h value=1 1\n" % at for at in range(70_000))
    lines = kernels.HeadTable(100).decode(body, NOW, 0, NOW, np.zeros(0, np.uint8))
    assert [body[start:end] for _, start, end in lines.fresh[65_535:]] == [b"m65535,cluster=c,hostname=h"]
    assert lines.others == [(1, 0, len(body) - 1)]


@compiled
def test_other_lines_that_follow_one_another_are_one_run() -> None:
    table = kernels.HeadTable(100)
    table.add(b"m", 0)
    one = np.ones(1, np.uint8)
    assert table.decode(b"\n\n\n", NOW, 0, NOW, one).others == []
    assert table.decode(b"x\ny\n\nz\nm value=1\n\n\nw", NOW, 0, NOW, one).others == [(1, 0, 6), (8, 19, 20)]


@compiled
@given(st.lists(st.tuples(st.binary(max_size=20), st.integers(0, 2**32 - 2)), max_size=50))
def test_a_table_is_a_dictionary(pairs: list[tuple[bytes, int]]) -> None:
    table = kernels.HeadTable(100)
    pairs = [(head.replace(b"\n", b""), number) for head, number in pairs]
    model = {head: number for head, number in pairs if head and min(head) > 32}
    for head, number in pairs:
        table.add(head, number)
    assert len(table) == len(model)
    table.clear()
    assert (len(table), table.nbytes) == (0, 0)
    for number, (head, _) in enumerate(pairs):
        table.add(head, number)
    last = {head: number for number, (head, _) in enumerate(pairs) if head in model}
    lines = table.decode(b"\n".join(head + b" value=1" for head in last), NOW, 0, NOW, np.ones(len(pairs), np.uint8))
    assert lines.numbers.tolist() == list(last.values())


@compiled
def test_a_table_grows() -> None:
    table = kernels.HeadTable(100)
    heads = [b"metric%d,cluster=c,hostname=h%d" % (at % 7, at) for at in range(20_000)]
    for number, head in enumerate(heads):
        table.add(head, number)
        table.add(head, number)
    assert len(table) == len(heads)
    assert 16 * len(heads) < table.nbytes < 150 * len(heads)
    lines = table.decode(b"".join(b"%b value=1 1\n" % head for head in heads), NOW, 0, NOW, np.ones(len(heads), np.uint8))
    assert lines.numbers.tolist() == list(range(len(heads)))


@compiled
def test_decode_names_what_it_cannot_use() -> None:
    table = kernels.HeadTable(100)
    nothing: Any = None
    text: Any = "m"
    with pytest.raises(ValueError, match="array"):
        table.decode(b"m value=1", NOW, 0, NOW, np.ones(1, np.int8))
    with pytest.raises(TypeError):
        table.decode(nothing, NOW, 0, NOW, np.ones(1, np.uint8))
    with pytest.raises(TypeError):
        table.add(text, 1)
    with pytest.raises(OverflowError):
        table.add(b"m", 2**32)


@st.composite
def scattered(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments of scatter: some series, some windows, samples near them."""
    series = draw(st.integers(1, 6))
    column = lambda least, most: st.lists(st.integers(least, most), min_size=series, max_size=series)  # noqa: E731
    step = draw(st.lists(st.sampled_from([0, -1, 1, 7, 10, 60]), min_size=series, max_size=series))
    pairs = draw(st.lists(st.tuples(st.sampled_from([1, 7, 10, 60]), st.integers(-2, 2)), max_size=5, unique=True))
    capacities = draw(st.lists(st.integers(0, 5), min_size=len(pairs), max_size=len(pairs)))
    sample = st.tuples(st.integers(0, series - 1), st.integers(-9000, 9000) | st.integers(-200, 200), st.floats(-1e9, 1e9))
    samples = draw(st.lists(sample, max_size=80))
    numbers, timestamps, numbers_values = zip(*samples, strict=True) if samples else ((), (), ())
    return {
        "numbers": np.array(numbers, np.uint32),
        "timestamps": np.array(timestamps, np.int64),
        "values": np.array(numbers_values, np.float64),
        "step": np.array(step, np.int32),
        "phase": np.array(draw(column(-70, 70)), np.int32),
        "row": np.array(draw(column(-1, 5)), np.int32),
        "first": np.array(draw(column(-9000, 9000)), np.int64),
        "last": np.array(draw(column(-9000, 9000)), np.int64),
        "frequencies": np.array([f for f, _ in pairs], np.int32),
        "windows": np.array([w for _, w in pairs], np.int64),
        "arrays": [np.zeros((capacity, 64), np.uint64) for capacity in capacities],
    }


def scatter_by_hand(a: dict[str, Any]) -> tuple[list[int], list[bool]]:
    """What plain.scatter documents, one sample at a time."""
    pairs = list(zip(a["frequencies"].tolist(), a["windows"].tolist(), strict=True))
    others, touched = [], [False] * len(pairs)
    for i, m in enumerate(a["numbers"].tolist()):
        f, t, row = int(a["step"][m]), int(a["timestamps"][i]), int(a["row"][m])
        slot = (t - int(a["phase"][m]) + f // 2) // f if f > 0 else 0
        array = a["arrays"][pairs.index((f, slot // 64))] if f > 0 and (f, slot // 64) in pairs else []
        if not 0 <= row < len(array):
            others.append(i)
            continue
        touched[pairs.index((f, slot // 64))] = True
        array[row, slot % 64] = struct.unpack("<Q", struct.pack("<d", a["values"][i]))[0] ^ NAN_BITS
        a["first"][m], a["last"][m] = min(a["first"][m], t), max(a["last"][m], t)
    return others, touched


@implementations
@given(scattered())
def test_scatter_writes_each_sample_to_its_cell(module: ModuleType, arguments: dict[str, Any]) -> None:
    mine = {key: [a.copy() for a in value] if key == "arrays" else value.copy() for key, value in arguments.items()}
    others, touched = module.scatter(*mine.values())
    assert others.dtype == np.int64
    assert (others.tolist(), touched) == scatter_by_hand(arguments)
    for key in ("first", "last"):
        assert mine[key].tolist() == arguments[key].tolist()
    for found, wanted in zip(mine["arrays"], arguments["arrays"], strict=True):
        assert (found == wanted).all()


@implementations
def test_scatter_refuses_a_series_that_is_not_there(module: ModuleType) -> None:
    one, many = np.zeros(1, np.int64), np.zeros(1, np.int32)
    samples = (np.array([0, 1], np.uint32), np.zeros(2, np.int64), np.zeros(2))
    array = np.zeros((1, 64), np.uint64)
    with pytest.raises(IndexError):
        module.scatter(*samples, many + 1, many, many, one, one.copy(), many + 1, one, [array])
    assert not array.any()


@compiled
def test_scatter_names_what_does_not_fit() -> None:
    one, many = np.zeros(1, np.int64), np.zeros(1, np.int32)
    good: list[Any] = [
        np.zeros(1, np.uint32),
        one,
        np.zeros(1),
        many,
        many,
        many,
        one,
        one,
        many,
        one,
        [np.zeros((1, 64), np.uint64)],
    ]
    kernels.scatter(*good)
    for at, bad in itertools.product(range(10), [np.zeros(2, np.int16), np.zeros((1, 1)), np.zeros(4, good[0].dtype)[::2]]):
        with pytest.raises(ValueError, match="cannot"):
            kernels.scatter(*good[:at], bad, *good[at + 1 :])
    for array in (np.zeros((1, 63), np.uint64), np.zeros((2, 128), np.uint64)[:, ::2], np.zeros((1, 64), np.int64)):
        with pytest.raises(ValueError, match="cannot"):
            kernels.scatter(*good[:10], [array])


@st.composite
def spanned(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments of spans: some series with samples, groups of them, a time to read."""
    series = draw(st.integers(1, 6))
    times = st.integers(-9000, 9000) | st.integers(-(2**61), 2**61)
    edges = [sorted(draw(st.tuples(times, times))) for _ in range(series)]
    groups = draw(st.lists(st.lists(st.integers(0, series - 1), min_size=1, max_size=5), min_size=1, max_size=5))
    return {
        "numbers": np.array([number for group in groups for number in group], np.int64),
        "begins": np.cumsum([0, *(len(group) for group in groups[:-1])]),
        "step": np.array(draw(st.lists(st.sampled_from([1, 7, 10, 60]), min_size=series, max_size=series)), np.int32),
        "phase": np.array(draw(st.lists(st.integers(0, 70), min_size=series, max_size=series)), np.int32),
        "first": np.array([first for first, _ in edges]),
        "last": np.array([last for _, last in edges]),
        "start": draw(times),
        "end": draw(times),
    }


def span_by_hand(a: dict[str, Any], group: list[int]) -> tuple[int, int, int, bool]:
    """What plain.spans documents, one series at a time."""
    series = [(*(int(a[name][m]) for name in ("step", "phase", "first", "last")),) for m in group]
    slot = lambda time, step, phase: (time - phase + step // 2) // step  # noqa: E731
    start = min(max(a["start"], slot(first, step, phase) * step + phase) for step, phase, first, _ in series)
    lows, sizes = [], [0]
    for step, phase, first, last in series:
        lows.append(low := slot(start, step, phase))
        wanted = max(0, -((start - a["end"]) // step))
        if slot(first, step, phase) < low + wanted:
            sizes.append(min(wanted, slot(last, step, phase) + 1 - low))
    return start, min(lows), max(sizes), len(set(lows)) > 1


@implementations
@given(spanned())
def test_spans_says_what_reading_groups_means(module: ModuleType, arguments: dict[str, Any]) -> None:
    found = module.spans(*arguments.values())
    groups = np.split(arguments["numbers"], arguments["begins"][1:])
    wanted = [span_by_hand(arguments, group.tolist()) for group in groups]
    assert list(zip(*(column.tolist() for column in found), strict=True)) == wanted
    assert [column.dtype for column in found] == [*[np.dtype(np.int64)] * 3, np.dtype(np.bool_)]


@implementations
@pytest.mark.parametrize(
    ("numbers", "begins", "error"),
    [([0, 2], [0], IndexError), ([0], [], ValueError), ([0], [1], ValueError), ([0, 1], [0, 2], ValueError)],
)
def test_spans_refuses_what_does_not_fit(module: ModuleType, numbers: list[int], begins: list[int], error: type) -> None:
    columns = (np.ones(2, np.int32), np.zeros(2, np.int32), np.zeros(2, np.int64), np.zeros(2, np.int64))
    with pytest.raises(error):
        module.spans(np.array(numbers), np.array(begins, np.int64), *columns, 0, 10)


cells = st.sampled_from(
    [0, 0, *(struct.unpack("<Q", bits(v))[0] ^ NAN_BITS for v in (1.0, -0.0, 0.1, 1e16, -1e16, 3.3, 2e-300))]
)


@st.composite
def grouped(draw: st.DrawFn) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.int64], int, int]:
    """Arguments of sums: a window, groups of its rows, some columns."""
    capacity = draw(st.integers(1, 6))
    pattern = draw(st.lists(cells, min_size=1, max_size=30))
    window = np.resize(np.array(pattern, np.uint64), (capacity, 64))
    groups = draw(
        st.lists(st.lists(st.integers(0, capacity - 1) | st.just(draw(st.sampled_from([0, NO_ROW]))), max_size=12), max_size=6)
    )
    low = draw(st.integers(0, 64))
    offsets = np.cumsum([0, *(len(group) for group in groups)])
    return window, np.array([r for g in groups for r in g], np.int32), offsets, low, draw(st.integers(low, 64))


def same(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> bool:
    missing = np.isnan(wanted)
    return bool((np.isnan(found) == missing).all() and (found.view(np.uint64) == wanted.view(np.uint64))[~missing].all())


@implementations
@given(grouped())
def test_sums_adds_the_rows_of_a_group_in_order(module: ModuleType, arguments: Any) -> None:
    window, rows, offsets, low, high = arguments
    room = np.full((len(offsets) - 1, 70), 7.0)
    module.sums(window, rows, offsets, low, high, room[:, 3 : 3 + high - low])
    wanted = np.full((len(offsets) - 1, high - low), np.nan)
    values = (window ^ np.uint64(NAN_BITS)).view(np.float64)
    for group, (start, stop) in enumerate(itertools.pairwise(offsets)):
        for rank, row in enumerate(rows[start:stop]):
            value = values[row, low:high] if row != NO_ROW else np.nan
            wanted[group] = value if rank == 0 else wanted[group] + value
    assert same(np.ascontiguousarray(room[:, 3 : 3 + high - low]), wanted)
    assert (room[:, :3] == 7).all()
    assert (room[:, 3 + high - low :] == 7).all()


@compiled
def test_sums_gives_the_same_bits_compiled_or_not() -> None:
    random = np.random.default_rng(1)
    window = random.normal(size=(500, 64)).view(np.uint64) ^ np.uint64(NAN_BITS)
    window[random.random((500, 64)) < 0.001] = 0
    rows = random.integers(0, 500, 5000).astype(np.int32)
    offsets = np.arange(0, 5001, 100)
    compiled_out, plain_out = np.empty((50, 60)), np.empty((50, 60))
    kernels.sums(window, rows, offsets, 2, 62, compiled_out)
    plain.sums(window, rows, offsets, 2, 62, plain_out)
    assert same(compiled_out, plain_out)


@implementations
@pytest.mark.parametrize(
    ("rows", "offsets", "low", "high", "columns", "error"),
    [
        ([0, 1], [0, 2], 0, 64, 64, None),
        ([0, 2], [0, 2], 0, 64, 64, IndexError),
        ([0, -2], [0, 2], 0, 64, 64, IndexError),
        ([0, 1], [0, 3], 0, 64, 64, ValueError),
        ([0, 1], [-1, 2], 0, 64, 64, ValueError),
        ([0, 1], [2, 0], 0, 64, 64, ValueError),
        ([0, 1], [], 0, 64, 64, ValueError),
        ([0, 1], [0, 2], 0, 65, 65, ValueError),
        ([0, 1], [0, 2], -1, 3, 4, ValueError),
        ([0, 1], [0, 2], 5, 3, 0, ValueError),
        ([0, 1], [0, 2], 0, 64, 63, ValueError),
    ],
)
def test_sums_refuses_what_does_not_fit(
    module: ModuleType, rows: list[int], offsets: list[int], low: int, high: int, columns: int, error: type[Exception] | None
) -> None:
    window, out = np.zeros((2, 64), np.uint64), np.empty((max(len(offsets) - 1, 0), columns))
    arguments = window, np.array(rows, np.int32), np.array(offsets, np.int64), low, high, out
    if error is None:
        module.sums(*arguments)
        return
    with pytest.raises(error, match="cannot sum"):
        module.sums(*arguments)
