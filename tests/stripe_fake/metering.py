"""Meter events as Stripe counts them: once per identifier within a day, summed by meter."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Final

from tests.stripe_fake.answers import DAY, Json, Refused

OLDEST: Final = 35 * DAY
AHEAD: Final = 300
WINDOWS: Final = {"hour": 3600, "day": DAY}


@dataclass(slots=True)
class MeterEvent:
    """`timestamp` is in Unix seconds, `received` too."""

    customer: str
    event_name: str
    timestamp: int
    value: int
    identifier: str
    received: float


class Metering:
    """Events in the order received, by customer and event name, and their sums."""

    def __init__(self) -> None:
        self.events: defaultdict[tuple[str, str], list[MeterEvent]] = defaultdict(list)
        self.sums: Counter[tuple[str, str]] = Counter()
        self.counted = 0
        self.identifiers: dict[str, float] = {}
        self._latest: dict[str, MeterEvent] = {}

    def report(self, event: MeterEvent) -> None:
        """Counts an event; raises Refused as Stripe does for a bad time or a known identifier."""
        now = event.received
        if now - event.timestamp > OLDEST:
            raise Refused(
                "The timestamp must be within the past 35 calendar days.",
                code="timestamp_too_far_in_past",
                param="timestamp",
            )
        if event.timestamp - now > AHEAD:
            raise Refused(
                "The timestamp must be no more than 5 minutes in the future.",
                code="timestamp_in_future",
                param="timestamp",
            )
        seen = self.identifiers.get(event.identifier)
        if seen is not None and now - seen < DAY:
            # Stripe gives no code with this error: langfuse/langfuse pull request 16292.
            raise Refused(f"An event already exists with identifier {event.identifier}.")
        self.identifiers[event.identifier] = now
        self.add(event)

    def add(self, event: MeterEvent) -> None:
        pair = (event.customer, event.event_name)
        self.events[pair].append(event)
        self.sums[pair] += event.value
        self.counted += 1
        self._latest[event.identifier] = event

    def remove(self, identifier: str) -> MeterEvent | None:
        """Takes the latest event with this identifier out; None when none is counted."""
        event = self._latest.pop(identifier, None)
        if event is not None:
            pair = (event.customer, event.event_name)
            self.events[pair].remove(event)
            self.sums[pair] -= event.value
            self.counted -= 1
        return event

    def cancel(self, event_name: str, identifier: str, now: float) -> None:
        event = self._latest.get(identifier)
        if event is None or event.event_name != event_name:
            raise Refused(
                f"No meter event found with identifier {identifier}.",
                code="resource_missing",
                param="cancel[identifier]",
            )
        if now - event.received >= DAY:
            raise Refused(
                "Meter events can only be cancelled within 24 hours of being received.",
                param="cancel[identifier]",
            )
        self.remove(identifier)

    def totals(self) -> dict[str, dict[str, int]]:
        totals: dict[str, dict[str, int]] = {}
        for (customer, event_name), value in self.sums.items():
            totals.setdefault(customer, {})[event_name] = value
        return totals

    def summaries(self, meter: Json, params: Json, *, empty_windows: bool) -> list[Json]:
        """Sums of a customer's events by window, newest first.

        Raises Refused when the bounds are not on minutes, hours or UTC days.
        """
        start, end = params["start_time"], params["end_time"]
        grouping = params.get("value_grouping_window")
        step = WINDOWS.get(grouping, 60)
        for name in ("start_time", "end_time"):
            if params[name] % step:
                raise Refused(f"{name} must be aligned with {grouping or 'minute'} boundaries.")
        if end <= start:
            raise Refused("end_time must be after start_time.", param="end_time")
        length = step if grouping else end - start
        windows: dict[int, list[int]] = defaultdict(list)
        if empty_windows or not grouping:
            windows |= {at: [] for at in range(start, end, length)}
        for event in self.events.get((params["customer"], meter["event_name"]), ()):
            if start <= event.timestamp < end:
                at = start + (event.timestamp - start) // length * length
                windows.setdefault(at, []).append(event.value)
        formula = meter["default_aggregation"]["formula"]
        return [
            {
                "id": f"mtrusg_test_{meter['id']}_{params['customer']}_{at}_{length}",
                "object": "billing.meter_event_summary",
                "aggregated_value": _aggregated(formula, windows[at]),
                "start_time": at,
                "end_time": at + length,
                "livemode": False,
                "meter": meter["id"],
            }
            for at in sorted(windows, reverse=True)
        ]


def _aggregated(formula: str, values: list[int]) -> int:
    if formula == "count":
        return len(values)
    if formula == "last":
        return values[-1] if values else 0
    return sum(values)
