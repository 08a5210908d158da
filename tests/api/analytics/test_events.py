"""Cursors are ours or refused; ranges are right way round."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from api.analytics.ranges import Range, epoch_ms
from api.cursors import Cursor, parse_cursor
from api.problems import Problem


@given(
    st.builds(
        Cursor,
        st.integers(0, 4 * 10**12),
        st.text(max_size=20),
        st.integers(0, 2**16 - 1),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**63 - 1),
    )
)
def test_a_cursor_survives_its_text(cursor: Cursor) -> None:
    assert parse_cursor(cursor.text()) == cursor


@given(st.text(max_size=60))
def test_any_other_text_is_refused_by_name(text: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_cursor(text)
    assert caught.value.status == 422
    assert caught.value.errors[0].field == "cursor"


@pytest.mark.parametrize(
    "text", ["", "!", "W10", "eyJhIjoxfQ", "W3RydWUsImEiLDAsMCwwXQ", "WzEsMl0", "' OR 1=1 --"]
)
def test_foreign_cursors_are_refused(text: str) -> None:
    with pytest.raises(Problem):
        parse_cursor(text)


def test_from_after_to_is_refused() -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    with pytest.raises(ValidationError, match="is before `from`"):
        Range.model_validate({"from": now, "to": now - timedelta(seconds=1)})


def test_times_are_rounded_up_to_the_millisecond() -> None:
    second = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert epoch_ms(second, second) == 1000
    assert epoch_ms(second + timedelta(microseconds=1), second) == 1001
    assert epoch_ms(None, second) == 1000
