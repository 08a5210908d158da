"""A worker's local copy of its table: whose it is, and whether it is of this Kafka."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog
from rocksdict import AccessType, Options, Rdict

log = structlog.get_logger()

OFFSET_KEY: Final = b"__faust\x00offset__"
"""Faust's, under which a database holds how far it has read its changelog."""

_CHANGELOG: Final = "changelog"


def tables_of(folder: Path) -> Path:
    """Where the databases lie in a worker's folder."""
    return folder / "tables"


def forget_other_changelog(folder: Path, topic_id: UUID) -> None:
    """Deletes a copy of another changelog than the one with this id; it is read anew."""
    note = folder / _CHANGELOG
    noted = note.read_text().strip() if note.exists() else ""
    if noted != str(topic_id):
        forget(folder, "it is a copy of another changelog")
        note.write_text(f"{topic_id}\n")


def forget_unusable(folder: Path, ends: Mapping[int, int]) -> None:
    """Deletes a copy that is damaged, or that knows more than its changelog.

    `ends`: of the changelog, by partition: the offset that its next message gets. A changelog
    that holds less than was read of it has lost its last messages.
    """
    for path in sorted(tables_of(folder).glob("**/*-*.db")):
        partition = int(path.stem.rpartition("-")[2])
        try:
            offset = _offset_in(path)
        except Exception as error:  # noqa: BLE001, rocksdict raises no narrower one
            forget(folder, f"it cannot be read: {error}")
            return
        if offset is not None and offset >= ends.get(partition, 0):
            forget(folder, "the changelog has lost messages that are in it")
            return


def _offset_in(path: Path) -> int | None:
    """Up to which offset of the changelog a database is complete."""
    database = Rdict(str(path), options=Options(raw_mode=True), access_type=AccessType.read_only())
    try:
        offset: bytes | None = database.get(OFFSET_KEY)
    finally:
        database.close()
    return None if offset is None else int(offset)


def forget(folder: Path, why: str) -> None:
    """Deletes the copy, which is read anew from the changelog."""
    tables = tables_of(folder)
    if tables.exists():
        log.warning("local copy of the table deleted", folder=str(tables), reason=why)
        shutil.rmtree(tables)
