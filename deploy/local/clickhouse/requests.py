"""What a request asks for, from its URL, headers and body."""

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Final
from urllib.parse import parse_qsl

from starlette.datastructures import Headers

from deploy.local.clickhouse.compression import choose_encoding, decompressed
from deploy.local.clickhouse.errors import ClickHouseError, refusal
from deploy.local.clickhouse.forms import FormFile, is_form, parse_form
from deploy.local.clickhouse.statements import Kind, Statement, parse_statement

# Parameters of the protocol; every other one is a setting of the engine.
_PROTOCOL: Final = frozenset(
    {
        "query",
        "database",
        "default_format",
        "query_id",
        "session_id",
        "session_timeout",
        "session_check",
        "close_session",
        "user",
        "password",
        "quota_key",
        "role",
        "stacktrace",
        "wait_end_of_query",
        "buffer_size",
        "compress",
        "decompress",
        "client_protocol_version",
    }
)
_BOUND: Final = "param_"
_MAX_STATEMENT: Final = 64 * 1024 * 1024
_EXTERNAL: Final = re.compile(r"(?P<table>\w+)_(?P<part>format|types|structure)\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class ExternalTable:
    """A table sent along with a query; `structure` is its column list in SQL."""

    name: str
    structure: str
    format: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Target:
    """What the URL and the headers say, known before the body is read."""

    parameters: Mapping[str, str]
    headers: Headers
    readonly: bool
    query_id: str

    @property
    def encoding(self) -> str | None:
        """How the response is to be compressed."""
        if self.parameters.get("enable_http_compression", "0") in {"", "0", "false"}:
            return None
        return choose_encoding(self.headers.get("accept-encoding", ""))


@dataclass(frozen=True, slots=True)
class Question:
    """One statement to run. `data` are the pieces to insert, read once.

    `settings` are the engine's; `parameters` bind `{name:Type}` in the statement.
    """

    statement: Statement
    sql: str
    settings_clause: str
    format: str
    settings: Mapping[str, str]
    parameters: Mapping[str, str]
    data: Iterable[bytes] = ()
    external: tuple[ExternalTable, ...] = field(default=())

    def around_format(self) -> tuple[str, str] | None:
        """A query's text before FORMAT and from there on, None when it names no format."""
        start = self.statement.format_start
        if start is None:
            return None
        text = self.statement.sql
        return text[:start].decode("utf-8"), text[start:].decode("utf-8")


def parse_target(query_string: bytes, headers: Headers, *, readonly: bool) -> Target:
    """Read URL and headers. Raises ClickHouseError for what this server does not do."""
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="surrogateescape"
        )
    except (UnicodeDecodeError, ValueError) as exception:
        raise refusal(36, "BAD_ARGUMENTS", f"The URL's parameters are broken: {exception}.") from (
            exception
        )
    parameters = dict(pairs)
    for name in ("compress", "decompress"):
        if parameters.get(name, "0") not in {"", "0"}:
            raise refusal(
                48,
                "NOT_IMPLEMENTED",
                f"The embedded ClickHouse does not speak {name}=1 (ClickHouse's own block "
                "compression): use Content-Encoding, and Accept-Encoding with "
                "enable_http_compression=1.",
            )
    return Target(
        parameters,
        headers,
        readonly,
        parameters.get("query_id") or headers.get("x-clickhouse-query-id") or str(uuid.uuid4()),
    )


def parse_question(target: Target, body: Iterable[bytes]) -> Question:
    """Read the statement and find its data. Reads and decompresses the body: not for the loop.

    Raises ClickHouseError when there is no statement, or one that HTTP does not allow.
    """
    pieces = decompressed(body, target.headers.get("content-encoding", ""))
    parameters = dict(target.parameters)
    files: list[FormFile] = []
    content_type = target.headers.get("content-type", "")
    start = next(pieces, b"")
    if is_form(content_type, start):
        fields, files = parse_form(content_type, _whole(chain([start], pieces)))
        parameters.update(fields)
        pieces, start = iter(()), b""
    url_query = parameters.get("query", "").encode("utf-8", "surrogateescape")
    statement = parse_statement(url_query) if url_query.strip() else None
    data: Iterator[bytes]
    if statement is None or (statement.kind is not Kind.INSERT_DATA and start):
        # The statement is in the body, or begins in the URL and goes on in the body.
        head = url_query + b"\n" if url_query else b""
        statement = parse_statement(head + start)
        if statement.kind is not Kind.INSERT_DATA:
            statement = parse_statement(head + _whole(chain([start], pieces)))
        data = chain([statement.data], pieces)
    else:
        data = chain([statement.data, start], pieces)
    return _question(target, statement, parameters, files, data)


def _question(
    target: Target,
    statement: Statement,
    parameters: dict[str, str],
    files: list[FormFile],
    data: Iterator[bytes],
) -> Question:
    if statement.outfile:
        raise refusal(358, "INTO_OUTFILE_NOT_ALLOWED", "INTO OUTFILE is not allowed over HTTP.")
    if statement.infile:
        raise refusal(78, "UNKNOWN_TYPE_OF_QUERY", "FROM INFILE is not allowed over HTTP.")
    if statement.stops_process:
        # The engine would signal its whole process group, and so whoever started it.
        raise refusal(
            48,
            "NOT_IMPLEMENTED",
            "The embedded ClickHouse is not stopped by a statement: send its process SIGTERM.",
        )
    try:
        sql = statement.sql.decode("utf-8").strip()
        settings_clause = statement.settings.decode("utf-8").strip()
    except UnicodeDecodeError as exception:
        raise refusal(62, "SYNTAX_ERROR", f"The statement is not UTF-8: {exception}.") from None
    if not sql:
        raise refusal(62, "SYNTAX_ERROR", "Empty query: send it as query= or in the body.")
    default_format = (
        parameters.get("default_format") or target.headers.get("x-clickhouse-format") or ""
    )
    fallback = "Values" if statement.kind is Kind.INSERT_DATA else "TabSeparated"
    external, used = _external_tables(files, parameters)
    return Question(
        statement,
        sql,
        settings_clause,
        statement.format or default_format or fallback,
        _settings(target, {k: v for k, v in parameters.items() if k not in used}),
        {k.removeprefix(_BOUND): v for k, v in parameters.items() if k.startswith(_BOUND)},
        filter(None, data) if statement.kind is Kind.INSERT_DATA else (),
        external,
    )


def _settings(target: Target, parameters: Mapping[str, str]) -> dict[str, str]:
    settings = {
        name: value
        for name, value in parameters.items()
        if name not in _PROTOCOL and not name.startswith(_BOUND)
    }
    database = parameters.get("database") or target.headers.get("x-clickhouse-database")
    if database:
        settings["database"] = database
    # The last one, as it forbids others. As in ClickHouse, what comes by GET changes nothing:
    # a link that somebody follows must not drop a table.
    asked = settings.pop("readonly", "0")
    if asked != "0":
        settings["readonly"] = asked
    elif target.readonly:
        settings["readonly"] = "2"
    return settings


def _external_tables(
    files: list[FormFile], parameters: Mapping[str, str]
) -> tuple[tuple[ExternalTable, ...], set[str]]:
    """The tables in a form's files, and the names of the parameters that describe them."""
    if not files:
        return (), set()
    described: dict[str, dict[str, str]] = {}
    used = set()
    names = {file.name for file in files}
    for name, value in parameters.items():
        match = _EXTERNAL.match(name)
        if match and match["table"] in names:
            described.setdefault(match["table"], {})[match["part"]] = value
            used.add(name)
    return tuple(_external_table(file, described.get(file.name, {})) for file in files), used


def _external_table(file: FormFile, described: Mapping[str, str]) -> ExternalTable:
    if "structure" in described:
        structure = described["structure"]
    elif "types" in described:
        types = _split_types(described["types"])
        structure = ", ".join(f"_{number} {type_}" for number, type_ in enumerate(types, 1))
    else:
        raise refusal(
            36,
            "BAD_ARGUMENTS",
            f"The external table {file.name!r} needs {file.name}_structure or {file.name}_types.",
        )
    return ExternalTable(file.name, structure, described.get("format", "TabSeparated"), file.data)


def _split_types(types: str) -> list[str]:
    """Types at the commas that stand outside of brackets."""
    result, depth = [""], 0
    for character in types:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            result.append("")
        else:
            result[-1] += character
    return [type_.strip() for type_ in result]


def _whole(pieces: Iterable[bytes]) -> bytes:
    parts, size = [], 0
    for piece in pieces:
        size += len(piece)
        if size > _MAX_STATEMENT:
            raise _too_large()
        parts.append(piece)
    return b"".join(parts)


def _too_large() -> ClickHouseError:
    return refusal(
        229,
        "QUERY_IS_TOO_LARGE",
        f"A statement (or a form) may have {_MAX_STATEMENT} bytes; only the data of an INSERT "
        "may be larger.",
    )
