"""How a metric is declared: its name, what it means, its labels with their values, its buckets."""

from dataclasses import dataclass
from typing import Final, Literal

from schemas.topics import TOPICS

Process = Literal["api", "sink", "quotas", "social", "billing"]
Kind = Literal["counter", "gauge", "histogram"]

EVERY: Final[tuple[Process, ...]] = ("api", "sink", "quotas", "social", "billing")
WORKERS: Final[tuple[Process, ...]] = ("sink", "quotas", "social", "billing")

OTHER: Final = "other"
"""The value of a label that has none of its own."""


@dataclass(frozen=True, slots=True)
class Label:
    """A label. `values`: all that it may have; any other is shown as `other`.

    Empty: they follow from how this Weir is set up, such as its routes and models, and are few.
    """

    name: str
    values: tuple[str, ...] = ()

    def bounded(self, value: str) -> str:
        """The value, or `other`."""
        return value if not self.values or value in self.values else OTHER


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric, by the name under which it is asked for: a counter's ends with `_total`.

    `buckets`: upper bounds of a histogram's, in its unit. `processes`: those that have it.
    `of_the_process`: prometheus-client reads it from the kernel, on Linux alone.
    """

    name: str
    kind: Kind
    help: str
    processes: tuple[Process, ...]
    labels: tuple[Label, ...] = ()
    unit: str = ""
    buckets: tuple[float, ...] = ()
    of_the_process: bool = False

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)


FAST_SECONDS: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
)
"""Of what takes milliseconds when all is well."""

SLOW_SECONDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 600.0)
"""Of calls to others, which may take minutes."""

TOPIC: Final = Label("topic", (*(topic.name for topic in TOPICS), OTHER))
"""By its name in the registry, without WEIR_TOPIC_PREFIX."""
