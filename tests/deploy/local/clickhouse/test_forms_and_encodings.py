"""Forms, content encodings and the pieces they are read in."""

import gzip
import random
import zlib

import lz4.frame  # type: ignore[import-untyped]
import pytest
from backports import zstd

from deploy.local.clickhouse.compression import choose_encoding, compressor, decompressed
from deploy.local.clickhouse.errors import ClickHouseError, from_engine
from deploy.local.clickhouse.forms import is_form, parse_form

_COMPRESS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd.compress,
    "lz4": lz4.frame.compress,
}
_MULTIPART = "multipart/form-data; boundary=xyz"


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("encoding", _COMPRESS)
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_frames_cut_anywhere_are_read(encoding: str, size: int) -> None:
    data = random.Random(3).randbytes(3000)
    body = _COMPRESS[encoding](data) + _COMPRESS[encoding](b"") + _COMPRESS[encoding](data)
    assert b"".join(decompressed(_cut(body, size), encoding)) == data + data


@pytest.mark.parametrize("encoding", _COMPRESS)
def test_a_bomb_comes_out_in_small_pieces(encoding: str) -> None:
    body = _COMPRESS[encoding](bytes(50_000_000))
    sizes = [len(piece) for piece in decompressed(_cut(body, 65536), encoding)]
    assert sum(sizes) == 50_000_000
    assert max(sizes) <= 1024**2


@pytest.mark.parametrize("encoding", _COMPRESS)
@pytest.mark.parametrize("body", [b"no such data", b"\x00\x01\x02\x03" * 10])
def test_what_is_not_compressed_is_refused(encoding: str, body: bytes) -> None:
    with pytest.raises(ClickHouseError, match="CANNOT_DECOMPRESS"):
        list(decompressed([body], encoding))


@pytest.mark.parametrize("encoding", _COMPRESS)
def test_compressors_write_what_clients_read(encoding: str) -> None:
    writer = compressor(encoding)
    body = writer.compress(b"one") + writer.compress(b"two") + writer.flush()
    assert b"".join(decompressed([body], encoding)) == b"onetwo"
    assert b"".join(decompressed([compressor(encoding).flush()], encoding)) == b""


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        ("gzip, deflate, br", "gzip"),
        ("lz4,zstd,gzip,deflate", "lz4"),
        ("gzip;q=0, deflate;q=0.5", "deflate"),
        ("br", None),
        ("", None),
    ],
)
def test_the_encoding_of_an_answer(accept: str, encoding: str | None) -> None:
    assert choose_encoding(accept) == encoding


def test_multipart_fields_and_files() -> None:
    body = (
        b'--xyz\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT 1\r\n--y\r\n'
        b'--xyz\r\nContent-Disposition: form-data; name="t"; filename="t.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n\x00\r\n\r\n--xyz--\r\n"
    )
    fields, files = parse_form(_MULTIPART, body)
    assert fields == {"query": "SELECT 1\r\n--y"}
    assert [(file.name, file.data) for file in files] == [("t", b"\x00\r\n")]


@pytest.mark.parametrize("body", [b"", b"--xyz\r\n", b"--xyz\r\n\r\nx\r\n--xyz--", b"junk"])
def test_broken_forms_are_refused(body: bytes) -> None:
    with pytest.raises(ClickHouseError, match="BAD_ARGUMENTS"):
        parse_form(_MULTIPART, body)


def test_sql_that_curl_calls_a_form_is_sql() -> None:
    curls_type = "application/x-www-form-urlencoded"
    assert not is_form(curls_type, b"SELECT 1 WHERE query='x'")
    assert is_form(curls_type, b"query=SELECT+1&param_x=1")
    assert parse_form(curls_type, b"query=SELECT+1&param_x=%C3%A9")[0]["param_x"] == "\u00e9"


def test_the_engines_errors_are_told_without_its_files() -> None:
    error = from_engine(
        RuntimeError(
            "Code: 27. DB::Exception: Code: 27. DB::Exception: bad: (at row 1)\n: "
            "(in file/uri /proc/self/fd/37): While executing File: data for INSERT was parsed "
            "from file. (CANNOT_PARSE)"
        )
    )
    assert error.code == 27
    assert error.message == (
        "Code: 27. DB::Exception: bad: (at row 1)\n: While executing File. (CANNOT_PARSE)"
    )
    assert from_engine(RuntimeError("no code")).code == 1002
