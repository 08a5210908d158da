"""A range is cut into whole hours and the parts that stick out, nothing twice, nothing lost."""

from hypothesis import given
from hypothesis import strategies as st

from api.analytics.summary import HOUR_MS, hours_and_ends

moments = st.integers(0, 4 * HOUR_MS)


@given(moments, moments, moments)
def test_each_moment_of_the_range_is_counted_once(start: int, end: int, moment: int) -> None:
    parts = hours_and_ends(start, end)
    hour = moment // HOUR_MS * HOUR_MS // 1000
    in_hours = parts["first_hour"] <= hour < parts["last_hour"]
    in_ends = bool(parts["has_ends"]) and (
        parts["start"] <= moment < parts["head_end"] or parts["tail_start"] <= moment < parts["end"]
    )
    assert not (in_hours and in_ends)
    assert (in_hours or in_ends) == (start <= moment < end)


def test_whole_hours_need_no_raw_events() -> None:
    assert not hours_and_ends(HOUR_MS, 5 * HOUR_MS)["has_ends"]
