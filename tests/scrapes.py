"""What a process shows at `/metrics`, as Prometheus reads it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import aiohttp
from prometheus_client import Metric as Family
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from schemas.metrics import METRICS, Metric
from schemas.metrics.declaration import Process
from schemas.metrics.instruments import OfProcess


@dataclass(frozen=True)
class Scrape:
    """One answer: its families by the names under which they are declared."""

    families: Mapping[str, Family]

    def value(self, metric: Metric, suffix: str = "", **labels: str) -> float:
        """The sum of the samples with these labels; 0 when there are none.

        `suffix`: `_count` or `_sum` of a histogram.
        """
        return sum(
            sample.value
            for sample in self._samples(metric, suffix)
            if labels.items() <= sample.labels.items()
        )

    def series(self, metric: Metric, suffix: str = "") -> list[dict[str, str]]:
        """The labels of each of its samples."""
        return [dict(sample.labels) for sample in self._samples(metric, suffix)]

    def _samples(self, metric: Metric, suffix: str) -> Iterator["Sample"]:
        for sample in self.families[metric.name].samples:
            if sample.name == metric.name + suffix:
                yield Sample(sample.labels, sample.value)


@dataclass(frozen=True)
class Sample:
    labels: Mapping[str, str]
    value: float


def parsed(text: str) -> Scrape:
    """An answer in Prometheus's text format."""
    families = {}
    for family in text_string_to_metric_families(text):
        # The parser cuts off what a counter's name ends with.
        name = f"{family.name}_total" if family.type == "counter" else family.name
        families[name] = family
    return Scrape(families)


async def scraped(session: aiohttp.ClientSession, port: int) -> Scrape:
    """What the process on this loopback port shows now."""
    async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        assert answer.status == 200
        return parsed(await answer.text())


def shown_here(process: Process) -> Scrape:
    """What this process would show if it were that one: its counts began with the first test."""
    return parsed(generate_latest(OfProcess(process, METRICS)).decode())
