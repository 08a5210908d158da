"""How the pages learn to sign in, and settings of that which cannot be used."""

from pathlib import Path
from typing import Final

import pytest

from api.settings import ApiSettings
from schemas.settings import InvalidSettings, read_settings
from tests.api.pages.asked import application, ask_app

REQUIRED: Final = {"WEIR_AUTH": "required", "WEIR_JWKS_URL": "https://login.example.com/keys"}
PROVIDER: Final = {
    "WEIR_OIDC_AUTHORITY": "https://login.example.com/realms/weir/",
    "WEIR_OIDC_CLIENT_ID": "weir-pages",
}
NOBODY: Final = {"authority": None, "client_id": None, "scope": None, "site": None}


@pytest.mark.parametrize(
    ("settings", "document"),
    [
        ({}, {**NOBODY, "sign_in": "none", "site": "demo"}),
        # Everybody is let in: nobody is sent anywhere.
        (PROVIDER, {**NOBODY, "sign_in": "none", "site": "demo"}),
        (REQUIRED, {**NOBODY, "sign_in": "missing"}),
        (
            {**REQUIRED, **PROVIDER},
            {
                "sign_in": "oidc",
                "authority": "https://login.example.com/realms/weir",
                "client_id": "weir-pages",
                "scope": "openid",
                "site": None,
            },
        ),
        (
            {**REQUIRED, **PROVIDER, "WEIR_OIDC_SCOPE": "openid offline_access"},
            {
                "sign_in": "oidc",
                "authority": "https://login.example.com/realms/weir",
                "client_id": "weir-pages",
                "scope": "openid offline_access",
                "site": None,
            },
        ),
    ],
    ids=["one machine", "one machine with a provider", "no provider", "provider", "scope"],
)
async def test_the_pages_are_told_how_one_signs_in(
    tmp_path: Path, settings: dict[str, str], document: dict[str, str | None]
) -> None:
    answer = await ask_app(application(tmp_path, **settings), "GET", "/pages/settings")
    assert (answer.status, answer.json) == (200, document)
    # Who changes the provider must not wait for caches.
    assert answer.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"WEIR_OIDC_AUTHORITY": "https://login.example.com"},
            "WEIR_OIDC_CLIENT_ID: signing in needs both; set WEIR_OIDC_CLIENT_ID too",
        ),
        (
            {"WEIR_OIDC_CLIENT_ID": "weir-pages"},
            "WEIR_OIDC_CLIENT_ID: signing in needs both; set WEIR_OIDC_AUTHORITY too",
        ),
        *(
            (
                {"WEIR_OIDC_AUTHORITY": authority, "WEIR_OIDC_CLIENT_ID": "weir-pages"},
                "WEIR_OIDC_AUTHORITY: must look like https://login.example.com/realms",
            )
            for authority in (
                "login.example.com",
                "ftp://login.example.com",
                "https://",
                "https:///realms/weir",
                "https://user:password@login.example.com",
                "https://login.example.com/?realm=weir",
                "https://login.example.com/#weir",
                "https://login.example.com:port",
                # It would mean something else in the header that names it.
                "https://login.example.com;script-src *",
                "https://login.example.com *",
                "https://*.example.com",
                "https://b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example.com",
                "javascript:alert(1)",
            )
        ),
        *(
            (
                {"WEIR_PUBLIC_URL": address},
                "WEIR_PUBLIC_URL: must look like https://weir.example.com",
            )
            for address in (
                "weir.example.com",
                "https://",
                "https://user:password@weir.example.com",
                "https://weir.example.com/?a=1",
                "https://weir.example.com/#a",
                "https://weir.example.com:0",
                "https://weir.example.com:65536",
                "https://weir.example.com:\N{ARABIC-INDIC DIGIT ONE}",
                # It would mean something else in the header that names it.
                "https://weir.example.com;script-src *",
                "https://weir.example.com;",
                "https://weir.example.com,https://evil.example",
                "https://*",
                "https://'self'",
                "https://b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example.com",
            )
        ),
        (
            {
                "WEIR_OIDC_AUTHORITY": "https://login.example.com",
                "WEIR_OIDC_CLIENT_ID": "weir-pages",
                "WEIR_OIDC_SCOPE": "",
            },
            "WEIR_OIDC_SCOPE: ",
        ),
    ],
    ids=lambda each: str(each)[:60],
)
def test_what_cannot_be_used_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], said: str
) -> None:
    for name, value in {"WEIR_AUTH": "local", **settings}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as refused:
        read_settings(ApiSettings)
    [line] = str(refused.value).splitlines()
    assert line.strip().startswith(said)
    # A value may be what was meant for another setting.
    assert "password" not in line


@pytest.mark.parametrize(
    "address",
    [
        "",
        "https://weir.example.com",
        "HTTPS://weir.example.com/below/",
        "http://weir_api:8000",
        "http://127.0.0.1:8000",
        "http://[::1]:8000/",
    ],
)
def test_where_browsers_reach_the_api_is_an_address(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("WEIR_AUTH", "local")
    monkeypatch.setenv("WEIR_PUBLIC_URL", address)
    assert read_settings(ApiSettings).public_url == address.rstrip("/")
