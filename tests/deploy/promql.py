"""What a PromQL expression asks for, held to the metrics that Weir declares."""

import re
from collections.abc import Iterator
from typing import Final

import promql_parser
from promql_parser import AggregateExpr, Expr, MatchOp, VectorSelector

from schemas.metrics import METRICS, Label, Metric

OF_PROMETHEUS: Final = frozenset({"up"})
"""What it makes itself for each target."""
TARGET_LABELS: Final = frozenset({"job", "instance"})
ANY: Final = Label("any")


def _series() -> dict[str, Metric]:
    """Every name that `/metrics` shows → its declaration."""
    found: dict[str, Metric] = {}
    for metric in METRICS:
        endings = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        found |= {metric.name + ending: metric for ending in endings}
    return found


SERIES: Final = _series()


def parsed(expression: str) -> Expr:
    """Raises ValueError when it is no PromQL. Grafana's interval is a minute here."""
    return promql_parser.parse(expression.replace("$__rate_interval", "1m"))


def selectors(expression: str) -> list[VectorSelector]:
    """Each place where the expression asks for series."""
    found: list[VectorSelector] = []

    def look(node: Expr) -> None:
        if isinstance(node, VectorSelector):
            found.append(node)

    promql_parser.walk(parsed(expression), look)
    return found


def metrics_of(expression: str) -> set[str]:
    """The declared metrics that it asks for."""
    return {SERIES[each.name].name for each in selectors(expression) if each.name in SERIES}


def mistakes(expression: str) -> Iterator[str]:
    """Each name, label and value in it that Weir does not have."""
    labels: set[str] = set(TARGET_LABELS)
    for selector in selectors(expression):
        if selector.name in OF_PROMETHEUS:
            continue
        metric = SERIES.get(selector.name or "")
        if metric is None:
            yield f"{selector.name} is not declared"
            continue
        own = {label.name: label for label in metric.labels}
        own |= dict.fromkeys(TARGET_LABELS, ANY)
        if (selector.name or "").endswith("_bucket"):
            own["le"] = ANY
        labels |= own.keys()
        for matcher in selector.matchers.matchers:
            label = own.get(matcher.name)
            if label is None:
                yield f"{selector.name} has no label {matcher.name}"
            elif label.values and not _is_met(label.values, matcher.op, matcher.value):
                yield f"{matcher.name} of {selector.name} is never {matcher.value}"
    for grouped in _grouped(expression) - labels:
        yield f"no series here has the label {grouped}"


def _is_met(values: tuple[str, ...], operator: MatchOp, value: str) -> bool:
    if operator in (MatchOp.Equal, MatchOp.NotEqual):
        return value in values
    return any(re.fullmatch(value, each) for each in values)


def _grouped(expression: str) -> set[str]:
    found: set[str] = set()

    def look(node: Expr) -> None:
        if isinstance(node, AggregateExpr) and node.modifier is not None:
            found.update(node.modifier.labels)

    promql_parser.walk(parsed(expression), look)
    return found
