"""A small shop that records its page views and sign-ups in Weir.

pip install fastapi uvicorn weir-sdk
WEIR_URL=http://127.0.0.1:8000 uvicorn shop:app --port 8080
"""

import os
from typing import Annotated

from fastapi import BackgroundTasks, FastAPI, Header

from weir_sdk import AnalyticsMiddleware, WeirClient, WeirUnavailable

weir = WeirClient(
    os.environ.get("WEIR_URL", "http://127.0.0.1:8000"),
    os.environ.get("WEIR_WRITE_KEY"),
    source="shop",
)
app = FastAPI(title="Shop")
# The user is whoever a proxy says it is; a real shop has a session.
app.add_middleware(
    AnalyticsMiddleware,
    client=weir,
    source="shop",
    skip=("/healthz", "/weir"),
    user=lambda scope: dict(scope["headers"]).get(b"x-user", b"").decode("latin-1") or None,
)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/products/{product}")
async def product(product: str) -> dict[str, str]:
    # Nobody waits for this one.
    weir.enqueue("product_shown", f"/products/{product}", metadata={"product": product})
    return {"product": product}


@app.post("/signup")
async def signup(
    user: Annotated[str, Header(alias="X-User")], later: BackgroundTasks
) -> dict[str, str]:
    # This one must not be lost unnoticed, and still not hold up whoever signs up.
    later.add_task(_convert, user)
    return {"user": user}


async def _convert(user: str) -> None:
    try:
        await weir.conversion("/signup", user_id=user, metadata={"plan": "free"})
    except WeirUnavailable as error:
        # A real shop keeps error.event_id with the sign-up, and sends it again under it.
        print(f"conversion {error.event_id} is not confirmed: {error}")


@app.get("/weir")
async def counts() -> dict[str, int]:
    found = weir.counts
    return {"recorded": found.recorded, "sent": found.sent, "dropped": found.dropped}
