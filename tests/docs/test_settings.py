"""Every setting is documented, with the default and the meaning that its type gives."""

import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from metricagent.settings import AgentSettings
from metricstore.settings import Settings as StoreSettings
from metricwire.catalog import METRICS
from metricwire.catalog.page import page

DOCS = Path(__file__).parents[2] / "docs"


def rows(form: type[msgspec.Struct], above: str = "") -> Iterator[str]:
    """A table row per setting: name, default, description."""
    hints = typing.get_type_hints(form, include_extras=True)
    for field in msgspec.structs.fields(form):
        hint, name = hints[field.name], above + field.encode_name
        notes = [note for note in getattr(hint, "__metadata__", ()) if isinstance(note, msgspec.Meta)]
        plain = hint.__origin__ if notes else hint
        meaning = next((note.description for note in notes if note.description), None)
        inner = [
            kind for kind in (plain, *typing.get_args(plain)) if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
        ]
        if inner and typing.get_origin(plain) is not dict:
            if meaning:
                yield f"| `{name}` | absent | {meaning} |"
            yield from rows(inner[0], f"{name}.")
        else:
            assert meaning, f"{name} has no description"
            yield f"| `{name}` | {shown(field)} | {meaning} |"


def shown(field: Any) -> str:
    if field.default is not msgspec.NODEFAULT:
        return f"`{msgspec.json.encode(field.default).decode()}`"
    if field.default_factory is not msgspec.NODEFAULT:
        return f"`{msgspec.json.encode(field.default_factory()).decode()}`"
    return "required"


@pytest.mark.parametrize(("form", "page"), [(StoreSettings, "store.md"), (AgentSettings, "agent.md")])
def test_every_setting_is_documented(form: type[msgspec.Struct], page: str) -> None:
    text = (DOCS / page).read_text()
    missing = [row for row in rows(form) if row not in text]
    assert not missing, f"docs/{page} lacks:\n" + "\n".join(missing)


def test_every_route_of_the_store_is_documented(make_app: Any) -> None:
    text = (DOCS / "store.md").read_text()
    for route in make_app(dev=True).route_table:
        assert f"`{route.path}`" in text, f"docs/store.md does not mention {route.path}"


def test_the_documentation_links_to_files_that_exist() -> None:
    for file in [*DOCS.glob("*.md"), *DOCS.parent.glob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", file.read_text()):
            assert (file.parent / link).exists(), f"{file.name} links to {link}"


def test_every_metric_is_documented() -> None:
    assert (DOCS / "metrics.md").read_text() == page(), "docs/metrics.md is not what `make generate` writes"
    assert {metric.name for metric in METRICS} == set(re.findall(r"^\| `(\w+)` ", page(), re.MULTILINE))
