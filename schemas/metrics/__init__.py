"""Every metric of every process, declared once: what `/metrics` shows and dashboards ask for."""

from typing import Final

from schemas.metrics import billing, consumers, edge, every_process, quotas, sink, social
from schemas.metrics.declaration import Label, Metric

__all__ = ["METRICS", "Label", "Metric"]

METRICS: Final[tuple[Metric, ...]] = (
    *every_process.METRICS,
    *edge.METRICS,
    *consumers.METRICS,
    *sink.METRICS,
    *quotas.METRICS,
    *social.METRICS,
    *billing.METRICS,
)
