"""docs/scaling.md says what its arithmetic says, from figures that were measured."""

from pathlib import Path
from typing import Final

import pytest

from bench import scaling
from streams.sink.settings import SinkSettings

CHECKOUT: Final = Path(__file__).parents[1]


def test_the_tables_are_those_of_the_arithmetic() -> None:
    document = scaling.DOCUMENT.read_text()
    assert document == scaling.with_tables(document)


def test_what_is_called_measured_stands_among_the_figures() -> None:
    figures = (CHECKOUT / "docs" / "figures.md").read_text()
    measured = (
        scaling.EDGE_EVENTS,
        scaling.EDGE_REQUESTS,
        scaling.SINK_ROWS,
        scaling.INSERTED_ROWS,
        2_750,
        913,
    )
    assert [each for each in measured if f"{each:,}" not in figures] == []


def test_the_readme_tells_the_same_figures() -> None:
    readme = (CHECKOUT / "README.md").read_text()
    told = (scaling.EDGE_EVENTS, scaling.SINK_ROWS)
    assert [each for each in told if f"{each:,}" not in readme] == []


@pytest.mark.parametrize("plan", scaling.PLANS, ids=lambda plan: f"{plan.events:,}")
def test_each_plan_keeps_what_the_sink_needs(plan: scaling.Plan) -> None:
    settings = SinkSettings.model_fields
    assert plan.partitions >= plan.sinks
    assert plan.filter_of_a_sink <= scaling.SINK_MEMORY
    assert 1 <= plan.days <= 7
    # A token outlives the longest attempt to insert.
    assert plan.tokens_last > settings["insert_timeout"].default
    # A batch of one linger is one that the sink takes.
    assert plan.peak / plan.partitions * plan.linger <= settings["batch_rows"].default


def test_more_events_never_take_less() -> None:
    for fewer, more in zip(scaling.PLANS, scaling.PLANS[1:], strict=False):
        assert fewer.api_processes <= more.api_processes
        assert fewer.sinks <= more.sinks
        assert fewer.brokers <= more.brokers
        assert fewer.shards <= more.shards
        assert fewer.dollars < more.dollars
