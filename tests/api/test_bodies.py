"""Request bodies are JSON, and no key stands in them twice."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.bodies import parse_json
from api.problems import Problem


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
