"""The declarations fit each other, the code that counts, and what Prometheus expects."""

import ast
import asyncio
import re
from pathlib import Path
from typing import get_args

import pytest

from api.analytics.publishing_events import Way
from api.health import PARTS as API_PARTS
from api.publishing import Reason
from schemas.metrics import METRICS, Label, Metric, consumers, edge, every_process, exposition, sink
from schemas.metrics.declaration import OTHER, TOPIC
from schemas.metrics.exposition import NOT_ASKED, Exposition
from schemas.metrics.instruments import at_scrape, counter, gauge
from schemas.topics import TOPICS, registered_name
from streams.billing.customers import CUSTOMERS
from streams.billing.reporter import REPORTS
from streams.sink.rows import DESTINATIONS
from tests.scrapes import parsed, shown_here

CHECKOUT = Path(__file__).parents[2]


def values_of(metric: Metric, name: str) -> tuple[str, ...]:
    return next(label.values for label in metric.labels if label.name == name)


def test_each_name_is_declared_once() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_named_as_prometheus_wants_it(metric: Metric) -> None:
    beginning = "process_" if metric.of_the_process else "weir_"
    assert re.fullmatch(rf"{beginning}[a-z][a-z_]+[a-z]", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert not metric.name.endswith(("_count", "_sum", "_bucket", "_created"))
    base = metric.name.removesuffix("_total")
    assert base.endswith(metric.unit)
    if metric.unit != "" or metric.kind == "histogram":
        assert metric.unit in {"seconds", "bytes", "dollars"}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_says_what_it_means_and_who_has_it(metric: Metric) -> None:
    assert metric.help.endswith(".")
    assert "\n" not in metric.help
    assert "|" not in metric.help
    assert metric.processes
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert list(metric.buckets) == sorted(set(metric.buckets))
    for label in metric.labels:
        assert label.name not in {"le", "job", "instance", "user", "path"}
        assert len(set(label.values)) == len(label.values)


def test_a_value_that_is_not_declared_is_other() -> None:
    label = Label("reason", ("not_json", OTHER))
    assert label.bounded("not_json") == "not_json"
    assert label.bounded("written by a stranger") == OTHER
    before = shown_here("sink").value(consumers.DEAD_LETTERS, topic=OTHER, reason=OTHER)
    for number in range(3):
        counter(consumers.DEAD_LETTERS, f"strange-{number}", f"reason-{number}").inc()
    after = shown_here("sink")
    assert after.value(consumers.DEAD_LETTERS, topic=OTHER, reason=OTHER) == before + 3
    assert not any("strange" in each["topic"] for each in after.series(consumers.DEAD_LETTERS))


def test_what_may_be_counted_is_shown_as_0_before_the_first() -> None:
    series = shown_here("sink").series(consumers.DEAD_LETTERS)
    for topic in (each.name for each in TOPICS if "sink" in each.read_by):
        assert {"topic": topic, "reason": "wrong_key"} in series


def test_a_source_is_asked_at_each_scrape_and_the_last_one_counts() -> None:
    answers = iter([1.0, 2.0])
    at_scrape(edge.WATCHERS, lambda: {(): 7.0})
    at_scrape(edge.WATCHERS, lambda: {(): next(answers)})
    assert [shown_here("api").value(edge.WATCHERS) for _ in range(2)] == [1.0, 2.0]
    # Others ask too.
    at_scrape(edge.WATCHERS, lambda: {(): 0.0})


async def test_parts_are_ready_but_those_that_are_named() -> None:
    problems = {"kafka": "is away"}

    async def named() -> dict[str, str]:
        return problems

    own = Exposition("quotas", ("quotas", "kafka"), named)
    body, content_type = await own.answer("")
    assert content_type.startswith("text/plain")
    scrape = parsed(body.decode())
    assert scrape.value(every_process.READY, part="kafka") == 0
    assert scrape.value(every_process.READY, part="quotas") == 1
    assert scrape.value(every_process.READY, part=NOT_ASKED) == 1
    problems.clear()
    body, _ = await own.answer("")
    assert parsed(body.decode()).value(every_process.READY, part="kafka") == 1


async def test_a_scrape_does_not_wait_for_what_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exposition, "LOOK_SECONDS", 0.01)

    async def hangs() -> dict[str, str]:
        await asyncio.Event().wait()
        return {}

    async def looks() -> None:
        await asyncio.Event().wait()

    async with asyncio.timeout(5):
        body, _ = await Exposition("quotas", ("kafka",), hangs, looks).answer("")
    assert parsed(body.decode()).value(every_process.READY, part=NOT_ASKED) == 0
    gauge(every_process.READY, NOT_ASKED).set(1)


def test_labels_are_what_the_code_counts_by() -> None:
    assert set(values_of(edge.EVENTS_ACCEPTED, "way")) == set(get_args(Way))
    assert set(values_of(edge.PUBLISH_FAILURES, "reason")) == set(get_args(Reason))
    assert set(values_of(sink.ROWS, "table")) == {each.table for each in DESTINATIONS.values()}
    by_name = {metric.name: metric for metric in METRICS}
    calls = by_name["weir_billing_stripe_calls_total"]
    assert set(values_of(calls, "call")) == {REPORTS, CUSTOMERS}
    assert "kafka" in API_PARTS


def test_every_reason_of_a_dead_letter_is_a_value_of_its_label() -> None:
    used = set()
    for file in [*CHECKOUT.glob("streams/**/*.py"), *CHECKOUT.glob("schemas/**/*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in {"Invalid", "InvalidEvent"}
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                used.add(node.args[0].value)
    assert {"not_json", "wrong_key"} < used
    assert {*used, OTHER} == set(values_of(consumers.DEAD_LETTERS, "reason"))


@pytest.mark.parametrize("prefix", ["", "test_1.", "usage-", "dead-", "api-key-"])
def test_a_topic_is_shown_by_its_name_in_the_registry(prefix: str) -> None:
    for topic in TOPICS:
        assert registered_name(prefix + topic.name) == topic.name
    assert TOPIC.bounded(registered_name("somebody-elses")) == OTHER
