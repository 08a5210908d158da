"""Runs one request's statement and gives its answer piece by piece.

Everything here blocks: one worker thread at a time works on an answer.
"""

import threading
import time
from collections.abc import Iterator

from deploy.local.clickhouse.engine import Connection, Engine, Progress
from deploy.local.clickhouse.errors import refusal
from deploy.local.clickhouse.formats import PIPED, Joiner, joiner
from deploy.local.clickhouse.requests import ExternalTable, Question
from deploy.local.clickhouse.statements import Kind

# What is read ahead before the answer begins: up to here an error has its HTTP status, and the
# summary is complete.
_HEAD = 1024 * 1024


class Answer:
    """One statement's way through the engine: `begin`, then `pieces` until they end, `close`."""

    def __init__(self, engine: Engine, question: Question, query_id: str) -> None:
        self._engine = engine
        self._question = question
        self._connection: Connection | None = None
        self._blocks: Iterator[tuple[bytes, Progress]] | None = None
        self._joiner: Joiner | None = None
        self._cancelled = threading.Event()
        self._started = 0.0
        # The engine chooses the ids of queries itself: what is to be found again, to be
        # killed, carries ours in a setting that changes nothing.
        self._mark = "query_cache_tag" if "log_comment" in question.settings else "log_comment"
        self._query_id = query_id
        self.progress = Progress()
        self.complete = False
        self.reads_only = question.statement.kind is Kind.SELECT
        self.format: str | None = None

    def begin(self) -> bytes:
        """Run the statement; its result, or the beginning of a large one (`complete` tells)."""
        question = self._question
        self._started = time.monotonic()
        self._check()
        self._connection = connection = self._engine.connect()
        for table in question.external:
            _create(connection, table)
        connection.configure({self._mark: self._query_id, **question.settings})
        connection.bind(question.parameters)
        self._check()
        if question.statement.kind is Kind.INSERT_DATA:
            self.progress = connection.insert(
                question.sql, question.settings_clause, question.format, question.data
            )
            return self._end(b"")
        if connection.count_statements(question.sql) > 1:
            raise refusal(62, "SYNTAX_ERROR", "Multi-statements are not allowed: send them singly.")
        if question.statement.has_result:
            self.format = question.format
        if question.statement.kind is Kind.SELECT and question.statement.blockwise:
            self._joiner = joiner(question.format, question.settings)
            if self._joiner is not None:
                self._blocks = connection.stream(question.sql, question.format)
            elif question.format in PIPED and (around := question.around_format()):
                self._joiner = Joiner(None)
                self._blocks = connection.piped(*around)
        if self._blocks is None:
            data, self.progress = connection.query(question.sql, question.format)
            if data:
                self.format = question.format
            return self._end(data)
        parts, size = [], 0
        while size < _HEAD and (piece := self.next()) is not None:
            parts.append(piece)
            size += len(piece)
        return b"".join(parts)

    def next(self) -> bytes | None:
        """The next piece of a large result, None after the last."""
        if self._blocks is None or self._joiner is None or self.complete:
            return None
        self._check()
        block = next(self._blocks, None)
        if block is None:
            self._end(b"")
            return None
        data, progress = block
        self.progress.read_rows = max(self.progress.read_rows, progress.read_rows)
        self.progress.read_bytes = max(self.progress.read_bytes, progress.read_bytes)
        self.progress.result_rows += progress.result_rows
        joined = self._joiner.join(data)
        self.progress.result_bytes += len(joined)
        return joined

    def cancel(self) -> None:
        """From another thread: end what runs with code 394, soon. May be called again."""
        self._cancelled.set()
        self._engine.kill(self._mark, self._query_id)

    def close(self) -> None:
        """Give the connection back; a result that was not read to its end is cancelled."""
        connection, self._connection = self._connection, None
        blocks, self._blocks = self._blocks, None
        if blocks is not None:
            blocks.close()  # type: ignore[attr-defined]
        if connection is not None:
            connection.close()

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise refusal(394, "QUERY_WAS_CANCELLED", "The client left.")

    def _end(self, data: bytes) -> bytes:
        self.complete = True
        self.progress.elapsed_ns = int((time.monotonic() - self._started) * 1e9)
        return data


def _create(connection: Connection, table: ExternalTable) -> None:
    name = table.name.replace("\\", "\\\\").replace("`", "\\`")
    connection.query(f"CREATE TEMPORARY TABLE `{name}` ({table.structure})", "TabSeparated")
    if table.data:
        connection.insert(f"INSERT INTO `{name}`", "", table.format, (table.data,))
