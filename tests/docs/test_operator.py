"""Every reason of a condition and every metric of the operator is documented, and no other."""

import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from metricsoperator.books import Books
from metricsoperator.observed import Key
from metricsoperator.reasons import Reason

DOCS = Path(__file__).parents[2] / "docs"


def test_every_reason_has_its_section() -> None:
    sections = re.findall(r"^### (.+)\n(.+)", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    assert sorted(name for name, _ in sections) == sorted(Reason)
    assert all(len(text) > 15 for _, text in sections)


def test_reasons_are_what_the_schema_takes() -> None:
    assert all(re.fullmatch("[A-Z][A-Za-z0-9]{1,63}", reason) for reason in Reason)


def test_every_metric_is_documented() -> None:
    registry = CollectorRegistry()
    books = Books(registry, "1")
    books.success(Key("m", "x"), 1.0, ready=True)
    made = {f"{family.name}{_END.get(family.type, '')}" for family in registry.collect()}
    told = re.findall(r"^\| `(metricsoperator_\w+)(?:\{[\w,]+\})?` \|", (DOCS / "operator.md").read_text(), re.MULTILINE)
    assert {name for name in made if not name.startswith("process_")} == set(told)


_END = {"counter": "_total", "info": "_info"}
