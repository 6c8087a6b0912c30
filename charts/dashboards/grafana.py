"""Rows of panels to the JSON of a Grafana dashboard. Pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA = 39  # Grafana 10.4 and newer
COLUMNS = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

Json = dict[str, Any]
Kind = Literal["timeseries", "stat", "bargauge", "table"]


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture: queries and the legend of each, with the unit of what they answer.

    In a table the legends are the columns to show, with the label or `Value` each is named after.
    """

    title: str
    queries: dict[str, str]  # expression -> legend
    unit: str = "short"
    kind: Kind = "timeseries"
    width: int = 8  # of 24 columns
    about: str = ""
    stacked: bool = False
    least: float | None = None
    most: float | None = None
    limits: dict[str, float] = field(default_factory=dict)  # colour -> from which value on

    def json(self, number: int, x: int, y: int) -> Json:
        """As Grafana has it, at this place of the grid."""
        targets = [
            {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": expression, "legendFormat": legend, **self._how()}
            for place, (expression, legend) in enumerate(self.queries.items())
        ]
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.about,
            "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": targets,
            "fieldConfig": {"defaults": self._field(), "overrides": []},
            "options": self._options(),
            **self._transformations(),
        }

    @property
    def height(self) -> int:
        """In rows of the grid."""
        return 4 if self.kind == "stat" else 8

    def _how(self) -> Json:
        return {"range": True} if self.kind == "timeseries" else {"instant": True, "range": False} | self._format()

    def _format(self) -> Json:
        return {"format": "table"} if self.kind == "table" else {}

    def _field(self) -> Json:
        steps: list[Json] = [{"color": "green", "value": None}]
        steps += [{"color": colour, "value": value} for colour, value in self.limits.items()]
        found: Json = {"unit": self.unit, "thresholds": {"mode": "absolute", "steps": steps}}
        found |= {"min": self.least} if self.least is not None else {}
        found |= {"max": self.most} if self.most is not None else {}
        found |= {"min": 0, "max": 100} if self.unit == "percent" else {}
        if self.kind == "timeseries":
            found["custom"] = {
                "fillOpacity": 40 if self.stacked else 10,
                "lineWidth": 1,
                "showPoints": "never",
                "stacking": {"mode": "normal" if self.stacked else "none", "group": "A"},
            }
        elif not self.limits:
            found["color"] = {"mode": "fixed", "fixedColor": "blue"}
        return found

    def _options(self) -> Json:
        last = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        options: dict[Kind, Json] = {
            "timeseries": {
                "legend": {"displayMode": "list", "placement": "bottom"},
                "tooltip": {"mode": "multi", "sort": "desc"},
            },
            "stat": {"reduceOptions": last, "colorMode": "value", "graphMode": "none"},
            "bargauge": {"reduceOptions": last, "orientation": "horizontal", "displayMode": "basic"},
            "table": {"showHeader": True},
        }
        return options[self.kind]

    def _transformations(self) -> Json:
        if self.kind != "table":
            return {}
        left_out = {"Time": True, **{f"Value #{chr(ord('A') + place)}": False for place in range(len(self.queries))}}
        columns = {f"Value #{chr(ord('A') + place)}": legend for place, legend in enumerate(self.queries.values())}
        columns = columns if len(self.queries) > 1 else {"Value": next(iter(self.queries.values()))}
        organize = {"id": "organize", "options": {"excludeByName": left_out, "renameByName": columns}}
        return {"transformations": [{"id": "merge", "options": {}}, organize]}


def stat(
    title: str,
    expression: str,
    unit: str = "short",
    *,
    legend: str = "",
    width: int = 6,
    limits: dict[str, float] | None = None,
) -> Panel:
    """One number, or one of each legend; `limits` colour it."""
    return Panel(title, {expression: legend}, unit, "stat", width, limits=limits or {})


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a title; those that do not fit go to the next line."""

    title: str
    panels: list[Panel]


@dataclass(frozen=True, slots=True)
class Choice:
    """A variable: the values of a label, chosen at the top of the dashboard."""

    name: str
    label: str
    query: str  # as of `label_values(...)`
    several: bool = False

    def json(self) -> Json:
        """As Grafana has it."""
        return {
            "name": self.name,
            "label": self.label,
            "type": "query",
            "datasource": SOURCE,
            "query": {"query": self.query, "refId": self.name},
            "definition": self.query,
            "refresh": 2,
            "sort": 1,
            "multi": self.several,
            "includeAll": self.several,
            **({"allValue": ".*", "current": {"text": "All", "value": "$__all"}} if self.several else {}),
        }


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page of Grafana; `name` is the end of its address and of its file's name."""

    name: str
    title: str
    about: str
    choices: list[Choice]
    rows: list[Row]

    def json(self) -> str:
        """The file to import."""
        source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1}
        content = {
            "uid": f"metricscluster-{self.name}",
            "title": f"MetricsCluster / {self.title}",
            "description": self.about,
            "tags": ["metricscluster"],
            "schemaVersion": SCHEMA,
            "version": 1,
            "editable": True,
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "timezone": "browser",
            "graphTooltip": 1,
            "links": [{"title": "MetricsCluster", "type": "dashboards", "tags": ["metricscluster"], "asDropdown": True}],
            "templating": {"list": [source, *(choice.json() for choice in self.choices)]},
            "annotations": {"list": []},
            "panels": list(self._panels()),
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    def _panels(self) -> Iterator[Json]:
        number = y = 0
        for row in self.rows:
            number += 1
            place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
            yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
            x, y, height = 0, y + 1, 0
            for panel in row.panels:
                if x + panel.width > COLUMNS:
                    x, y, height = 0, y + height, 0
                number += 1
                yield panel.json(number, x, y)
                x, height = x + panel.width, max(height, panel.height)
            y += height
