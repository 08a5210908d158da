"""How the blocks of a result are joined."""

import pytest

from deploy.local.clickhouse.formats import content_type, joiner


@pytest.mark.parametrize(
    ("fmt", "header", "rows"),
    [
        ("TSV", b"", [b"1\n", b"2\n"]),
        ("TabSeparatedWithNames", b"a\tb\n", [b"1\t2\n", b"a\tb\n"]),
        ("CSVWithNames", b'"a ""\n,x","b"\n', [b"1,2\n", b"3,4\n"]),
        ("CSVWithNamesAndTypes", b'"a"\n"String"\n', [b'"x"\n', b'"y"\n']),
        ("JSONCompactEachRowWithNamesAndTypes", b'["a"]\n["UInt8"]\n', [b"[1]\n", b"[2]\n"]),
        ("RowBinaryWithNames", b"\x01\x01a", [b"\x01", b"\x02"]),
        ("RowBinaryWithNamesAndTypes", b"\x01\x81\x01" + b"a" * 129 + b"\x05UInt8", [b"1", b"2"]),
    ],
)
def test_the_header_is_kept_once(fmt: str, header: bytes, rows: list[bytes]) -> None:
    joined = joiner(fmt, {})
    assert joined is not None
    assert b"".join(joined.join(header + row) for row in rows) == header + b"".join(rows)


@pytest.mark.parametrize("fmt", ["JSON", "Parquet", "Values", "Pretty", "Arrow", "XML", "Nonsense"])
def test_formats_with_a_frame_around_the_rows_are_not_joined(fmt: str) -> None:
    assert joiner(fmt, {}) is None


def test_settings_that_add_what_is_no_row() -> None:
    assert joiner("TSV", {"extremes": "1"}) is None
    assert joiner("JSONEachRow", {"output_format_json_array_of_rows": "1"}) is None


def test_media_types() -> None:
    assert content_type("JSONCompact") == "application/json; charset=UTF-8"
    assert content_type("TSVWithNames") == "text/tab-separated-values; charset=UTF-8"
    assert content_type("") == "text/plain; charset=UTF-8"
