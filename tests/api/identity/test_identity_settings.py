"""Settings of identity: an edge that cannot tell who asks does not start."""

from typing import Final

import pytest

from api.settings import ApiSettings
from schemas.settings import InvalidSettings, read_settings

SECRET: Final = "s" * 32
URL: Final = "https://login.example.com/.well-known/jwks.json"
NAMES: Final = ("WEIR_AUTH", "WEIR_JWT_SECRET", "WEIR_JWKS_URL", "WEIR_API_HOST", "WEIR_API_PORT")


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "environment",
    [
        {"WEIR_JWT_SECRET": SECRET},
        {"WEIR_JWT_SECRET": SECRET, "WEIR_API_HOST": "0.0.0.0"},  # noqa: S104
        {"WEIR_JWKS_URL": URL},
        {"WEIR_JWKS_URL": "http://127.0.0.1:8080/keys"},
        {"WEIR_AUTH": "local"},
        {"WEIR_AUTH": "local", "WEIR_JWT_SECRET": SECRET, "WEIR_API_HOST": "localhost"},
        {"WEIR_AUTH": "local", "WEIR_API_HOST": "::1"},
        {"WEIR_AUTH": "local", "WEIR_API_HOST": "127.8.8.8"},
    ],
)
def test_what_is_whole_is_taken(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert read_settings(ApiSettings).auth == environment.get("WEIR_AUTH", "required")


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, ["WEIR_AUTH"]),
        ({"WEIR_AUTH": "required"}, ["WEIR_AUTH"]),
        ({"WEIR_AUTH": "required", "WEIR_JWT_SECRET": ""}, ["WEIR_AUTH"]),
        ({"WEIR_AUTH": "none"}, ["WEIR_AUTH"]),
        ({"WEIR_AUTH": ""}, ["WEIR_AUTH"]),
        ({"WEIR_JWT_SECRET": "s" * 31}, ["WEIR_JWT_SECRET"]),
        ({"WEIR_AUTH": "local", "WEIR_JWT_SECRET": "short"}, ["WEIR_JWT_SECRET"]),
        ({"WEIR_JWT_SECRET": SECRET, "WEIR_JWKS_URL": URL}, ["WEIR_JWKS_URL"]),
        ({"WEIR_JWKS_URL": "ftp://login.example.com"}, ["WEIR_JWKS_URL"]),
        ({"WEIR_JWKS_URL": "login.example.com"}, ["WEIR_JWKS_URL"]),
        ({"WEIR_JWKS_URL": "https://user:word@login.example.com/"}, ["WEIR_JWKS_URL"]),
        ({"WEIR_AUTH": "local", "WEIR_API_HOST": "0.0.0.0"}, ["WEIR_AUTH"]),  # noqa: S104
        ({"WEIR_AUTH": "local", "WEIR_API_HOST": "::"}, ["WEIR_AUTH"]),
        ({"WEIR_AUTH": "local", "WEIR_API_HOST": "192.168.1.7"}, ["WEIR_AUTH"]),
        ({"WEIR_AUTH": "local", "WEIR_API_HOST": "127.0.0.1.example.com"}, ["WEIR_AUTH"]),
        (
            {
                "WEIR_AUTH": "local",
                "WEIR_API_HOST": "weir.example.com",
                "WEIR_API_PORT": "many",
                "WEIR_JWT_SECRET": "short",
                "WEIR_JWKS_URL": "nowhere",
            },
            ["WEIR_JWT_SECRET", "WEIR_JWKS_URL", "WEIR_AUTH", "WEIR_API_PORT"],
        ),
    ],
)
def test_what_is_half_configured_is_refused_with_all_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], named: list[str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as caught:
        read_settings(ApiSettings)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines] == named
    assert "short" not in str(caught.value)


def test_a_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_JWT_SECRET", SECRET)
    assert SECRET not in repr(read_settings(ApiSettings))
