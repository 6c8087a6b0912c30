r"""StatsD packets: bytes to values (docs/statsd.md). No I/O, no clock.

    packet   = line { LF line }
    line     = name ":" value { ":" value } "|" kind { "|" field }     one value if it is a set's; a CR at the end is none of it
    kind     = "c" | "g" | "ms" | "h" | "d" | "s"
    field    = "@" rate | "#" tag { "," tag } | "c:" container | "e:" external | "T" seconds | letters ":" anything
    tag      = name [ ":" text ]

Sources: https://github.com/statsd/statsd/blob/master/docs/metric_types.md and DogStatsD's protocol 1.0 to 1.5,
https://docs.datadoghq.com/extend/dogstatsd/datagram_shell/.

Rules
- A number is a decimal, not inf or nan, of at most LARGEST, so that no sum overflows. A signed gauge changes the one there is.
- Names are taken as they are, if line protocol can carry them, and else refused: two names never become one. So are those that
  are measured, and a timer's if what it makes would have such a name.
- Tags whose names say where something is measured, or label that, go by another (`exported_host`). One without text is "true".
- A field that is not known is left out if it has the form of one: newer clients send more. Events and service checks likewise.

Invariant: any bytes give values, reasons and counts of what was left out, never an exception.
"""

import math
import re
from functools import lru_cache
from typing import NamedTuple

from metricwire.lineprotocol import LABEL_METRIC
from metricwire.reserved import SPREAD_ENDINGS, is_measured, says_who

LARGEST = 1e100  # of a number, either side of 0
LEAST_RATE = 1e-6  # a value that stands for more than a million is a mistake
NAME_MOST = 240  # bytes of a name: with .count it is one that a line may have
TEXT_MOST = 255  # bytes of a tag's name or text
TAGS_MOST = 20  # with the place they are as many as a line may have
TAGS_BYTES_MOST = 1000  # of all tags of a line: a series of many bytes is sent with all of them, every interval
NUMBER_MOST = 64  # bytes of a number
SHOWN = 80  # characters of a bad line that a report repeats

KINDS = {b"c": "counter", b"g": "gauge", b"ms": "timer", b"h": "histogram", b"d": "distribution", b"s": "set"}
# Why something in a packet is bad.
REASONS = ("empty", "form", "name", "value", "kind", "rate", "field", "tag", "negative")


class Claim(NamedTuple):
    """What a packet says of its sender: a container's id, a pod's UID, a container's name in its pod; "" where it does not."""

    container: str = ""
    pod: str = ""
    name: str = ""


class Tail(NamedTuple):
    """What is behind a line's values. `weight`: how many each stands for."""

    kind: str
    weight: float = 1.0
    tags: tuple[tuple[str, str], ...] = ()  # sorted by name
    claim: Claim = Claim()


class Value(NamedTuple):
    """One value: a number, or of a set what it may have among it. `relative`: a gauge's change."""

    metric: str
    value: float | bytes
    relative: bool
    tail: Tail


class Bad(NamedTuple):
    """What was not understood: its first characters, and one of REASONS."""

    text: str
    reason: str


class Packet(NamedTuple):
    """What was in one packet."""

    values: list[Value]
    bad: list[Bad]
    events: int
    checks: int


class Refused(Exception):
    """Inside this module: the reason why the line at hand is bad."""


def parse(packet: bytes) -> Packet:
    """All that is in it."""
    found = Packet([], [], 0, 0)
    events = checks = 0
    for line in packet.split(b"\n"):
        text = line.removesuffix(b"\r")
        if not text:
            continue
        if text.startswith(b"_e{"):
            events += 1
        elif text.startswith(b"_sc|"):
            checks += 1
        else:
            _line(text, found)
    if events or checks:
        return found._replace(events=events, checks=checks)
    if not found.values and not found.bad:
        found.bad.append(Bad("", "empty"))
    return found


def _line(line: bytes, found: Packet) -> None:
    head, bar, rest = line.partition(b"|")
    name, colon, text = head.partition(b":")
    if not bar or not colon:
        found.bad.append(Bad(_shown(line), "form"))
        return
    try:
        metric = _known_name(name)
        tail = _known_tail(rest) if len(rest) <= _TAIL_KNOWN else _tail(rest)
        if tail.kind in _SPREADS and _is_measured_spread(metric):
            raise Refused("name")
    except Refused as refused:
        found.bad.append(Bad(_shown(line), str(refused)))
        return
    if _USUAL.fullmatch(text) and tail.kind != "set":
        found.values.append(Value(metric, float(text), False, tail))
        return
    for part in (text,) if tail.kind == "set" else text.split(b":"):
        try:
            found.values.append(Value(metric, *_value(part, tail.kind), tail))
        except Refused as refused:
            found.bad.append(Bad(_shown(line), str(refused)))


def _value(text: bytes, kind: str) -> tuple[float | bytes, bool]:
    """The value, and whether it is a change of the one there is."""
    if kind == "set":
        if not text:
            raise Refused("value")
        return text, False
    number = _number(text, "value")
    if abs(number) > LARGEST:
        raise Refused("value")
    if kind == "counter" and number < 0:
        raise Refused("negative")
    return number, kind == "gauge" and text[0] in b"+-"


def _number(text: bytes, reason: str) -> float:
    if len(text) > NUMBER_MOST or not _NUMBER.fullmatch(text):
        raise Refused(reason)
    return float(text)


def _tail(text: bytes) -> Tail:
    """What follows the values: kind and fields."""
    kind, *fields = text.split(b"|")
    if kind not in KINDS:
        raise Refused("kind")
    weight, tags, claim = 1.0, {}, Claim()
    for field in fields:
        if field.startswith(b"@"):
            weight = _weight(field[1:])
        elif field.startswith(b"#"):
            tags = _tags(field[1:])
        elif field.startswith((b"c:", b"e:")):
            claim = _claimed(_text(field, "field"), claim)
        elif not _OTHER_FIELD.fullmatch(field):
            raise Refused("field")
    claim = claim._replace(pod=claim.pod or tags.pop(POD_TAG, ""), name=claim.name or tags.get(CONTAINER_TAG, ""))
    kept = {key: value for key, value in tags.items() if not key.startswith(_INTERNAL)}
    if KINDS[kind] in ("gauge", "set"):
        weight = 1.0  # a rate says nothing of these
    return Tail(KINDS[kind], weight, tuple(sorted(kept.items())), claim)


def _weight(text: bytes) -> float:
    rate = _number(text, "rate")
    if not LEAST_RATE <= rate <= 1:
        raise Refused("rate")
    return 1 / rate


def _claimed(field: str, claim: Claim) -> Claim:
    """`c:<id>`, `c:ci-<id>`, `e:it-false,cn-<container>,pu-<pod UID>`: what is said of the sender, on top of `claim`."""
    letter, _, text = field.partition(":")
    if letter == "c":
        return claim if text.startswith("in-") else claim._replace(container=text.removeprefix("ci-"))
    said = {part[:3]: part[3:] for part in text.split(",")}
    return claim._replace(name=said.get("cn-", claim.name), pod=said.get("pu-", claim.pod))


def _tags(text: bytes) -> dict[str, str]:
    """Tags by name; of one given twice the last counts; those whose text is empty are none."""
    if len(text) > TAGS_BYTES_MOST:
        raise Refused("tag")
    found = {}
    for part in text.split(b","):
        name, colon, value = part.partition(b":")
        if not part or (colon and name and not value):
            continue
        key = _text(name, "tag")
        if says_who(key):
            key = _text(b"exported_" + name, "tag")
        found[key] = _text(value, "tag") if colon else "true"
    if len(found) > TAGS_MOST:
        raise Refused("tag")
    return found


def _name(raw: bytes) -> str:
    if len(raw) > NAME_MOST:
        raise Refused("name")
    name = _text(raw, "name")
    if name.startswith("#") or name == LABEL_METRIC or is_measured(name):
        raise Refused("name")
    return name


def _text(raw: bytes, reason: str) -> str:
    """A text that line protocol can carry: not empty, UTF-8, no control characters, no backslash at the end."""
    if not raw or len(raw) > TEXT_MOST or raw.endswith(b"\\"):
        raise Refused(reason)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Refused(reason) from None
    if _CONTROL.search(text):
        raise Refused(reason)
    return text


def _shown(line: bytes) -> str:
    return ascii(line[:SHOWN].decode("utf-8", "replace"))[1:-1]


POD_TAG = "dd.internal.entity_id"  # the UID of the pod, by DogStatsD's convention
CONTAINER_TAG = "container_name"  # kept as a tag, unless it names a container of the sender's pod
_INTERNAL = "dd.internal."
_NUMBER = re.compile(rb"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_USUAL = re.compile(rb"[0-9]{1,15}(?:\.[0-9]{1,15})?")  # one number that needs no other look
_OTHER_FIELD = re.compile(rb"T[0-9]{1,20}|[a-z]{1,16}:[^\x00-\x1f]*")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_TAIL_KNOWN = 512  # bytes of a tail that is remembered: few differ, many are read
_known_tail = lru_cache(2048)(_tail)
_known_name = lru_cache(8192)(_name)
_SPREADS = frozenset({"timer", "histogram", "distribution"})
_is_measured_spread = lru_cache(8192)(lambda name: is_measured(name, SPREAD_ENDINGS))
assert all(math.isfinite(number) for number in (LARGEST / LEAST_RATE, LARGEST * LARGEST))
