"""Mends the tables' deduplication logs after a kill, before the engine reads them.

A MergeTree table with a `non_replicated_deduplication_window` keeps the ids of the blocks that it
was given in `deduplication_logs/deduplication_log_N.txt`, one record a line: operation (1 added,
2 dropped), part, block id. An insert writes the record of each part first and then renames the
part into its place. A SIGKILL between these two system calls, some 20 microseconds apart, leaves
an id without its part: the repeat of the batch is then dropped as known, and the rows are lost for
ever. About 1 of 100 kills in mid-insert did that; of kills aimed at the moment, two of three. A
dropped record for the id lets the repeat in.

The engine reads a log up to the first line that it cannot read, forgets all that follows in the
file, and appends to a last line that was cut off. After the next start it then knows none of the
ids from there on, and stores their repeats twice. So the rest of a line is cut off here.

A part came to be if it is in the table's folder or inside one that is: merges and mutations keep
its partition and its block numbers. The engine cannot merge across a part that is under way, as
the insert holds the lock of the parts from its block number until it is there. When parts leave
by TTL, DROP, DETACH, MOVE or TRUNCATE the engine drops their ids itself. REPLACE PARTITION does
not: ids of rows that it replaced are taken back here too, as those of dropped ones are.

A file of any other name beside the logs ends the engine at its start, so nothing is put there.
"""

import os
import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

_LOGS: Final = "deduplication_logs"
_LOG_NAME: Final = re.compile(r"deduplication_log_([1-9]\d*)\.txt")
# Partition id (never with an underscore), first and last block, level, mutation.
_PART_NAME: Final = re.compile(r"([^_]+)_(\d+)_(\d+)_\d+(?:_\d+)?", re.ASCII)
_UUID: Final = re.compile(r"\bUUID '([0-9a-f-]{36})'")
_WINDOW: Final = re.compile(r"\bnon_replicated_deduplication_window = (\d+)")
_ADDED: Final = "1"
_DROPPED: Final = "2"
_log: Final = structlog.get_logger()


class _NotUnderstoodError(Exception):
    """The table's files are not as this module knows them; the message says where."""


@dataclass(frozen=True, slots=True)
class _Table:
    """`path` is the folder of its parts; `window` in block ids, None if it is not set for it."""

    name: str
    path: Path
    window: int | None


@dataclass(frozen=True, slots=True)
class _LogFile:
    path: Path
    records: list[tuple[str, str, str]]
    # Bytes up to the last line end, and those of a line cut off behind it.
    whole: int
    rest: int


def mend_deduplication_logs(folder: Path) -> int:
    """Take back the block ids whose parts a kill prevented; returns how many.

    `folder` is the engine's; it must not be open. A table whose files are not understood is left
    as it is, with a warning. Raises OSError when the files cannot be read or written.
    """
    taken_back = 0
    for table in _read_tables(folder):
        try:
            taken_back += _mend_table(table)
        except _NotUnderstoodError as error:
            _log.warning(
                "deduplication log left alone: after a kill, a repeated insert into the table "
                "may be lost or stored twice",
                table=table.name,
                reason=str(error),
            )
    return taken_back


def _read_tables(folder: Path) -> Iterator[_Table]:
    """The tables that have deduplication logs, by their definitions.

    Dropped tables have no definition there, and the engine may have removed half of their files.
    """
    for definition in sorted(folder.glob("metadata/*/*.sql")):
        text = definition.read_text("utf-8", "replace")
        uuid = _UUID.search(text)
        if uuid is None:
            continue
        path = folder / "store" / uuid.group(1)[:3] / uuid.group(1)
        if (path / _LOGS).is_dir():
            window = _WINDOW.search(text, uuid.end())
            yield _Table(
                f"{definition.parent.name}.{definition.stem}",
                path,
                int(window.group(1)) if window else None,
            )


def _mend_table(table: _Table) -> int:
    version = table.path / "format_version.txt"
    # Tables of the oldest syntax name their parts by days.
    if not version.is_file() or version.read_bytes().strip() != b"1":
        raise _NotUnderstoodError("its format_version.txt does not say 1")
    logs = [_read_log(path) for path in _log_paths(table.path / _LOGS)]
    known = _known_ids(logs, table.window)
    with os.scandir(table.path) as entries:
        parts = _Parts(entry.name for entry in entries if entry.is_dir())
    missing = [(part, block) for block, part in known.items() if part not in parts]
    for log in logs:
        if log.rest:
            _cut(log)
            _log.info(
                "cut-off line of a deduplication log removed",
                table=table.name,
                file=log.path.name,
                bytes=log.rest,
            )
    if missing:
        _append(logs[-1].path, "".join(f"{_DROPPED}\t{part}\t{block}\n" for part, block in missing))
        _log.info(
            "block ids taken back whose parts a kill prevented",
            table=table.name,
            count=len(missing),
            parts=[part for part, _ in missing[:10]],
        )
    return len(missing)


def _log_paths(folder: Path) -> list[Path]:
    """The table's logs, oldest first."""
    numbered = []
    for path in folder.iterdir():
        match = _LOG_NAME.fullmatch(path.name)
        if match is None:
            raise _NotUnderstoodError(f"unknown file {path.name} in {_LOGS}")
        numbered.append((int(match.group(1)), path))
    return [path for _, path in sorted(numbered)]


def _read_log(path: Path) -> _LogFile:
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    try:
        lines = data[:whole].decode("ascii").split("\n")[:-1]
    except UnicodeDecodeError as error:
        raise _NotUnderstoodError(f"{path.name} is not ASCII at byte {error.start}") from error
    records = []
    for number, line in enumerate(lines, 1):
        fields = line.split("\t")
        if len(fields) != 3 or not (fields[1] and fields[2]):
            raise _NotUnderstoodError(f"{path.name}, line {number}: not three fields")
        operation, part, block = fields
        # The part of a dropped record is not read by the engine either: any text may stand there.
        if not (operation == _DROPPED or (operation == _ADDED and _PART_NAME.fullmatch(part))):
            raise _NotUnderstoodError(f"{path.name}, line {number}: unknown operation or part")
        records.append((operation, part, block))
    return _LogFile(path, records, whole, len(data) - whole)


def _known_ids(logs: Iterable[_LogFile], window: int | None) -> Mapping[str, str]:
    """The part of each block id that the engine will know when it has read the logs.

    Ids that have left the window are not among them: when their parts go, nobody drops them, and
    records about them would only push others out.
    """
    known: OrderedDict[str, str] = OrderedDict()
    for log in logs:
        for operation, part, block in log.records:
            if operation == _DROPPED:
                known.pop(block, None)
            elif block not in known:
                known[block] = part
                if window is not None and len(known) > window:
                    known.popitem(last=False)
    return known


@dataclass(frozen=True, slots=True)
class _Ranges:
    """Block numbers of a partition's parts: firsts in order, the highest last up to each."""

    firsts: list[int] = field(default_factory=list)
    lasts: list[int] = field(default_factory=list)


class _Parts:
    """The committed parts in a table's folder; `in` also finds what they were merged from.

    Names of other folders (tmp_…, delete_tmp_…, detached, …) are passed over.
    """

    def __init__(self, names: Iterable[str]) -> None:
        matches = [match for name in names if (match := _PART_NAME.fullmatch(name))]
        self._names = {match.group() for match in matches}
        self._ranges: dict[str, _Ranges] = {}
        for first, last, partition in sorted(
            (int(match.group(2)), int(match.group(3)), match.group(1)) for match in matches
        ):
            ranges = self._ranges.setdefault(partition, _Ranges())
            ranges.firsts.append(first)
            ranges.lasts.append(max(last, ranges.lasts[-1]) if ranges.lasts else last)

    def __contains__(self, name: str) -> bool:
        if name in self._names:
            return True
        match = _PART_NAME.fullmatch(name)
        ranges = self._ranges.get(match.group(1)) if match else None
        if match is None or ranges is None:
            return False
        # Of the parts that begin no later, one must end no earlier.
        place = bisect_right(ranges.firsts, int(match.group(2)))
        return place > 0 and ranges.lasts[place - 1] >= int(match.group(3))


def _cut(log: _LogFile) -> None:
    with log.path.open("r+b") as file:
        file.truncate(log.whole)
        os.fsync(file.fileno())


def _append(path: Path, lines: str) -> None:
    with path.open("ab") as file:
        file.write(lines.encode("ascii"))
        file.flush()
        os.fsync(file.fileno())
