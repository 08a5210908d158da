"""Where the built pages are, and where who opens them elsewhere than on one machine signs in."""

import re
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from schemas.settings import Settings

_ADDRESS: Final = re.compile(
    r"(?i:https?)://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[^\s?#]*)?"
)


def web_address(url: str, example: str) -> str:
    """The address without slashes at its end, or ''. Raises ValueError, which names the example.

    Its origin stands in a header, where other characters than a host's would mean something.
    """
    if not url:
        return ""
    try:
        # It looks at the port's number, and at an address in brackets.
        fits = _ADDRESS.fullmatch(url) is not None and urlsplit(url).port != 0
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"must look like {example}")
    return url.rstrip("/")


def _authority(url: str) -> str:
    return web_address(url, "https://login.example.com/realms/weir")


def origin_of(url: str) -> str:
    """The origin of a URL, as headers name it; '' of ''."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if url else ""


class PagesSettings(Settings):
    """Of the pages; the browser is told them when it opens one, nothing is built in."""

    pages_dir: Annotated[
        str,
        Field(
            alias="WEIR_PAGES_DIR",
            description="The built pages (frontend/dist). Not set: the API serves none.",
        ),
    ] = ""
    oidc_authority: Annotated[
        str,
        AfterValidator(_authority),
        Field(
            alias="WEIR_OIDC_AUTHORITY",
            description="The identity provider (OpenID Connect) that the pages send people to.",
        ),
    ] = ""
    oidc_client_id: Annotated[
        str,
        Field(alias="WEIR_OIDC_CLIENT_ID", description="As the provider knows the pages; public."),
    ] = ""
    oidc_scope: Annotated[
        str,
        Field(
            alias="WEIR_OIDC_SCOPE",
            min_length=1,
            description="What the pages ask the provider for; its access token is sent to the API.",
        ),
    ] = "openid"

    @field_validator("oidc_client_id")
    @classmethod
    def _both_or_none(cls, client_id: str, info: ValidationInfo) -> str:
        authority = info.data.get("oidc_authority")
        if authority is not None and bool(authority) != bool(client_id):
            missing = "WEIR_OIDC_CLIENT_ID" if authority else "WEIR_OIDC_AUTHORITY"
            raise ValueError(f"signing in needs both; set {missing} too")
        return client_id

    @property
    def pages_folder(self) -> Path | None:
        """The folder of the built pages; None: there are none."""
        return Path(self.pages_dir) if self.pages_dir else None

    @property
    def oidc_origin(self) -> str:
        """Where the provider is asked from the browser: its origin, or ''."""
        return origin_of(self.oidc_authority)
