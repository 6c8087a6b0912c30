"""What Prometheus can get from us: live expositions of the store and the operator, the agents' own metrics
as docs/agent.md lists them (tests/docs/test_agentmetrics.py compares that list with a whole agent).
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest

from metricsoperator.books import Books
from metricsoperator.observed import Key
from metricstore.api.login import Counts
from metricstore.feeds.books import Books as FeedBooks
from metricstore.feeds.books import FeedCollector
from metricstore.settings import Subscription
from metricwire.catalog import METRICS

DOCS = Path(__file__).parents[2] / "docs"
CLUSTER, NODE = "fritz", "n1"
CONTAINER = "a" * 64
PLACES = {
    "node": "",
    "hwthread": ",type=hwthread,type-id=0",
    "core": ",type=core,type-id=0",
    "socket": ",type=socket,type-id=0",
    "memoryDomain": ",type=memoryDomain,type-id=0",
    "accelerator": ",type=accelerator,type-id=00000000:01:00.0",
    "container": f",type=container,type-id={CONTAINER}",
    "domain": ",type=socket,type-id=0,stype=domain,stype-id=core",
}
LABELS = "pod=web-1,namespace=shop,container=app,owner=web,owner_kind=Deployment"


class Series(NamedTuple):
    """One series that is exposed."""

    name: str
    labels: dict[str, str]

    def __str__(self) -> str:
        labels = ",".join(f'{name}="{value}"' for name, value in self.labels.items())
        return f"{self.name}{{{labels}}}"


def samples() -> str:
    """Lines of every metric that agents measure, wherever they measure it, and the labels of a container."""
    now = int(time.time())
    lines = [f"info,cluster={CLUSTER},hostname={NODE},type=container,type-id={CONTAINER},{LABELS} value=1 {now}"]
    for metric in METRICS:
        for at in metric.at:
            place = PLACES.get(at, f",stype={at},stype-id=part")
            lines.append(f"{metric.name},cluster={CLUSTER},hostname={NODE}{place} value=1 {now}")
    return "\n".join([*lines, "not a line"])


def of_text(text: str, **target: str) -> Iterator[Series]:
    """The series of an exposition as Prometheus keeps them; `target` are labels that it adds.

    By hand: prometheus_client's parser renames counters.
    """
    for name, labels in re.findall(r"^([a-z_:][\w:]*)(?:\{(.*)\})? ", text, re.MULTILINE):
        yield Series(name, target | dict(re.findall(r'(\w+)="([^"]*)"', labels)))


def of_store(make_app: Any, client: Any) -> Iterator[Series]:
    """A store that got samples, a line that it refuses and a question that it does not understand; with NATS and logins."""
    app = make_app()
    ask = client(app.api)
    answer = ask("POST", "/api/write", content=samples())
    assert answer.json()["rejected_lines"] == 1, answer.text
    assert ask("GET", "/api/query").status_code == 400
    yield from of_text(ask("GET", "/metrics").text, instance="10.0.0.1:8083", job="store", namespace="monitoring")
    registry = CollectorRegistry()
    registry.register(FeedCollector([FeedBooks(Subscription("hpc-nats"))]))
    registry.register(Counts())
    yield from of_text(generate_latest(registry).decode(), instance="10.0.0.1:8083", job="store", namespace="monitoring")


def of_agent() -> Iterator[Series]:
    """What an agent says of itself."""
    rows = re.findall(r"^\| `(metricagent_\w+)(?:\{([\w,]+)\})?` \|", (DOCS / "agent.md").read_text(), re.MULTILINE)
    for name, labels in rows:
        own = {label: "some" for label in labels.split(",") if label}
        yield Series(name, {"instance": "10.0.0.2:61091", "job": "agent", "hostname": NODE} | own)


def of_operator() -> Iterator[Series]:
    """An operator that has done everything that it counts."""
    registry = CollectorRegistry()
    books, key = Books(registry, "1.0.0"), Key("monitoring", "fritz")
    books.turn(key, "ready")
    books.lasted(0.1)
    books.failed(key, "Forbidden")
    books.success(key, 1.0, ready=True)
    books.request("get", 200)
    books.said("StatefulSet", "MODIFIED")
    books.listed(worked=True)
    yield from of_text(generate_latest(registry).decode(), instance="10.0.0.3:8080", job="operator", pod="operator-1")


def everything(make_app: Any, client: Any) -> list[Series]:
    """All of it."""
    return [*of_store(make_app, client), *of_agent(), *of_operator()]
