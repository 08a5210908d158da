"""What is read from a statement's text before the engine sees it."""

import pytest

from deploy.local.clickhouse.statements import Kind, parse_statement


@pytest.mark.parametrize(
    ("text", "sql", "fmt", "data"),
    [
        ("INSERT INTO t FORMAT CSV\n1,2", "INSERT INTO t ", "CSV", "1,2"),
        ("INSERT INTO t(a) FORMAT CSV 1,2\n3,4", "INSERT INTO t(a) ", "CSV", "1,2\n3,4"),
        ("insert into t format TSV\r\n\t1", "insert into t ", "TSV", "\t1"),
        ("INSERT INTO t FORMAT RowBinary\n\n\x01", "INSERT INTO t ", "RowBinary", "\n\x01"),
        ("INSERT INTO t VALUES (1)", "INSERT INTO t ", "Values", "(1)"),
        ('INSERT INTO t (`FORMAT X`, "values") VALUES (1)', None, "Values", "(1)"),
        ("/* FORMAT A */ INSERT -- VALUES\n INTO t FORMAT B\n1", None, "B", "1"),
        ("INSERT INTO FUNCTION f('FORMAT X', 'it''s', 'a\\'') FORMAT B\n1", None, "B", "1"),
        ("INSERT INTO t", "INSERT INTO t", None, ""),
        ("INSERT INTO t FORMAT CSV", "INSERT INTO t ", "CSV", ""),
    ],
)
def test_inserts_are_split_from_their_data(
    text: str, sql: str | None, fmt: str | None, data: str
) -> None:
    statement = parse_statement(text.encode())
    assert statement.kind is Kind.INSERT_DATA
    assert (statement.format, statement.data) == (fmt, data.encode())
    if sql is not None:
        assert statement.sql == sql.encode()


def test_settings_of_an_insert_are_kept_apart() -> None:
    statement = parse_statement(b"INSERT INTO t (a) SETTINGS x = 'FORMAT', y = 2 FORMAT CSV\n1")
    assert (statement.sql, statement.settings) == (
        b"INSERT INTO t (a) ",
        b"SETTINGS x = 'FORMAT', y = 2 ",
    )
    assert parse_statement(b"INSERT INTO settings VALUES (1)").sql == b"INSERT INTO settings "


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("INSERT INTO t SELECT 1", Kind.OTHER),
        ("INSERT INTO t WITH 1 AS x SELECT x", Kind.OTHER),
        ("INSERT INTO t (SELECT 1) ", Kind.INSERT_DATA),
        ("SELECT 1", Kind.SELECT),
        ("  -- why\n(SELECT 1) UNION ALL SELECT 2", Kind.SELECT),
        ("WITH 1 AS x SELECT x", Kind.SELECT),
        ("FROM t SELECT a", Kind.SELECT),
        ("CREATE TABLE t AS SELECT 1", Kind.OTHER),
        ("SHOW TABLES", Kind.OTHER),
        ("", Kind.OTHER),
        ("'", Kind.OTHER),
    ],
)
def test_kinds(text: str, kind: Kind) -> None:
    assert parse_statement(text.encode()).kind is kind


@pytest.mark.parametrize(
    ("text", "fmt"),
    [
        ("SELECT 1 FORMAT JSON", "JSON"),
        ("SELECT 1 FORMAT JSON SETTINGS max_threads = 1", "JSON"),
        ("SELECT 1 format TSV -- FORMAT CSV", "TSV"),
        ("SELECT 'FORMAT JSON'", None),
        ("SELECT $x$ FORMAT JSON $x$", None),
        ("SELECT * FROM (SELECT 1 FORMAT JSON)", None),
    ],
)
def test_format_of_a_result(text: str, fmt: str | None) -> None:
    assert parse_statement(text.encode()).format == fmt


def test_what_is_no_result_of_plain_rows() -> None:
    assert parse_statement(b"SELECT 1 GROUP BY 1 WITH TOTALS").blockwise is False
    assert parse_statement(b"SELECT 1 SETTINGS extremes = 1").blockwise is False
    assert parse_statement(b"SELECT 'TOTALS'").blockwise is True
    assert parse_statement(b"SHOW TABLES").has_result
    assert not parse_statement(b"DROP TABLE t").has_result


def test_files_of_the_server() -> None:
    assert parse_statement(b"SELECT 1 INTO OUTFILE 'x'").outfile
    assert parse_statement(b"INSERT INTO t FROM INFILE 'x' FORMAT CSV").infile
    assert not parse_statement(b"SELECT 'INTO OUTFILE'").outfile


def test_only_comments_are_no_statement() -> None:
    assert parse_statement(b" -- a\n /* b */ # c").sql == b""
