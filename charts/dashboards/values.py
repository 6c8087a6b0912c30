"""The table of the chart's values, made from values.yaml: the comment above a value is what it means. Pure."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

BEGIN, END = "<!-- values: made by `make generate` -->\n", "<!-- end of values -->\n"


class Value(NamedTuple):
    """One value that can be set."""

    path: str  # with dots
    default: Any
    meaning: str


def values(text: str, content: dict[str, Any]) -> Iterator[Value]:
    """Those of a values.yaml, in its order; `content` is the same, read. A value without a comment has an empty meaning."""
    comment: list[str] = []
    above = ""
    for line in text.splitlines():
        if found := re.match(r" *# ?(.*)", line):
            comment.append(found[1])
            continue
        if found := re.match(r"(|  )(\w+):(.*)", line):
            indent, name, rest = found.groups()
            if not indent:
                above = name
            if indent or rest.strip():
                default = content[above][name] if indent else content[name]
                yield Value(f"{above}.{name}" if indent else name, default, " ".join(comment))
        comment = []


def table(found: Iterator[Value]) -> str:
    """A row for each."""
    rows = (f"| `{path}` | `{json.dumps(default)}` | {meaning} |\n" for path, default, meaning in found)
    return "| value | default | meaning |\n|---|---|---|\n" + "".join(rows)


def replaced(page: str, rows: str) -> str:
    """The page with this table between its two marks."""
    head, rest = page.split(BEGIN)
    return head + BEGIN + rows + END + rest.split(END)[1]
