"""Each form of request that clients of ClickHouse use, by curl."""

import gzip
import zlib
from collections.abc import Callable

import lz4.frame  # type: ignore[import-untyped]
import pytest
from backports import zstd
from clickhouse_connect.driver.client import Client

from tests.deploy.local.clickhouse.curl import curl
from tests.deploy.local.clickhouse.embedded import EmbeddedClickHouse

pytestmark = pytest.mark.services


@pytest.fixture
def table(client: Client) -> str:
    client.command("CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    return f"{client.database}.t"


def test_get_with_query_in_url(clickhouse: EmbeddedClickHouse) -> None:
    answer = curl(clickhouse, query="SELECT 1 + 1")
    assert (answer.status, answer.text) == (200, "2\n")
    assert answer.headers["content-type"] == "text/tab-separated-values; charset=UTF-8"
    assert answer.headers["x-clickhouse-format"] == "TabSeparated"


def test_post_with_sql_in_body(clickhouse: EmbeddedClickHouse) -> None:
    assert curl(clickhouse, body="SELECT 'a', 2 FORMAT CSV").text == '"a",2\n'


def test_statement_may_begin_in_url_and_end_in_body(clickhouse: EmbeddedClickHouse) -> None:
    assert curl(clickhouse, query="SELECT 1 +", body="41").text == "42\n"


def test_insert_with_statement_in_url_and_data_in_body(
    clickhouse: EmbeddedClickHouse, client: Client, table: str
) -> None:
    answer = curl(clickhouse, query=f"INSERT INTO {table} FORMAT CSV", body='1,"x"\n2,"y"\n')
    assert (answer.status, answer.text) == (200, "")
    assert answer.summary["written_rows"] == "2"
    assert client.query("SELECT * FROM t ORDER BY a").result_rows == [(1, "x"), (2, "y")]


def test_insert_with_statement_and_data_in_body(
    clickhouse: EmbeddedClickHouse, client: Client, table: str
) -> None:
    curl(clickhouse, body=f"INSERT INTO {table} FORMAT JSONEachRow\n" + '{"a":1,"b":"FORMAT X"}')
    curl(clickhouse, body=f"INSERT INTO {table} VALUES (2, 'it''s'), (1 + 2, lower('Q'))")  # noqa: S608
    curl(clickhouse, body=f"INSERT INTO {table} (b, a) SELECT 'four', 4")
    rows = client.query("SELECT * FROM t ORDER BY a").result_rows
    assert rows == [(1, "FORMAT X"), (2, "it's"), (3, "q"), (4, "four")]


@pytest.mark.parametrize("fmt", ["Native", "RowBinary", "Parquet", "ArrowStream", "MsgPack"])
def test_binary_formats_survive_the_way_out_and_in(
    clickhouse: EmbeddedClickHouse, client: Client, table: str, fmt: str
) -> None:
    select = "SELECT number AS a, char(number, 0, 10, 13, 39) AS b FROM numbers(256)"
    written = curl(clickhouse, body=f"{select} FORMAT {fmt}").body
    answer = curl(clickhouse, query=f"INSERT INTO {table} FORMAT {fmt}", body=written)
    assert answer.status == 200, answer.text
    same = client.query(f"SELECT count() FROM t WHERE (a, b) IN ({select})").first_row  # noqa: S608
    assert same == (256,)


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("zstd", zstd.compress),
        ("lz4", lz4.frame.compress),
    ],
)
def test_compressed_bodies(
    clickhouse: EmbeddedClickHouse,
    client: Client,
    table: str,
    encoding: str,
    compress: Callable[[bytes], bytes],
) -> None:
    rows = b"".join(b"%d\tx%d\n" % (n, n) for n in range(200_000))
    # Two frames one after the other are one body, as clients compress block by block.
    body = compress(rows[:1000]) + compress(rows[1000:])
    header = f"Content-Encoding: {encoding}"
    answer = curl(clickhouse, "-H", header, query=f"INSERT INTO {table} FORMAT TSV", body=body)
    assert answer.status == 200, answer.text
    assert client.query("SELECT count(), sum(a) FROM t").first_row == (200_000, 19_999_900_000)
    assert curl(clickhouse, "-H", header, body=compress(b"SELECT 5")).text == "5\n"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "lz4"])
def test_broken_compressed_insert_stores_nothing(
    clickhouse: EmbeddedClickHouse, client: Client, table: str, encoding: str
) -> None:
    compress = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstd.compress}.get(
        encoding, lz4.frame.compress
    )
    body = compress(b"".join(b"%d\tx\n" % n for n in range(50_000)))[:-9]
    answer = curl(
        clickhouse,
        *("-H", f"Content-Encoding: {encoding}"),
        query=f"INSERT INTO {table} FORMAT TSV",
        body=body,
    )
    assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (500, "271")
    assert client.query("SELECT count() FROM t").first_row == (0,)


def test_unknown_encoding_names_the_known_ones(clickhouse: EmbeddedClickHouse) -> None:
    answer = curl(clickhouse, "-H", "Content-Encoding: snappy", body="SELECT 1")
    assert answer.headers["x-clickhouse-exception-code"] == "89"
    assert "lz4, zstd, gzip, deflate" in answer.text


@pytest.mark.parametrize(
    ("encoding", "decompress"),
    [
        ("gzip", gzip.decompress),
        ("deflate", zlib.decompress),
        ("zstd", zstd.decompress),
        ("lz4", lz4.frame.decompress),
    ],
)
@pytest.mark.parametrize("rows", [1, 1_000_000])
def test_compressed_answers(
    clickhouse: EmbeddedClickHouse,
    encoding: str,
    decompress: Callable[[bytes], bytes],
    rows: int,
) -> None:
    header = f"Accept-Encoding: {encoding}"
    sql = f"SELECT number FROM numbers({rows})"  # noqa: S608
    answer = curl(clickhouse, "-H", header, body=sql, enable_http_compression=1)
    assert answer.headers["content-encoding"] == encoding
    assert decompress(answer.body) == b"".join(b"%d\n" % n for n in range(rows))
    plain = curl(clickhouse, "-H", header, body=sql)
    assert "content-encoding" not in plain.headers


@pytest.mark.parametrize("name", ["compress", "decompress"])
def test_block_compression_is_refused_with_the_way_out(
    clickhouse: EmbeddedClickHouse, name: str
) -> None:
    answer = curl(clickhouse, body="SELECT 1", parameters={name: 1})
    assert answer.status == 501
    assert "Content-Encoding" in answer.text


def test_bound_parameters_in_url(clickhouse: EmbeddedClickHouse) -> None:
    answer = curl(
        clickhouse,
        query="SELECT {n:UInt8} + 1, {s:String}, {a:Array(String)}",
        param_n=41,
        param_s="it's \\\\ a \\t",
        param_a="['x','y']",
    )
    assert answer.text == "42\tit\\'s \\\\ a \\t\t['x','y']\n"


def test_bound_parameters_in_forms(clickhouse: EmbeddedClickHouse) -> None:
    multipart = curl(
        clickhouse, "-F", "query=SELECT {s:String} || {t:String}", "-F", "param_s=a", param_t="b"
    )
    assert multipart.text == "ab\n"
    urlencoded = curl(
        clickhouse,
        *("--data-urlencode", "query=SELECT {s:String}"),
        *("--data-urlencode", "param_s=a&b=c"),
    )
    assert urlencoded.text == "a&b=c\n"


def test_parameter_that_is_not_bound(clickhouse: EmbeddedClickHouse) -> None:
    answer = curl(clickhouse, query="SELECT {n:UInt8}")
    assert answer.headers["x-clickhouse-exception-code"] == "456"


def test_bound_parameters_in_inserts_and_definitions(
    clickhouse: EmbeddedClickHouse, client: Client, table: str
) -> None:
    curl(
        clickhouse,
        body="INSERT INTO {d:Identifier}.t VALUES ({n:UInt64}, {s:String})",
        param_d=client.database or "",
        param_n=7,
        param_s="seven",
    )
    assert client.query("SELECT * FROM t").result_rows == [(7, "seven")]


def test_external_table(clickhouse: EmbeddedClickHouse) -> None:
    answer = curl(
        clickhouse,
        *("-F", "ids=@-;filename=ids.tsv"),
        stdin=b"3\n4\n",
        query="SELECT sum(number) FROM numbers(10) WHERE number IN ids",
        ids_structure="n UInt64",
    )
    assert answer.text == "7\n", answer.text


def test_default_format_from_url_and_header(clickhouse: EmbeddedClickHouse) -> None:
    from_url = curl(clickhouse, query="SELECT 1 AS a", default_format="JSONEachRow")
    assert from_url.text == '{"a":1}\n'
    assert from_url.headers["x-clickhouse-format"] == "JSONEachRow"
    from_header = curl(clickhouse, "-H", "X-ClickHouse-Format: CSV", query="SELECT 'a'")
    assert from_header.text == '"a"\n'
    named = curl(clickhouse, query="SELECT 1 FORMAT TSV", default_format="JSON")
    assert named.headers["x-clickhouse-format"] == "TSV"


@pytest.mark.parametrize(
    ("fmt", "media_type"),
    [
        ("JSON", "application/json; charset=UTF-8"),
        ("JSONEachRow", "application/x-ndjson; charset=UTF-8"),
        ("CSVWithNames", "text/csv; charset=UTF-8; header=present"),
        ("Native", "application/octet-stream"),
        ("Pretty", "text/plain; charset=UTF-8"),
    ],
)
def test_media_types(clickhouse: EmbeddedClickHouse, fmt: str, media_type: str) -> None:
    assert curl(clickhouse, query=f"SELECT 1 FORMAT {fmt}").headers["content-type"] == media_type


def test_headers_that_clients_read(clickhouse: EmbeddedClickHouse) -> None:
    answer = curl(clickhouse, body="SELECT number FROM numbers(10)", query_id="my-id")
    assert answer.headers["x-clickhouse-query-id"] == "my-id"
    assert answer.headers["x-clickhouse-timezone"]
    assert answer.headers["x-clickhouse-server-display-name"]
    summary = answer.summary
    assert (summary["read_rows"], summary["result_rows"]) == ("10", "10")
    assert int(summary["elapsed_ns"]) > 0
    assert curl(clickhouse, body="SELECT 1").headers["x-clickhouse-query-id"]


@pytest.mark.parametrize(
    ("sql", "status", "code", "name"),
    [
        ("SELECT * FROM nowhere", 404, 60, "UNKNOWN_TABLE"),
        ("SELECT * FROM nowhere.t", 404, 81, "UNKNOWN_DATABASE"),
        ("SELECT nothing", 404, 47, "UNKNOWN_IDENTIFIER"),
        ("SELEKT 1", 400, 62, "SYNTAX_ERROR"),
        ("SELECT toUInt8('x')", 400, 6, "CANNOT_PARSE_TEXT"),
        ("SELECT throwIf(1)", 500, 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        ("SELECT 1; SELECT 2", 400, 62, "SYNTAX_ERROR"),
        ("SELECT 1 INTO OUTFILE '/dev/null'", 500, 358, "INTO_OUTFILE_NOT_ALLOWED"),
        ("SELECT 1 FORMAT Nonsense", 404, 73, "UNKNOWN_FORMAT"),
        ("-- nothing", 400, 62, "SYNTAX_ERROR"),
        ("", 400, 62, "SYNTAX_ERROR"),
    ],
)
def test_errors_have_status_code_and_name(
    clickhouse: EmbeddedClickHouse, sql: str, status: int, code: int, name: str
) -> None:
    answer = curl(clickhouse, body=sql)
    assert answer.headers.get("x-clickhouse-exception-code") == str(code), answer.text
    assert answer.status == status
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
    assert f"({name})" in answer.text


@pytest.mark.parametrize("sql", ["SYSTEM SHUTDOWN", "/* */ system -- x\n kill"])
def test_no_statement_stops_the_process(clickhouse: EmbeddedClickHouse, sql: str) -> None:
    answer = curl(clickhouse, body=sql)
    assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (501, "48")
    assert curl(clickhouse, body="SELECT 1").text == "1\n"


def test_unknown_setting_is_the_engines_error(clickhouse: EmbeddedClickHouse) -> None:
    answer = curl(clickhouse, body="SELECT 1", no_such_setting=1)
    assert answer.headers["x-clickhouse-exception-code"] == "115"
    hostile = curl(clickhouse, body="SELECT 1", parameters={"max_threads = 1, readonly": 1})
    assert hostile.headers["x-clickhouse-exception-code"] == "115"


def test_get_changes_nothing(clickhouse: EmbeddedClickHouse, client: Client, table: str) -> None:
    answer = curl(clickhouse, query=f"TRUNCATE TABLE {table}")
    assert answer.headers["x-clickhouse-exception-code"] == "164"
    answer = curl(clickhouse, query=f"INSERT INTO {table} VALUES (1, 'x')")  # noqa: S608
    assert answer.headers["x-clickhouse-exception-code"] == "164"
    assert client.query("SELECT count() FROM t").first_row == (0,)


def test_credentials_are_accepted_and_not_looked_at(clickhouse: EmbeddedClickHouse) -> None:
    assert curl(clickhouse, "-u", "default:secret", body="SELECT 1").text == "1\n"
    assert curl(clickhouse, "-H", "X-ClickHouse-User: x", body="SELECT 1", user="y").text == ("1\n")


@pytest.mark.parametrize(
    "header", ["Host: attacker.example", "Origin: https://attacker.example", "Origin: null"]
)
def test_other_sites_reach_nothing_through_a_browser(
    clickhouse: EmbeddedClickHouse, header: str
) -> None:
    answer = curl(clickhouse, "-H", header, body="SELECT 1")
    assert (answer.status, answer.headers["x-clickhouse-exception-code"]) == (403, "497")


@pytest.mark.parametrize("path", ["/ping", "/", "/replicas_status"])
def test_health_checks(clickhouse: EmbeddedClickHouse, path: str) -> None:
    answer = curl(clickhouse, path=path)
    assert (answer.status, answer.text) == (200, "Ok.\n")


def test_unknown_paths(clickhouse: EmbeddedClickHouse) -> None:
    answer = curl(clickhouse, path="/nowhere")
    assert answer.status == 404
    assert "There is no handle /nowhere" in answer.text


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE IF NOT EXISTS m (a UInt64) ENGINE = MergeTree ORDER BY a",
        "CREATE VIEW v AS SELECT a FROM t",
        "ALTER TABLE t ADD COLUMN c UInt8 DEFAULT 3",
        "SYSTEM FLUSH LOGS",
        "OPTIMIZE TABLE t FINAL",
        "RENAME TABLE t TO u",
        "TRUNCATE TABLE t",
    ],
)
def test_definitions_answer_nothing_but_a_summary(
    clickhouse: EmbeddedClickHouse, client: Client, table: str, sql: str
) -> None:
    answer = curl(clickhouse, body=sql, database=client.database or "")
    assert (answer.status, answer.text) == (200, "")
    assert answer.summary["read_rows"] == "0"
    assert "x-clickhouse-format" not in answer.headers


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("EXISTS TABLE t", "1\n"),
        ("SHOW TABLES", "t\n"),
        ("DESCRIBE t", "a\tUInt64\t\t\t\t\t\nb\tString\t\t\t\t\t\n"),
        ("SHOW TABLES LIKE 'x%'", ""),
    ],
)
def test_statements_that_answer_rows(
    clickhouse: EmbeddedClickHouse, client: Client, table: str, sql: str, text: str
) -> None:
    answer = curl(clickhouse, body=sql, database=client.database or "")
    assert (answer.status, answer.text) == (200, text)
    assert answer.headers["x-clickhouse-format"] == "TabSeparated"
