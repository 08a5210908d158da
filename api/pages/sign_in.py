"""`GET /pages/settings`: what the pages must know before they ask for anything else."""

from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.identity.access import PUBLIC
from api.settings import ApiSettings

DEMO_SITE = "demo"


class PagesDocument(BaseModel):
    """How one signs in here."""

    sign_in: Annotated[
        Literal["none", "oidc", "missing"],
        Field(
            description="`none`: who asks without a token is the user demo. `oidc`: at the "
            "identity provider. `missing`: tokens are needed, and no provider is set."
        ),
    ]
    authority: Annotated[str | None, Field(examples=["https://login.example.com/realms/weir"])]
    client_id: Annotated[str | None, Field(examples=["weir-pages"])]
    scope: Annotated[str | None, Field(examples=["openid"])]
    site: Annotated[
        str | None, Field(description="A site that needs no setting up, for trying the tracker.")
    ]


def pages_settings(settings: ApiSettings) -> APIRouter:
    """The route, which answers with these settings."""
    router = APIRouter(tags=["pages"], dependencies=[PUBLIC])
    document = _document(settings)

    @router.get(
        "/pages/settings", summary="Show how the pages sign in", response_model=PagesDocument
    )
    async def show_pages_settings(response: Response) -> PagesDocument:
        response.headers["Cache-Control"] = "no-cache"
        return document

    return router


def _document(settings: ApiSettings) -> PagesDocument:
    if settings.auth == "local":
        return PagesDocument(
            sign_in="none", authority=None, client_id=None, scope=None, site=DEMO_SITE
        )
    if not settings.oidc_authority:
        return PagesDocument(
            sign_in="missing", authority=None, client_id=None, scope=None, site=None
        )
    return PagesDocument(
        sign_in="oidc",
        authority=settings.oidc_authority,
        client_id=settings.oidc_client_id,
        scope=settings.oidc_scope,
        site=None,
    )
