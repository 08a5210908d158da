"""What must be known of formats: their media types, and how blocks of a result are joined.

The engine streams a result as blocks, each written as if it were a result of its own. Only of
some formats can these be put one after the other; results in the others are taken in whole.
"""

from collections.abc import Callable, Mapping
from typing import Final

_TEXT: Final = "text/plain; charset=UTF-8"
_TSV: Final = "text/tab-separated-values; charset=UTF-8"
_JSON: Final = "application/json; charset=UTF-8"
_NDJSON: Final = "application/x-ndjson; charset=UTF-8"
_BINARY: Final = "application/octet-stream"

_JSON_ROWS: Final = (
    "JSONEachRow",
    "JSONStringsEachRow",
    "JSONCompactEachRow",
    "JSONCompactStringsEachRow",
    "JSONLines",
    "NDJSON",
)
# Blocks follow each other as they are.
_PLAIN: Final = frozenset(
    (
        *_JSON_ROWS,
        *("TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw", "Raw", "TSKV", "CSV"),
        *("RowBinary", "Native", "MsgPack", "LineAsString"),
    )
)
# Written from the beginning to the end, but not by blocks that could be joined.
PIPED: Final = frozenset(("Parquet", "ORC", "Arrow", "ArrowStream", "Avro"))


def content_type(format_: str) -> str:
    """The media type that ClickHouse gives a result in this format."""
    if format_ in {"JSONEachRow", "JSONLines", "NDJSON"} or format_.endswith("EachRow"):
        return _NDJSON
    if "JSON" in format_:
        return _NDJSON if "EachRow" in format_ else _JSON
    if format_.startswith(("TabSeparated", "TSV")) or format_ == "Raw":
        return _TSV
    if format_.startswith("CSV"):
        header = "present" if "WithNames" in format_ else "absent"
        return f"text/csv; charset=UTF-8; header={header}"
    if format_.startswith(("RowBinary", "Native", "Arrow", "Parquet", "ORC", "Avro", "MsgPack")):
        return _BINARY
    if format_ == "XML":
        return "application/xml; charset=UTF-8"
    return _TEXT


class Joiner:
    """Joins the blocks of one result: the header that every block repeats is kept once."""

    def __init__(self, header_length: Callable[[bytes], int] | None) -> None:
        self._header_length = header_length
        self._header: bytes | None = None

    def join(self, block: bytes) -> bytes:
        """What of this block follows the blocks before."""
        if self._header_length is None or not block:
            return block
        if self._header is None:
            self._header = block[: self._header_length(block)]
            return block
        return block.removeprefix(self._header)


def joiner(format_: str, settings: Mapping[str, str]) -> Joiner | None:
    """How the blocks of a result are joined, None when they cannot be."""
    if settings.get("extremes", "0") != "0":
        return None
    if format_ in _JSON_ROWS and settings.get("output_format_json_array_of_rows", "0") != "0":
        return None
    if format_ in _PLAIN:
        return Joiner(None)
    header_length = _HEADERS.get(format_)
    return Joiner(header_length) if header_length else None


def _lines(count: int) -> Callable[[bytes], int]:
    def length(block: bytes) -> int:
        end = 0
        for _ in range(count):
            end = block.index(b"\n", end) + 1
        return end

    return length


def _csv_lines(count: int) -> Callable[[bytes], int]:
    """Names in quotes may hold line ends; a doubled quote inside them changes nothing."""

    def length(block: bytes) -> int:
        end, lines, quoted = 0, 0, False
        while lines < count:
            character = block[end]
            quoted ^= character == ord('"')
            lines += character == ord("\n") and not quoted
            end += 1
        return end

    return length


def _binary_strings(per_column: int) -> Callable[[bytes], int]:
    """The number of columns, then for each of them its strings, all lengths as LEB128."""

    def length(block: bytes) -> int:
        columns, end = _leb128(block, 0)
        for _ in range(columns * per_column):
            size, end = _leb128(block, end)
            end += size
        return end

    return length


def _leb128(data: bytes, start: int) -> tuple[int, int]:
    value, shift, position = 0, 0, start
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7


_HEADERS: Final[dict[str, Callable[[bytes], int]]] = {
    **{
        f"{name}With{header}": _lines(count)
        for name in ("TabSeparated", "TSV", "JSONCompactEachRow", "JSONCompactStringsEachRow")
        for header, count in (("Names", 1), ("NamesAndTypes", 2))
    },
    "CSVWithNames": _csv_lines(1),
    "CSVWithNamesAndTypes": _csv_lines(2),
    "RowBinaryWithNames": _binary_strings(1),
    "RowBinaryWithNamesAndTypes": _binary_strings(2),
}
