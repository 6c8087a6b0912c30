"""Questions to a store's `/api/query`, and the series that come back: cc-metric-store's form (docs/store.md)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

from metricscluster.client import Client
from metricscluster.selfmetrics import MOST
from metricwire.errors import MetricsError, NotFound
from metricwire.promtext import Parser

_BARE = {"with-padding": False, "with-stats": False}
AT_ONCE = 5000  # queries of one request; the store's limit is 20,000
# Seconds. An answer's times are counted from the question's beginning, as cc-metric-store's are, and samples are taken at
# multiples of the interval: a question that begins at a full minute gets them as they are.
_GRID = 60


class Place(NamedTuple):
    """A host, or a part of it: `hwthread` `3`, `filesystem` `/var`; several numbers are aggregated."""

    host: str
    type: str = ""
    ids: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """For people."""
        parts = ",".join(self.ids)
        return f"{self.host} {self.type} {parts}".rstrip() if self.type else self.host


@dataclass(frozen=True, slots=True)
class Series:
    """Values every `step` seconds from `start` on; None where there is none."""

    place: Place
    metric: str
    start: int
    step: int
    values: list[float | None]

    def samples(self) -> list[tuple[int, float]]:
        """Time and value, without those that are missing."""
        return [(self.start + at * self.step, value) for at, value in enumerate(self.values) if value is not None]

    def since(self, start: int) -> Self:
        """Without what is before (seconds)."""
        before = max(0, -((self.start - start) // self.step))
        return replace(self, start=self.start + before * self.step, values=self.values[before:])


class Span(NamedTuple):
    """From, to (exclusive): seconds."""

    start: int
    end: int


class Asking:
    """One cluster of a store."""

    def __init__(self, client: Client, cluster: str) -> None:
        self._client, self._cluster = client, cluster
        self.failures: list[str] = []  # what the store could not say of some places

    def hosts(self, since: int) -> list[str]:
        """All of the cluster's by name, also those of which only the archive has samples since then (seconds).

        The store names them all, whatever is measured of them: the metric only says what the queries it makes would ask for.
        """
        body = {"for-all-nodes": ["load_one"], "from": since, "to": since} | _BARE
        return [query["host"] for query in self._ask(body).get("queries") or []]

    def read(self, wanted: Sequence[tuple[str, Place]], span: Span, resolution: int = 0) -> list[Series]:
        """The series of (metric, place), as far as there are samples. NotFound when the store says of none of them anything."""
        found: list[Series] = []
        for at in range(0, len(wanted), AT_ONCE):
            part = wanted[at : at + AT_ONCE]
            queries = [_query(metric, place, resolution) for metric, place in part]
            body = {"queries": queries, "from": span.start - span.start % _GRID, "to": span.end} | _BARE
            rows = self._ask(body)["results"]
            for (metric, place), row in zip(part, rows, strict=True):
                for entry in row:
                    if entry.get("error"):
                        self.failures.append(f"{place.label}: {entry['error']}")
                    elif entry.get("data"):
                        series = Series(place, metric, entry["from"], entry["resolution"], entry["data"])
                        found.append(series.since(span.start))
        found = [series for series in found if series.samples()]
        if not found and self.failures:
            raise NotFound(self.failures[0].partition(": ")[2])
        return found

    def parts(self, metric: str, type: str, hosts: Sequence[str] = ()) -> list[Place]:
        """The parts of that type that have fresh samples of the metric: `/metrics` knows them. In order."""
        query = [("cluster", self._cluster), ("metric", metric)] + ([("hostname", hosts[0])] if len(hosts) == 1 else [])
        found: dict[Place, None] = {}
        for tags in self.fresh(query):
            host = tags.get("hostname", "")
            if (hosts and host not in hosts) or not host:
                continue
            if tags.get("type") == type:
                found[Place(host, type, (tags.get("type_id", ""),))] = None
            elif "type" not in tags and tags.get("stype") == type:
                found[Place(host, type, (tags.get("stype_id", ""),))] = None
        return sorted(found, key=lambda place: (place.host, [_by_number(one) for one in place.ids]))

    def fresh(self, query: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
        """The labels, and the value as `""`, of all series with fresh samples."""
        parser = Parser(MOST, lambda _: False)
        for piece in self._client.stream("/metrics", query):
            parser.feed(piece)
        return [dict(tags) | {"": repr(value)} for name, _, tags, value in parser.close() if "hostname" in dict(tags)]

    def heard(self) -> frozenset[str]:
        """The hosts that have fresh samples: the port for operations says so without a token."""
        return frozenset(tags["hostname"] for tags in self.fresh([("cluster", self._cluster), ("metric", "load_one")]))

    def _ask(self, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._client.ask("/api/query", (), json.dumps(body | {"cluster": self._cluster}).encode())
        try:
            found: dict[str, Any] = json.loads(answer)
        except ValueError as error:
            raise MetricsError(f"cannot read the answer of {self._client.url}: it is no JSON") from error
        return found


def _query(metric: str, place: Place, resolution: int) -> dict[str, Any]:
    query: dict[str, Any] = {"metric": metric, "host": place.host, "resolution": resolution}
    if place.type:
        query |= {"type": place.type, "type-ids": list(place.ids), "aggreg": len(place.ids) > 1}
    return query


def _by_number(text: str) -> tuple[int, str]:
    return (int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0, text)
