"""A line's event_id: always the same, another one for each identical line."""

from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from deploy.access_log.event_ids import NAMESPACE, EventIds


def test_ids_are_what_they_were_in_every_release() -> None:
    # Another id for the same line would count every log that was already sent once more.
    ids = EventIds()
    assert ids.next_for(b"a line") == "93d86d50-74c5-5ff7-bccd-e20e3b43f5df"
    assert ids.next_for(b"a line") == "d6bc6791-52dc-5d88-aa05-2bdf6b7fa346"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_ids_are_uuids_of_version_5_over_line_and_ordinal(line: str) -> None:
    ids = EventIds()
    assert UUID(ids.next_for(line.encode())) == uuid5(NAMESPACE, line)
    assert UUID(ids.next_for(line.encode())) == uuid5(NAMESPACE, f"{line}\n1")
    assert UUID(ids.next_for(line.encode())) == uuid5(NAMESPACE, f"{line}\n2")


@given(st.lists(st.sampled_from([b"a", b"b", b"a\r", b"a 1"])))
def test_no_two_lines_of_a_log_share_an_id_and_a_second_run_repeats_them(log: list[bytes]) -> None:
    first, second = EventIds(), EventIds()
    ids = [first.next_for(line) for line in log]
    assert len(set(ids)) == len(log)
    assert [second.next_for(line) for line in log] == ids


def test_rotated_files_that_overlap_share_the_ids_of_what_they_share() -> None:
    log = [b"%d" % (n // 2) for n in range(100)]
    first, second = EventIds(), EventIds()
    ids = {first.next_for(line) for line in log[:60]} | {second.next_for(line) for line in log[40:]}
    assert len(ids) == len(log)


def test_the_line_unseen_for_longest_is_forgotten_first() -> None:
    ids = EventIds(remembered=2)
    first = ids.next_for(b"a")
    other = ids.next_for(b"b")
    assert ids.next_for(b"a") != first  # seen again: now b is the oldest
    ids.next_for(b"c")
    assert ids.next_for(b"b") == other
    assert len(ids._ordinals) == 2
