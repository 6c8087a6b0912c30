"""Every reason of a condition and every metric of the operator is documented, and no other."""

import ast
import inspect
import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from metricscluster import findings
from metricsoperator.books import Books
from metricsoperator.observed import Key
from metricsoperator.reasons import Reason

DOCS = Path(__file__).parents[2] / "docs"


def test_every_reason_has_its_section() -> None:
    """Those of conditions, and those that `metricscluster status` finds itself."""
    sections = re.findall(r"^### (.+)\n(.+)", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    assert sorted(name for name, _ in sections) == sorted({str(reason) for reason in Reason} | found())
    assert all(len(text) > 15 for _, text in sections)


def found() -> set[str]:
    """The reasons that the command has words of its own for."""
    calls = [node for node in ast.walk(ast.parse(inspect.getsource(findings))) if isinstance(node, ast.Call)]
    firsts = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Finding"]
    return {str(first.value) for first in firsts if isinstance(first, ast.Constant)}


def test_links_lead_to_sections() -> None:
    """Those of this page: it is read when something is broken."""
    text = (DOCS / "troubleshooting.md").read_text()
    for page, _, section in (link.partition("#") for link in re.findall(r"\]\(([^)]+)\)", text)):
        there = (DOCS / page).read_text()
        headings = [
            re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", there, re.M)
        ]
        assert not section or section in headings, f"{page}#{section}"


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
