"""Sites as tests make them, and requests as browsers send them from their pages."""

from collections.abc import AsyncIterable, Mapping
from datetime import UTC, datetime
from typing import Final

import orjson

from deploy.api_keys import write_key
from schemas.sites import Site, create_site
from tests.api.requests import Answer, ask
from tests.weir import Json, Weir

SHOP: Final = "https://shop.example"
FIREFOX: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
BEACON: Final = {
    "Origin": SHOP,
    "Content-Type": "text/plain;charset=UTF-8",
    "User-Agent": FIREFOX,
}
"""As sendBeacon sends a string from a page of the shop."""
NO_SITE: Final = "site_aaaaaaaaaaaaaaaa"


async def created(weir: Weir, *origins: str, name: str = "shop") -> Site:
    """A site that the API knows."""
    site = create_site(name, origins or (SHOP,), datetime.now(UTC))
    await write_key(weir.kafka, site)

    async def known() -> bool:
        answer = await ask(
            weir, "OPTIONS", target(site.site_id), headers={"Origin": site.origins[0]}
        )
        return answer.status == 204

    await weir.eventually(known, within=10)
    return site


def target(site_id: str) -> str:
    return f"/sites/{site_id}/events"


async def send(
    weir: Weir,
    site: Site | str,
    document: Json | bytes | AsyncIterable[bytes],
    headers: Mapping[str, str | None] | None = None,
) -> Answer:
    """The answer to events of a page; bytes are sent as they are, a header of None is not."""
    site_id = site if isinstance(site, str) else site.site_id
    body = document if isinstance(document, bytes | AsyncIterable) else orjson.dumps(document)
    merged = {**BEACON, **(headers or {})}
    return await ask(
        weir,
        "POST",
        target(site_id),
        body,
        {name: value for name, value in merged.items() if value is not None},
    )


def view(path: str, **changed: Json) -> Json:
    return {"event_type": "page_view", "path": path, **changed}
