"""What a client would like to be answered with (RFC 9110 sections 12.5.1 and 12.5.3)."""

from typing import NamedTuple


class Liking(NamedTuple):
    """How much something is liked, from 0 (not at all) to 1, and how exactly it was named, from 0 (not at all) to 3."""

    quality: float
    exactness: int


def media(header: str | None, kind: str, version: str = "") -> Liking:
    """How an Accept header likes a media type, if `version` is what it asks for or it asks for none; no header likes all."""
    if header is None or not header.strip():
        return Liking(1.0, 0)
    levels = {"*/*": 1, kind.partition("/")[0] + "/*": 2, kind: 3}
    found = Liking(0.0, 0)
    for name, parameters in _parts(header):
        if name in levels and parameters.get("version", version) == version:
            liking = Liking(_quality(parameters), levels[name])
            if liking.exactness > found.exactness or (liking.exactness == found.exactness and liking > found):
                found = liking
    return found


def coding(header: str | None, name: str) -> bool:
    """Whether an Accept-Encoding header allows a coding; without one we send none."""
    said = {coding: _quality(parameters) for coding, parameters in _parts(header or "")}
    return said.get(name, said.get("*", 0.0)) > 0


def _parts(header: str) -> list[tuple[str, dict[str, str]]]:
    """Names and parameters, lower case."""
    parts = (part.split(";") for part in header.lower().split(","))
    return [(name.strip(), dict(_pair(text) for text in parameters)) for name, *parameters in parts]


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip(), value.strip().strip('"')


def _quality(parameters: dict[str, str]) -> float:
    """The parameter q; what is no number is 0."""
    try:
        return min(1.0, max(0.0, float(parameters.get("q", "1"))))
    except ValueError:
        return 0.0
