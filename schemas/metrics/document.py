"""The declarations as a table for people."""

from schemas.metrics import METRICS
from schemas.metrics.declaration import EVERY, Metric

HEAD = "| metric | type | labels | shown by | what it says |\n|---|---|---|---|---|\n"


def table() -> str:
    """In Markdown, in the order of the declarations."""
    return HEAD + "".join(_row(metric) for metric in METRICS)


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{name}`" for name in metric.label_names) or "\N{EN DASH}"
    processes = "all" if metric.processes == EVERY else ", ".join(metric.processes)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {processes} | {metric.help} |\n"
