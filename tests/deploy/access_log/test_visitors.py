"""Visitors are told apart by day, and only with the key."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.access_log.visitors import UnusableVisitorKey, VisitorIds, load_or_create_key

VISITOR = ("2015-05-17", "192.0.2.7", "Mozilla/5.0")


def test_a_visitor_keeps_an_id_for_a_day() -> None:
    ids = VisitorIds(b"k" * 32)
    day, address, agent = VISITOR
    assert ids.of(*VISITOR) == VisitorIds(b"k" * 32).of(*VISITOR)
    assert len(ids.of(*VISITOR)) == 32
    others = {
        ids.of("2015-05-18", address, agent),
        ids.of(day, "192.0.2.8", agent),
        ids.of(day, address, "curl"),
        VisitorIds(b"l" * 32).of(*VISITOR),
    }
    assert len(others | {ids.of(*VISITOR)}) == 5


def test_the_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / "new" / "visitor-key"
    before = os.umask(0)
    try:
        key = load_or_create_key(file)
    finally:
        os.umask(before)
    assert len(key) == 32
    assert load_or_create_key(file) == key
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_commands_that_start_together_use_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(load_or_create_key, [tmp_path / "visitor-key"] * 32))
    assert len(keys) == 1


@pytest.mark.parametrize("text", [b"", b"secret", b"ab" * 31, b"ab" * 33, b"\xff" * 64])
def test_a_file_that_holds_no_key_is_not_overwritten(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "visitor-key"
    file.write_bytes(text)
    with pytest.raises(UnusableVisitorKey, match="is not a visitor key"):
        load_or_create_key(file)
    assert file.read_bytes() == text
