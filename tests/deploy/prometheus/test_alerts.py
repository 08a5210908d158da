"""Alerts ask for metrics that exist, fire when they should, and each says what to do."""

import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.deploy.promql import mistakes, parsed
from tests.programs import required_program

CHECKOUT: Final = Path(__file__).parents[3]
FOLDER: Final = CHECKOUT / "deploy" / "prometheus"
RUNBOOK: Final = CHECKOUT / "docs" / "runbook.md"

# YAML of any shape.
Rule = dict[str, Any]


def rules() -> dict[str, Rule]:
    """Every alert by its name."""
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    every = [rule for group in groups for rule in group["rules"]]
    assert len({rule["alert"] for rule in every}) == len(every)
    return {rule["alert"]: rule for rule in every}


RULES: Final = rules()


def entries() -> dict[str, str]:
    """What the runbook says about each alert, by the alert's name."""
    parts = re.split(r"^## (\w+)$", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def promtool(*arguments: str) -> None:
    done = subprocess.run(
        [required_program("promtool", package="prometheus"), *arguments],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_rules() -> None:
    promtool("check", "rules", "alerts.yml")


def test_every_alert_fires_and_is_silent_when_it_should() -> None:
    promtool("test", "rules", "alerts.test.yml")


@pytest.mark.parametrize("name", RULES)
def test_there_is_a_case_of_both(name: str) -> None:
    cases = yaml.safe_load((FOLDER / "alerts.test.yml").read_text())["tests"]
    expected = [
        bool(asked["exp_alerts"])
        for case in cases
        for asked in case["alert_rule_test"]
        if asked["alertname"] == name
    ]
    assert set(expected) == {True, False}


@pytest.mark.parametrize("name", RULES)
def test_an_alert_asks_for_what_weir_has(name: str) -> None:
    assert list(mistakes(RULES[name]["expr"])) == []


@pytest.mark.parametrize("name", RULES)
def test_an_alert_says_how_urgent_it_is_and_where_to_read_on(name: str) -> None:
    rule = RULES[name]
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook"] == f"docs/runbook.md#{name.lower()}"


def test_the_runbook_has_an_entry_for_every_alert_and_no_other() -> None:
    assert list(entries()) == list(RULES)


@pytest.mark.parametrize("name", RULES)
def test_an_entry_says_what_it_means_where_to_look_and_what_to_do(name: str) -> None:
    said = re.findall(r"^\*\*(.+?)\*\* \S", entries()[name], re.MULTILINE)
    assert said == ["Means:", "Look:", "Do:"]


def test_what_is_no_promql_is_found() -> None:
    with pytest.raises(ValueError, match=r"unclosed|expected|parenthes"):
        parsed("sum(rate(weir_http_requests_total[5m])")


@pytest.mark.parametrize(
    ("expression", "mistake"),
    [
        ("weir_nothing", "weir_nothing is not declared"),
        ("rate(weir_http_requests_total{code='5xx'}[5m])", "no label code"),
        ("weir_http_requests_total{status='500'}", "is never 500"),
        ("weir_http_requests_total{status=~'6.*'}", "is never 6.*"),
        ("sum by (path) (weir_http_requests_total)", "the label path"),
        ("weir_freshness_seconds", "is not declared"),
    ],
)
def test_a_mistake_is_found(expression: str, mistake: str) -> None:
    [found] = mistakes(expression)
    assert mistake in found
