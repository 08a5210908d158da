"""Whether metadata names a site, however the name is written."""

import orjson
import pytest
from msgspec import Raw

from schemas.metadata_members import SITE, may_name_site, names_site


@pytest.mark.parametrize(
    "metadata",
    [
        f'{{"{SITE}":"site_a"}}',
        f'{{ "{SITE}" : null}}',
        f'{{"a":{{"b":[1]}},"{SITE}":{{}}}}',
        r'{"\u0077eir_site":1}',
        r'{"weir\u005Fsite":1}',
        r'{"\u0077\u0065\u0069\u0072\u005f\u0073\u0069\u0074\u0065":1}',
    ],
)
def test_a_member_of_that_name_is_found(metadata: str) -> None:
    assert SITE in orjson.loads(metadata), "the test itself"
    assert may_name_site(b'[{"metadata":' + metadata.encode() + b"}]")
    assert names_site(Raw(metadata.encode()))


@pytest.mark.parametrize(
    "metadata",
    [
        "{}",
        f'{{"a":"{SITE}"}}',
        f'{{"a":{{"{SITE}":1}}}}',
        f'{{"a":["{SITE}"],"{SITE}s":1,"my_{SITE}":2}}',
        r'{"\u0057eir_site":1}',
        r'{"\\u0077eir_site":1}',
        r'{"a":"\"weir_site\":1"}',
        '{"caf\\u00e9":1e999}',
    ],
)
def test_what_only_looks_like_it_is_not(metadata: str) -> None:
    assert not names_site(Raw(metadata.encode()))


def test_most_texts_are_told_apart_without_being_read() -> None:
    assert not may_name_site('{"a":"\\"é\\n/weir/site","weir-site":1}'.encode())
