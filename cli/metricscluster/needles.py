"""Values that are known to be secret, found in texts in every form in which programs write them. Pure.

The work grows with the text and not with the number of values: a text is looked through once for the first SHORTEST
characters of any of them, and only where these stand are whole values compared, HEAD characters at most.
"""

import base64
import json
from collections.abc import Iterable, Iterator
from urllib.parse import quote

SHORTEST = 6  # characters of a value that is looked for: shorter ones would take half of the text with them
HEAD = 64  # characters that are compared; where they stand, as much goes as the longest value that begins so


class Needles:
    """The values, as they are and in base64, JSON and URLs; of those of several lines each line too."""

    def __init__(self, values: Iterable[bytes] = ()) -> None:
        self._reach: dict[str, int] = {}  # head -> characters that go
        lengths: dict[str, set[int]] = {}
        for form in {form for value in values for form in _forms(value)}:
            head = form[:HEAD]
            self._reach[head] = max(len(form), self._reach.get(head, 0))
            lengths.setdefault(form[:SHORTEST], set()).add(len(head))
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}

    def replaced(self, text: str, instead: str) -> str:
        """The text with `instead` in the place of each value."""
        begins = self._lengths
        if not begins:
            return text
        parts, at = [], 0
        for begin in [i for i in range(len(text) - SHORTEST + 1) if text[i : i + SHORTEST] in begins]:
            if begin >= at and (reach := self._at(text, begin)):
                parts += [text[at:begin], instead]
                at = begin + reach
        return "".join([*parts, text[at:]])

    def _at(self, text: str, begin: int) -> int:
        """How many characters of a value begin there."""
        for length in self._lengths[text[begin : begin + SHORTEST]]:
            if reach := self._reach.get(text[begin : begin + length]):
                return reach
        return 0


def _forms(value: bytes) -> Iterator[str]:
    text = value.decode("utf-8", "replace").strip()
    whole = [value, text.encode(), *(line.strip().encode() for line in text.splitlines())]
    for part in whole:
        shown = part.decode("utf-8", "replace").strip()
        if shown.startswith("-----"):
            continue  # of every key
        escaped = json.dumps(shown)[1:-1]
        forms = (shown, escaped, json.dumps(escaped)[1:-1], quote(shown, safe=""), *_base64(part))
        yield from (form for form in forms if len(form) >= SHORTEST and len(shown) >= SHORTEST)
    if len(value) >= SHORTEST:
        yield from _base64(value)


def _base64(value: bytes) -> Iterator[str]:
    """Its base64 by itself, and what stands of it in that of something longer, wherever it begins in it."""
    yield base64.b64encode(value).decode()
    for before in range(3):
        inside = base64.b64encode(bytes(before) + value).decode().rstrip("=")
        yield inside[before + (before > 0) : -1]
