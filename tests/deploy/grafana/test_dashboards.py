"""Dashboards ask for metrics that exist, and show all that exist."""

import json
from typing import Any, Final

import pytest

from deploy.grafana.files import FOLDER, contents
from schemas.metrics import METRICS
from tests.deploy.prometheus.test_alerts import RULES
from tests.deploy.promql import metrics_of, mistakes

# JSON of any shape.
Json = Any

FILES: Final = sorted(FOLDER.glob("*.json"))


def loaded() -> list[Json]:
    return [json.loads(file.read_text()) for file in FILES]


def expressions() -> list[str]:
    """Every question of every panel."""
    return [
        target["expr"]
        for dashboard in loaded()
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    ]


def test_the_files_are_what_the_boards_say() -> None:
    there = {file: file.read_text() for file in FILES}
    assert there == contents(), "run `python -m deploy.grafana`"


@pytest.mark.parametrize("expression", expressions())
def test_a_panel_asks_for_what_weir_has(expression: str) -> None:
    assert list(mistakes(expression)) == []


def test_every_metric_is_shown() -> None:
    shown = set().union(*map(metrics_of, expressions()))
    assert {metric.name for metric in METRICS} - shown == set()


def test_every_alert_has_a_panel_with_what_it_asks_for() -> None:
    shown = set().union(*map(metrics_of, expressions()))
    asked = set().union(*(metrics_of(rule["expr"]) for rule in RULES.values()))
    assert asked - shown == set()


@pytest.mark.parametrize("dashboard", loaded(), ids=lambda each: each["uid"])
def test_a_dashboard_is_one_that_grafana_loads(dashboard: Json) -> None:
    assert dashboard["schemaVersion"] >= 39
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["targets"]
            assert panel["datasource"]["uid"] == "${datasource}"
    assert [each["name"] for each in dashboard["templating"]["list"]] == ["datasource"]


def test_dashboards_keep_apart() -> None:
    assert len({each["uid"] for each in loaded()}) == len(FILES) > 0
    assert len({each["title"] for each in loaded()}) == len(FILES)
