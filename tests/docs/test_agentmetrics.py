"""What the agent says of itself in /metrics is in a table of docs/agent.md, and nothing else is."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from metricagent import app
from metricagent.answers import Later, Smaller, Taken
from metricagent.books import DROP_REASONS
from metricagent.settings import parse
from metricagent.textfile import REASONS

TEXT = (Path(__file__).parents[2] / "docs" / "agent.md").read_text()
ROWS = dict(re.findall(r"^\| `(metricagent_\w+)(?:\{\w+(?:,\w+)*\})?` \| (.*) \|$", TEXT, re.MULTILINE))
SETTINGS = """{
    "cluster": "fritz", "hostname": "n1", "store": {"url": "http://127.0.0.1:1", "token-file": "none"},
    "spool": {"directory": "%s/spool"}, "textfile": {"directory": "%s"}, "statsd": {"address": "127.0.0.1:0"},
    "pods": {"url": "http://127.0.0.1:1"}, "scrape": {"enabled": true},
    "api": {"address": "127.0.0.1:0", "anonymous": true}, "metrics-address": "127.0.0.1:0"
}"""


def test_every_metric_of_the_agent_is_documented(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those of a whole agent with everything switched on, put together and not started."""
    registry, names = CollectorRegistry(), set[str]()

    async def look(*_: Any) -> None:
        for family in registry.collect():
            names.add(f"{family.name}_total" if family.type == "counter" else family.name)

    monkeypatch.setattr(app, "CollectorRegistry", lambda: registry)
    monkeypatch.setattr(app, "_work", look)
    asyncio.run(app.run(parse(SETTINGS.replace("%s", str(tmp_path)).encode(), "settings")))
    assert names == ROWS.keys()


def test_reasons_and_outcomes_are_documented() -> None:
    for name, words in (
        ("metricagent_samples_dropped_total", DROP_REASONS),
        ("metricagent_textfile_refused_total", REASONS),
        ("metricagent_store_requests_total", [kind.__name__.lower() for kind in (Taken, Smaller, Later)]),
    ):
        assert not [word for word in words if f"`{word}`" not in ROWS[name]], name
