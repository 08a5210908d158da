"""Request bodies are JSON, packed or not, and no key stands in them twice."""

import gzip
from contextlib import suppress
from time import monotonic

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.bodies import MAX_GZIP_MEMBERS, parse_json, unpacked
from api.problems import Problem
from schemas.limits import MAX_REQUEST_BYTES


@pytest.mark.parametrize(
    "body",
    [
        b'{"path":"/a","path":"/b"}',
        b'[{"a":1},{"b":{"c":1,"c":1}}]',
        b'{"a":1,"a":2,"b":"\\u003a"}',
        b'{"\\u0061":1,"a":2}',
        b'{"a":":","a":"::"}',
    ],
)
def test_a_key_given_twice_is_refused_by_name(body: bytes) -> None:
    with pytest.raises(Problem) as caught:
        parse_json(body)
    assert caught.value.status == 400
    assert "is given twice" in caught.value.detail


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"a":NaN}', b'"\xff"', b'{"a":1e999}', b"[" * 300, b"{'a':1}"]
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(Problem) as caught:
        parse_json(body)
    assert caught.value.status == 400


@given(
    st.recursive(
        st.text() | st.integers(-(2**53), 2**53) | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_is_json_comes_back(value: object) -> None:
    assert parse_json(orjson.dumps(value)) == value


@pytest.mark.parametrize("depth", [300, 1_000, 1_024, 5_000, 100_000])
@pytest.mark.parametrize("escapes", ["", "\\u0041"])
def test_what_is_nested_too_deep_is_refused_before_it_costs(depth: int, escapes: str) -> None:
    body = '{"metadata":' * depth + f'"{escapes}"' + "}" * depth
    with pytest.raises(Problem) as caught:
        parse_json(body.encode())
    assert caught.value.status == 422
    assert caught.value.errors[0].field == "metadata"


@given(st.lists(st.binary(), min_size=1, max_size=5))
def test_what_was_packed_comes_back_however_many_members_it_has(pieces: list[bytes]) -> None:
    assert unpacked(b"".join(map(gzip.compress, pieces))) == b"".join(pieces)


def test_zeros_behind_the_end_are_no_fault() -> None:
    assert unpacked(gzip.compress(b"{}") + b"\0" * 500) == b"{}"


def test_a_body_may_be_as_large_unpacked_as_any_other_and_no_larger() -> None:
    largest = b"x" * MAX_REQUEST_BYTES
    assert unpacked(gzip.compress(largest)) == largest
    for body in (
        gzip.compress(largest + b"x"),
        gzip.compress(largest) + gzip.compress(b"x"),
        gzip.compress(b"\0" * 200_000_000),
    ):
        with pytest.raises(Problem) as caught:
            unpacked(body)
        assert caught.value.status == 413


def test_a_body_of_very_many_members_is_refused_before_it_costs() -> None:
    member = gzip.compress(b"")
    many = member * (MAX_REQUEST_BYTES // len(member))
    began = monotonic()
    with pytest.raises(Problem, match=f"more than {MAX_GZIP_MEMBERS} members") as caught:
        unpacked(many)
    assert caught.value.status == 400
    assert monotonic() - began < 1


@given(st.binary(max_size=200), st.integers(0, 200), st.integers(0, 255))
def test_damage_is_found_and_breaks_nothing(content: bytes, place: int, byte: int) -> None:
    packed = bytearray(gzip.compress(content))
    packed[place % len(packed)] = byte
    with suppress(Problem):
        assert isinstance(unpacked(bytes(packed)), bytes)
