"""From rows of panels to the JSON model of a Grafana dashboard."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Json = dict[str, object]

WIDTH: Final = 24
"""Of a dashboard, in Grafana's columns."""
SCHEMA: Final = 41
"""Of the JSON model: Grafana 11 and 12 read it, and take an older one up to theirs."""
DATASOURCE: Final[Json] = {"type": "prometheus", "uid": "${datasource}"}

Unit = Literal["short", "s", "bytes", "reqps", "percentunit", "currencyUSD", "none", "cps"]
"""Grafana's names: cps is counts a second."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of Prometheus, and how a line of the answer is called."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart (`timeseries`) or a number (`stat`): its question as a sentence, its unit."""

    title: str
    unit: Unit
    queries: tuple[Query, ...]
    about: str = ""
    kind: Literal["timeseries", "stat"] = "timeseries"
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Panels beside each other under a heading; a height in Grafana's rows."""

    title: str
    panels: tuple[Panel, ...]
    height: int = 8


@dataclass(frozen=True, slots=True)
class Dashboard:
    """`uid` stays: links lead to it."""

    uid: str
    title: str
    about: str
    rows: Sequence[Row]


def model(dashboard: Dashboard) -> Json:
    """What Grafana loads from a file."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.about,
        "tags": ["weir"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "templating": {"list": [_datasource()]},
        "annotations": {"list": []},
        "links": [{"type": "dashboards", "tags": ["weir"], "title": "Weir", "asDropdown": False}],
        "panels": list(_panels(dashboard.rows)),
    }


def _datasource() -> Json:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
    }


def _panels(rows: Sequence[Row]) -> Iterator[Json]:
    number, top = 1, 0
    for row in rows:
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1},
            "panels": [],
        }
        number, top = number + 1, top + 1
        width = WIDTH // len(row.panels)
        for place, panel in enumerate(row.panels):
            grid: Json = {"x": place * width, "y": top, "w": width, "h": row.height}
            yield _panel(number, panel, grid)
            number += 1
        top += row.height


def _panel(number: int, panel: Panel, grid: Json) -> Json:
    options: Json
    if panel.kind == "stat":
        custom: Json = {}
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value"}
    else:
        custom = {"fillOpacity": 10, "showPoints": "never", "lineWidth": 1}
        if panel.stacked:
            custom |= {"stacking": {"mode": "normal", "group": "A"}, "fillOpacity": 40}
        options = {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": DATASOURCE,
        "gridPos": grid,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": custom},
            "overrides": [],
        },
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": DATASOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
            }
            for place, query in enumerate(panel.queries)
        ],
    }
