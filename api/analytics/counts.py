"""Counts and visitors of whatever is asked for: from rollups, and raw events where they end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from api.analytics.filters import Dimension, Filters, GroupBy, of_events, of_key
from api.analytics.stretches import Level, Stretch, cover

Grouping = GroupBy | Literal[""]
"""What the counted events are told apart by; '' is nothing."""

# The same visitor as in the view that fills the rollup.
_VISITOR: Final = (
    "if(visitor_id != '', sipHash64(visitor_id), if(user_id != '', sipHash64(user_id), 0))"
)
_SPAN_MS: Final = 8 * 1000
"""8 units lie together in the rollup's order."""
_FINEST: Final = Level.HOUR
"""Of the dimensions; all events together are also kept by quarters of an hour."""


@dataclass(frozen=True, slots=True)
class Counts:
    """A subquery and what is bound in it; its columns are
    event_type, bucket, group_value, count, seen.

    `bucket` is the boundary (epoch ms) at which the row's bucket begins, `group_value` what the
    rows are grouped by. A bucket and value may have several rows, to be summed and merged.
    """

    sql: str
    parameters: dict[str, object]
    precision: int
    """Of `seen`: 2 to the power of so many registers."""

    def merged_state(self) -> str:
        """`seen` of several rows as one, in SQL."""
        return f"uniqCombinedMergeState({self.precision})(seen)"

    def visitors(self, condition: str = "true") -> str:
        """The number of visitors of `seen` in the rows for which a condition holds, in SQL."""
        return f"uniqCombinedMergeIf({self.precision})(seen, {condition})"


@dataclass(frozen=True, slots=True)
class _Part:
    """SQL of some of the rows, and what is bound in it."""

    sql: str
    parameters: dict[str, object]


def counts(filters: Filters, boundaries: Sequence[int], grouping: Grouping) -> Counts:
    """Of the events that the filters let through, within boundaries (epoch ms, ascending).

    The first boundary begins the range and the last ends it; those between cut it into buckets.
    """
    dimension = _rollup_dimension(filters, grouping)
    bucketed = len(boundaries) > 2
    parameters: dict[str, object] = {"boundaries": list(boundaries[:-1])} if bucketed else {}
    if dimension is None:
        stretches, raw = {}, [Stretch(boundaries[0], boundaries[-1])]
    else:
        stretches = cover(boundaries, finest=_FINEST if dimension else Level.QUARTER_HOUR)
        raw = stretches.pop(Level.RAW, [])
    parts = []
    if dimension is not None and stretches:
        parts.append(_from_rollup(filters, stretches, dimension, grouping, bucketed=bucketed))
    if raw or not parts:
        parts.append(_from_events(filters, raw, dimension, grouping, bucketed=bucketed))
    for part in parts:
        parameters |= part.parameters
    return Counts(
        "\n    UNION ALL\n".join(part.sql for part in parts),
        parameters,
        precision=_precision(dimension),
    )


def _rollup_dimension(filters: Filters, grouping: Grouping) -> Dimension | Literal[""] | None:
    """The one dimension by which the rollups must tell events apart, None when it takes two."""
    if filters.user_id is not None:
        return None
    dimensions = set(filters.by_dimension())
    if grouping != "" and grouping != "event_type":  # mypy narrows only so
        dimensions.add(grouping)
    return "" if not dimensions else dimensions.pop() if len(dimensions) == 1 else None


def _precision(dimension: Dimension | Literal[""] | None) -> int:
    """Of visitors: in the rollup the values of a dimension have fewer registers, to merge fast."""
    return 12 if dimension else 16


def _from_rollup(
    filters: Filters,
    stretches: Mapping[Level, Sequence[Stretch]],
    dimension: Dimension | Literal[""],
    grouping: Grouping,
    *,
    bucketed: bool,
) -> _Part:
    key = of_key(filters)
    parameters: dict[str, object] = {
        **key.parameters,
        "dimension": dimension,
        "spans": _spans(stretches),
        **_starts_and_ends(
            [
                Stretch(level * _UNIT + each.start // 1000, level * _UNIT + each.end // 1000)
                for level in sorted(stretches)
                for each in stretches[level]
            ]
        ),
    }
    one_value = ""
    if dimension and (value := filters.by_dimension().get(dimension)) is not None:
        parameters["value"] = value
        one_value = " AND value = {value:String}"
    bucket = f"roundDown(toInt64(toUnixTimestamp(time)) * 1000, {_BOUNDARIES})" if bucketed else "0"
    grouped = {"": "''", "event_type": "event_type"}.get(grouping, "value")
    visitors = "visitors" if dimension else "all_visitors"
    return _Part(
        # Put together of texts of this module alone; what a client sends is bound.
        f"""
    SELECT
        event_type, {bucket} AS bucket, {grouped} AS group_value, count, {visitors} AS seen
    FROM event_counts
    WHERE dimension = {{dimension:String}}{key.sql}{one_value}
      AND (unit, span) IN {{spans:Array(Tuple(UInt32, UInt32))}}
      AND {_IN_STRETCHES.format(at=_AT, of="")}""",  # noqa: S608
        parameters,
    )


def _from_events(
    filters: Filters,
    stretches: Sequence[Stretch],
    dimension: Dimension | Literal[""] | None,
    grouping: Grouping,
    *,
    bucketed: bool,
) -> _Part:
    parameters: dict[str, object] = {}
    within = _within(stretches, parameters) if stretches else "false"
    condition = of_events(filters)
    at = f"roundDown({_AT_MS}, {_BOUNDARIES})" if bucketed else "0"
    # A name of the fixed list of dimensions, never a client's text.
    grouped = grouping or "''"
    state = f"uniqCombinedStateIf({_precision(dimension)})"
    return _Part(
        f"""
    SELECT
        event_type, {at} AS bucket, {grouped} AS group_value, count() AS count,
        {state}({_VISITOR} AS visitor, visitor != 0) AS seen
    FROM events
    WHERE {within}{condition.sql}
    GROUP BY event_type, bucket, group_value""",  # noqa: S608
        parameters | condition.parameters,
    )


_BOUNDARIES: Final = "{boundaries:Array(Int64)}"
_UNIT: Final = 1 << 32
# Unit and time as one number, so that one list has the stretches of all units.
_AT: Final = "toInt64(unit) * 4294967296 + toUnixTimestamp(time)"
# In a stretch is what begins later than the last end before it.
_IN_STRETCHES: Final = (
    "roundDown({at}, {{{of}starts:Array(Int64)}}) > roundDown({at}, {{{of}ends:Array(Int64)}})"
)
_AT_MS: Final = "toUnixTimestamp64Milli(occurred_at)"


def _starts_and_ends(stretches: Sequence[Stretch], of: str = "") -> dict[str, object]:
    return {
        f"{of}starts": [0, *(each.start for each in stretches)],
        f"{of}ends": [0, *(each.end for each in stretches)],
    }


def _spans(stretches: Mapping[Level, Sequence[Stretch]]) -> list[tuple[int, int]]:
    """Unit and span of all rows in the stretches, which the rollup's order has before the time."""
    return sorted(
        {
            (level.value, span)
            for level, several in stretches.items()
            for each in several
            for span in range(
                each.start // (level * _SPAN_MS), (each.end - 1) // (level * _SPAN_MS) + 1
            )
        }
    )


def _within(stretches: Sequence[Stretch], parameters: dict[str, object]) -> str:
    """The condition that an event lies in one of the stretches; numbers become parameters."""
    head, *others = stretches
    parameters |= {"head_start": head.start, "head_end": head.end}
    condition = _BETWEEN.format(which="head")
    if others:
        # The two ends of a range lie far apart: said so, the key skips what is between them.
        parameters |= {"tail_start": others[0].start, "tail_end": others[-1].end}
        condition += f" OR ({_BETWEEN.format(which='tail')}"
        if len(others) > 1:
            parameters |= _starts_and_ends(others, "raw_")
            condition += f" AND {_IN_STRETCHES.format(at=_AT_MS, of='raw_')}"
        condition += ")"
    return f"({condition})"


_BETWEEN: Final = (
    "occurred_at >= fromUnixTimestamp64Milli({{{which}_start:Int64}}, 'UTC')"
    " AND occurred_at < fromUnixTimestamp64Milli({{{which}_end:Int64}}, 'UTC')"
)
