"""The table of accounts in real RocksDB: complete up to an offset, and never older than it was."""

from collections.abc import Iterator
from os import urandom
from pathlib import Path
from threading import Thread
from time import monotonic
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from faust.types import TP

from schemas.servers import KafkaSettings
from streams.group.app import GroupApp, Membership
from streams.group.folder import own_folder
from streams.group.lease import Lease
from streams.group.places import Place, Put, deletion_header
from streams.group.table import KeyedStore, KeyedTable
from streams.group.table_folder import forget_unusable, tables_of
from streams.quotas.forgetting import erasure
from streams.quotas.stored import account_key, remembered_key
from tests.streams.quotas.values import NOW_TOPIC, account_at, remembered_at

USER = account_key("somebody")
COMMAND = remembered_key(USER, uuid4())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KeyedStore]:
    membership = Membership(
        KafkaSettings(bootstrap_servers="127.0.0.1:1"),
        "group",
        "one",
        tables_of(tmp_path),
        session_timeout=6,
        revoke_timeout=12,
    )
    app = GroupApp(membership, Lease(6), ["commands"])
    failures: list[BaseException] = []
    table = KeyedTable(
        app,
        "accounts",
        changelog="changes",
        partitions=4,
        topic_id=NOW_TOPIC,
        on_ready=lambda *_: None,
        failed=failures.append,
    )
    app.finalize()
    app._create_directories()
    yield table.store
    for database in table.store._dbs.values():
        database.close()
    assert failures == []


def events(*puts: Put, begin: int = 0, headers: object = ()) -> list[Any]:
    """Changelog events of partition 0, as Faust hands them over."""
    return [
        SimpleNamespace(
            message=SimpleNamespace(
                partition=0, key=key, value=value, offset=begin + number, headers=headers
            )
        )
        for number, (key, value) in enumerate(puts)
    ]


def apply(store: KeyedStore, changes: list[Any]) -> None:
    store.apply_changelog_batch(changes, to_key=None, to_value=None)  # type: ignore[arg-type] # unused


def test_values_and_how_far_they_go_are_written_as_one(store: KeyedStore) -> None:
    store.write(2, [(USER, account_at(1)), (COMMAND, remembered_at(1))], 41)
    assert store.read(2, USER) == account_at(1)
    assert store.read(1, USER) is None
    assert store.persisted_offset(TP("changes", 2)) == 41
    store.write(2, [(COMMAND, None)], 42)
    assert store.read(2, COMMAND) is None
    assert store.persisted_offset(TP("changes", 2)) == 42


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two batches"])
def test_an_old_value_that_comes_late_is_passed_over_and_the_newer_one_is_to_be_repeated(
    store: KeyedStore, together: object
) -> None:
    changes = events((USER, account_at(1)), (USER, account_at(8)), (USER, account_at(5)))
    if together:
        apply(store, changes)
    else:
        apply(store, changes[:2])
        apply(store, changes[2:])
    assert store.read(0, USER) == account_at(8)
    assert store.persisted_offset(TP("changes", 0)) == 2
    assert store.take_stale(0) == [(USER, account_at(8))]
    assert store.take_stale(0) == []


def test_what_was_repeated_need_not_be_again(store: KeyedStore) -> None:
    apply(store, events((USER, account_at(8)), (USER, account_at(5)), (USER, account_at(8))))
    assert store.take_stale(0) == []


def test_a_deletion_that_comes_late_deletes_nothing_newer(store: KeyedStore) -> None:
    apply(store, events((COMMAND, remembered_at(5))))
    late = events((COMMAND, None), begin=1, headers=[deletion_header(remembered_at(4))])
    apply(store, late)
    assert store.read(0, COMMAND) == remembered_at(5)
    assert store.take_stale(0) == [(COMMAND, remembered_at(5))]
    apply(store, events((COMMAND, None), begin=2, headers=[deletion_header(remembered_at(5))]))
    assert store.read(0, COMMAND) is None
    assert store.take_stale(0) == []


def test_a_scan_goes_on_where_it_was_and_leaves_out_what_is_the_tables_own(
    store: KeyedStore,
) -> None:
    keys = [b"a", b"b", b"z"]
    store.write(0, [(key, account_at(1)) for key in keys], 5)
    first = store.scan(0, b"", 2)
    rest = store.scan(0, first[-1][0], 5)
    assert [key for key, _ in [*first, *rest]] == keys


@pytest.mark.parametrize(("end", "kept"), [(42, True), (41, False), (0, False)])
def test_a_copy_that_knows_more_than_its_changelog_is_deleted(
    store: KeyedStore, tmp_path: Path, end: int, kept: object
) -> None:
    store.write(3, [(USER, account_at(1))], 41)
    store._dbs.pop(3).close()
    forget_unusable(tmp_path, {0: 0, 1: 0, 2: 0, 3: end})
    assert tables_of(tmp_path).exists() is kept


def test_a_damaged_copy_is_deleted(store: KeyedStore, tmp_path: Path) -> None:
    store.write(3, [(USER, account_at(1))], 1)
    store._dbs.pop(3).close()
    for file in tmp_path.rglob("CURRENT"):
        file.write_bytes(b"nonsense")
    forget_unusable(tmp_path, {3: 100})
    assert not tables_of(tmp_path).exists()


def test_a_folder_can_be_had_again_once_it_is_free(tmp_path: Path) -> None:
    for _ in range(2):
        with own_folder(tmp_path / "new" / "folder", worker="quotas", setting="WEIR_QUOTAS_DIR"):
            pass


def on_disk(folder: Path) -> bytes:
    """What lies in RocksDB's tables; its log of writes goes by itself."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*.sst")))


def test_compacting_takes_off_the_disk_what_is_among_the_keys_and_nothing_else(
    store: KeyedStore, tmp_path: Path
) -> None:
    user, last = account_key("1"), b"\xff" * 16
    gone = [user, user + b"\x00" + bytes(16), user + b"\x00" + last]
    others = [account_key("10"), account_key("1\N{LATIN SMALL LETTER A WITH MACRON}")]
    values = {key: b"of-" + key.hex().encode() + b"." for key in (*gone, *others)}
    store.write(0, list(values.items()), 1)
    store.write(0, [(key, None) for key in gone + others[:1]], 2)
    keys = erasure(user, Place(NOW_TOPIC, 2)).keys
    store.compact(0, [keys])
    left = on_disk(tmp_path)
    assert not any(values[key] in left for key in gone)
    assert keys[0] == user
    assert all(user <= key <= keys[1] for key in gone)
    assert not any(user <= key <= keys[1] for key in others)
    assert store.read(0, others[1]) is not None


def test_a_table_is_closed_while_it_is_compacted_and_loses_nothing(
    store: KeyedStore, tmp_path: Path
) -> None:
    for number in range(40):
        entries = [(urandom(16), urandom(400)) for _ in range(2_000)]
        store.write(0, [*entries, (b"last", b"%d" % number)], number)
    compacting = Thread(target=store.compact, args=(0, [(b"", b"\xff" * 17)] * 50))
    compacting.start()
    while not store._compacts[0].locked() and compacting.is_alive():
        pass
    began = monotonic()
    store._close(0)
    assert monotonic() - began < 2
    compacting.join(5)
    assert not compacting.is_alive()
    assert store.read(0, b"last") == b"39"
    assert store.persisted_offset(TP("changes", 0)) == 39
    # Nothing to compact: it is not open.
    store.compact(1, [(b"", b"\xff")])
    assert list(tmp_path.rglob("*-1.db")) == []
