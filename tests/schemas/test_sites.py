"""Sites: ids that nobody takes for a secret, origins as browsers write them."""

import re
from datetime import UTC, datetime

import pytest

from schemas.api_keys import PATTERN, create_key
from schemas.key_messages import decode_key
from schemas.sites import MAX_ORIGINS, Site, create_site, origin_of

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
SITE = create_site("shop", ("https://shop.example",), NOW)


def test_an_id_is_no_secret_to_scanners_and_differs() -> None:
    made = {create_site("same", ("https://shop.example",), NOW).site_id for _ in range(1_000)}
    assert len(made) == 1_000
    for site_id in made:
        assert re.fullmatch(r"site_[a-z2-7]{16}", site_id)
        assert not re.search(PATTERN, site_id)


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("https://shop.example", "https://shop.example"),
        ("HTTPS://Shop.Example", "https://shop.example"),
        ("https://shop.example:443", "https://shop.example"),
        ("http://shop.example:80", "http://shop.example"),
        ("https://shop.example:80", "https://shop.example:80"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://192.168.0.7", "http://192.168.0.7"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://[0:0:0:0:0:0:0:1]:80", "http://[::1]"),
        ("https://[2001:DB8::0:1]:443", "https://[2001:db8::1]"),
        ("http://[::ffff:192.0.2.1]", "http://[::ffff:c000:201]"),
        ("http://[1:0:0:2:0:0:0:3]", "http://[1:0:0:2::3]"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("https://my_shop.example", "https://my_shop.example"),
    ],
)
def test_an_origin_is_kept_as_browsers_write_it(given: str, origin: str) -> None:
    assert origin_of(given) == origin
    assert create_site("shop", (given,), NOW).allows(origin)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "null",
        "shop.example",
        "https://",
        "https://*.shop.example",
        "https://shop.example/",
        "https://shop.example/pricing",
        "https://shop.example?a=1",
        "https://shop.example#a",
        "https://user@shop.example",
        "https://user:secret@shop.example",
        "https://shop.example:",
        "https://shop.example:0",
        "https://shop.example:65536",
        "https://shop.example:http",
        "https://-shop.example",
        "https://shop..example",
        "https://shop.example.",
        "https://bücher.example",
        "https://shop.example\n",
        " https://shop.example",
        "ftp://shop.example",
        "file://",
        "http://[1:2:3]",
        "http://[:::]",
        "http://[1::2::3]",
        "http://[::12345]",
        "http://[::ffff:1.2.3.256]",
        "http://[192.0.2.1]",
        "http://[.]:3000",
        "http://[]",
        "http://[::1",
        "http://[fe80::1%eth0]",
        "https://" + "a." * 130 + "example",
        "https://" + "a" * 64 + ".example",
    ],
)
def test_what_is_no_origin_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"must look like https://shop\.example"):
        origin_of(text)
    with pytest.raises(ValueError, match=r".+"):
        create_site("shop", (text,), NOW)


def test_a_site_has_origins_each_once_and_not_too_many() -> None:
    twice = create_site(
        "shop", ("https://b.example", "https://a.example", "HTTPS://B.example"), NOW
    )
    assert twice.origins == ("https://b.example", "https://a.example")
    for origins in ((), tuple(f"https://{each}.example" for each in range(MAX_ORIGINS + 1))):
        with pytest.raises(ValueError, match="origins"):
            create_site("shop", origins, NOW)


def test_a_message_says_which_site_it_is_about() -> None:
    value = SITE.model_dump_json().encode()
    assert decode_key(SITE.site_id.encode(), value) == (SITE.site_id, SITE)
    assert decode_key(SITE.site_id.encode(), None) == (SITE.site_id, None)
    revoked = SITE.model_copy(update={"revoked_at": NOW})
    assert Site.model_validate_json(revoked.model_dump_json()) == revoked


def test_no_message_makes_a_key_of_a_site_or_a_site_of_a_key() -> None:
    _, key = create_key("write", "shop", NOW)
    of_key, of_site = key.model_dump_json().encode(), SITE.model_dump_json().encode()
    for name, value in (
        (SITE.site_id, of_key),
        (key.key_id, of_site),
        (key.key_id, of_key.replace(b'"write"', b'"site"')),
        (SITE.site_id, of_site.replace(b'"site"', b'"write"')),
        (SITE.site_id, of_site.replace(b"https://shop.example", b"*")),
        ("site_another", of_site),
    ):
        with pytest.raises(ValueError, match=r".+"):
            decode_key(name.encode(), value)
