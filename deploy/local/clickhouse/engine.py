"""The engine: one ClickHouse in this process, a fresh connection for each request.

A connection to the embedded engine is a session: it carries settings, the current database and
temporary tables. Opening and closing one takes 0.15 ms, a tenth of a trivial query over HTTP, so
each request has its own and nothing can leak from one into the next. All calls block and release
the GIL: they belong in threads.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from deploy.local.clickhouse.data_files import descriptor_path, readable_file
from deploy.local.clickhouse.errors import ClickHouseError, from_engine, refusal

_PIECE: Final = 256 * 1024
_SESSION: Final = {
    "implicit_select": 0,
    "allow_introspection_functions": 0,
    # With less than a gigabyte free for each thread, of 2 in all, every query had one thread: some
    # took a third longer (measured at 20 million events).
    "max_threads_min_free_memory_per_thread": 0,
}
"""Settings of every session, which the engine gives to the session that names them only."""
_UNSUPPORTED_STREAM: Final = "Streaming query is not supported"


class _Result(Protocol):
    """What the extension module returns for a query or for a piece of one."""

    def bytes(self) -> bytes: ...
    def rows_read(self) -> int: ...
    def rows_written(self) -> int: ...
    def bytes_written(self) -> int: ...
    def storage_rows_read(self) -> int: ...
    def storage_bytes_read(self) -> int: ...
    def elapsed(self) -> float: ...


class _Session(Protocol):
    """A connection as the extension module has it.

    `chdb.Connection` wraps it, but loses what a format writes for an empty result.
    """

    def query(self, sql: str, output: str, *, params: Mapping[str, object]) -> _Result: ...
    def classify_query(self, sql: str) -> Mapping[str, object]: ...
    def send_query(self, sql: str, output: str, *, params: Mapping[str, object]) -> object: ...
    def streaming_fetch_result(self, stream: object) -> _Result: ...
    def streaming_cancel_query(self, stream: object) -> None: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class Progress:
    """What a query has read and written so far; `elapsed_ns` in nanoseconds."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0
    elapsed_ns: int = 0


class Engine:
    """ClickHouse on a folder, loaded until `close`. Raises ClickHouseError when it cannot be."""

    def __init__(self, folder: Path, *, max_memory: int) -> None:
        # Loading the engine takes 0.3 s and 200 MB: only who opens one pays for it.
        from chdb import _chdb

        self._connect: Callable[[str], _Session] = _chdb.connect  # type: ignore[attr-defined]  # a binary module
        self._path = str(folder)
        options = {
            "max_server_memory_usage": max_memory,
            "mark_cache_size": max_memory // 8,
            **_SESSION,
        }
        # The engine lives while a connection is open: this one is for that and for kills.
        self._anchor = self._open(options)
        row, _ = self._anchor.query("SELECT version(), timezone(), hostName()", "TabSeparated")
        self.version, self.timezone, self.host = row.decode().rstrip("\n").split("\t")

    def _open(self, options: Mapping[str, object]) -> "Connection":
        chosen = "&".join(f"{name}={value}" for name, value in options.items())
        try:
            session = self._connect(f"{self._path}?{chosen}")
        except RuntimeError as exception:
            raise from_engine(exception) from exception
        return Connection(session, Path(self._path))

    def connect(self) -> "Connection":
        """A new connection; the caller closes it."""
        return self._open(_SESSION)

    def kill(self, setting: str, value: str) -> None:
        """Cancel the queries that run with this value of a setting; they end a little later."""
        connection = self.connect()
        try:
            connection.query(
                f"KILL QUERY WHERE Settings[{_literal(setting)}] = {_literal(value)} ASYNC",
                "TabSeparated",
            )
        finally:
            connection.close()

    def close(self) -> None:
        """Give the folder back. All connections must be closed before."""
        self._anchor.close()


class Connection:
    """One session with the engine, for one thread at a time.

    Every method raises ClickHouseError with what the engine says.
    """

    def __init__(self, session: _Session, folder: Path) -> None:
        self._session = session
        self._folder = folder
        self._parameters: dict[str, object] = {}

    def configure(self, settings: Mapping[str, str]) -> None:
        """Set settings for all that follows."""
        if settings:
            pairs = (f"{_name(name)} = {_literal(value)}" for name, value in settings.items())
            self.query(f"SET {', '.join(pairs)}", "TabSeparated")

    def bind(self, parameters: Mapping[str, str]) -> None:
        """Bind `{name:Type}` in all that follows to values in ClickHouse's escaped text."""
        self._parameters = dict(parameters)

    def count_statements(self, sql: str) -> int:
        """How many statements the text holds, 0 when it cannot be parsed."""
        return int(str(self._session.classify_query(sql)["statement_count"]))

    def query(self, sql: str, output: str) -> tuple[bytes, Progress]:
        """Run any statement; its whole result in the format `output`, within the memory limit."""
        try:
            result = self._session.query(sql, output, params=self._parameters)
        except RuntimeError as exception:
            raise from_engine(exception) from exception
        data = result.bytes()
        return data, Progress(
            read_rows=result.storage_rows_read(),
            read_bytes=result.storage_bytes_read(),
            written_rows=result.rows_written(),
            written_bytes=result.bytes_written(),
            result_rows=result.rows_read(),
            result_bytes=len(data),
            elapsed_ns=int(result.elapsed() * 1e9),
        )

    def stream(self, sql: str, output: str) -> "Iterator[tuple[bytes, Progress]] | None":
        """Run a SELECT; its result block by block, each written as a result of its own.

        None when the engine cannot stream the statement. Closing the iterator cancels it.
        """
        try:
            stream = self._session.send_query(sql, output, params=self._parameters)
        except RuntimeError as exception:
            if _UNSUPPORTED_STREAM in str(exception):
                return None
            raise from_engine(exception) from exception
        return self._blocks(stream)

    def _blocks(self, stream: object) -> Iterator[tuple[bytes, Progress]]:
        ended = False
        try:
            while not ended:
                result = self._session.streaming_fetch_result(stream)
                ended = result.rows_read() == 0
                data = result.bytes()
                yield (
                    data,
                    Progress(
                        read_rows=result.storage_rows_read(),
                        read_bytes=result.storage_bytes_read(),
                        result_rows=result.rows_read(),
                        result_bytes=len(data),
                    ),
                )
        except RuntimeError as exception:
            ended = True
            raise from_engine(exception) from exception
        finally:
            if not ended:
                self._session.streaming_cancel_query(stream)

    def piped(self, sql: str, format_clause: str) -> Iterator[tuple[bytes, Progress]]:
        """Run a SELECT; its result as it is written, in pieces, none ahead of who takes them.

        Closing the iterator ends it.
        """
        source, target = os.pipe()
        failure: list[ClickHouseError] = []

        def run() -> None:
            into = f"INTO OUTFILE '{descriptor_path(target)}' TRUNCATE"
            try:
                self.query(f"{sql}\n{into}\n{format_clause}", "TabSeparated")
            except ClickHouseError as error:
                failure.append(error)
            finally:
                os.close(target)

        query = threading.Thread(target=run, name="piped query", daemon=True)
        query.start()
        try:
            with os.fdopen(source, "rb") as result:
                while data := result.read(_PIECE):
                    yield data, Progress(result_bytes=len(data))
        finally:
            # With nobody to read the engine's next write fails, and so does the query.
            query.join()
        if failure:
            raise failure[0]

    def insert(self, sql: str, settings: str, source: str, pieces: Iterable[bytes]) -> Progress:
        """Insert data written in the format `source`, after the last piece has been taken.

        `sql` is the statement up to the columns, `settings` its SETTINGS clause or "".
        """
        # Not by the extension's own `send_insert`: it answers success when the table refuses
        # the rows (a constraint, too many parts or partitions, an error in a view).
        with readable_file(pieces, self._folder) as path:
            _, progress = self.query(
                f"{sql}\nFROM INFILE '{path}' {settings}\nFORMAT {source}", "TabSeparated"
            )
        return progress

    def close(self) -> None:
        """End the session; what still runs in it is cancelled."""
        self._session.close()


def _name(name: str) -> str:
    if not (name.isascii() and name.replace(".", "_").isidentifier()):
        raise refusal(115, "UNKNOWN_SETTING", f"Unknown setting {name[:100]!r}.")
    return name


def _literal(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
