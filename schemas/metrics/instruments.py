"""The metrics of a process as prometheus-client's objects: each is made when it is first used."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from typing import Final, cast

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from schemas.metrics.declaration import TOPIC, Metric, Process
from schemas.topics import TOPICS

Samples = Mapping[tuple[str, ...], float]
"""The labels' values, in their order → a value."""

MOST_AT_ZERO: Final = 200
"""A metric of so many known series or fewer has them all from the start: else the first of a kind,
the first dead letter say, would be no increase."""

_made: Final[dict[str, MetricWrapperBase]] = {}
# prometheus-client takes 2 µs to find a series by its labels, this 0.3.
_known: Final[dict[tuple[str, tuple[str, ...]], MetricWrapperBase]] = {}
_sources: Final[dict[str, Callable[[], Samples]]] = {}


def counter(metric: Metric, *values: str) -> Counter:
    """Its series with these labels, to be increased."""
    return cast("Counter", _series(metric, values))


def gauge(metric: Metric, *values: str) -> Gauge:
    """Its series with these labels, to be set."""
    return cast("Gauge", _series(metric, values))


def histogram(metric: Metric, *values: str) -> Histogram:
    """Its series with these labels, to be told of each observation."""
    return cast("Histogram", _series(metric, values))


def at_scrape(metric: Metric, source: Callable[[], Samples]) -> None:
    """From now on the metric is what `source` says whenever it is asked for."""
    _sources[metric.name] = source


class OfProcess(Collector):
    """All metrics that a process has, in the order of their declaration."""

    def __init__(self, process: Process, metrics: Iterable[Metric]) -> None:
        # Each would be a second series, which says when the process began.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._metrics = [each for each in metrics if process in each.processes]
        self._of_the_process = ProcessCollector(registry=None)
        for metric in self._metrics:
            if not metric.of_the_process:
                _begin(metric, process)

    def collect(self) -> Iterator[Family]:
        yield from self._of_the_process.collect()
        for metric in self._metrics:
            if metric.of_the_process:
                continue
            if (source := _sources.get(metric.name)) is not None:
                yield _family(metric, source())
            else:
                yield from _whole(metric).collect()


def _series(metric: Metric, values: tuple[str, ...]) -> MetricWrapperBase:
    key = (metric.name, values)
    if (known := _known.get(key)) is not None:
        return known
    whole = _whole(metric)
    bounded = _bounded(metric, values)
    series = whole.labels(*bounded) if metric.labels else whole
    if bounded == values:
        # Others have no end, and are the same series.
        _known[key] = series
    return series


def _whole(metric: Metric) -> MetricWrapperBase:
    """The metric with all its series."""
    if (made := _made.get(metric.name)) is not None:
        return made
    made = _new(metric)
    _made[metric.name] = made
    return made


def _new(metric: Metric) -> MetricWrapperBase:
    name, text, labels, unit = metric.name, metric.help, metric.label_names, metric.unit
    match metric.kind:
        case "counter":
            return Counter(name, text, labels, unit=unit, registry=None)
        case "gauge":
            return Gauge(name, text, labels, unit=unit, registry=None)
        case "histogram":
            return Histogram(name, text, labels, unit=unit, registry=None, buckets=metric.buckets)


def _begin(metric: Metric, process: Process) -> None:
    """Makes the metric, and its series at 0 where they are known and few."""
    _whole(metric)
    read = tuple(topic.name for topic in TOPICS if process in topic.read_by)
    series = list(product(*(read if label is TOPIC else label.values for label in metric.labels)))
    if len(series) <= MOST_AT_ZERO:
        for values in series:
            _series(metric, values)


def _family(metric: Metric, samples: Samples) -> Family:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.label_names, unit=metric.unit)
    for values, value in samples.items():
        family.add_metric(_bounded(metric, values), value)
    return family


def _bounded(metric: Metric, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(label.bounded(each) for label, each in zip(metric.labels, values, strict=True))
