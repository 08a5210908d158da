"""What mounts the middleware in this repository: Weir's own API, and the example."""

import importlib.util
from functools import partial
from pathlib import Path

import pytest
from fastapi import FastAPI

from tests.sdk.hosts import Kept, ask, http_scope, quiet_client
from tests.weir import Weir, all_taken

EXAMPLE = Path(__file__).parents[2] / "sdk" / "examples" / "shop.py"


@pytest.mark.services
async def test_weir_records_its_own_requests_without_an_end_to_them(weir: Weir) -> None:
    api = await weir.start_api({"WEIR_SELF_ANALYTICS": "true", "WEIR_QUOTA_TIMEOUT": "0.1"})
    sink = weir.start_sink()
    for number in range(5):
        status, _ = await weir.post(
            "/analytics/events", {"event_type": "page_view", "path": f"/{number}"}
        )
        assert status == 202
    status, _ = await weir.post("/sites/demo/events", [{"event_type": "page_view", "path": "/"}])
    assert status == 403
    # Who watches would be told of their own looks, for ever.
    for path in ("/analytics/summary", "/analytics/live?seconds=0", "/pages/settings", "/"):
        async with weir.session.get(weir.url + path):
            pass
    await weir.get("/api/users")
    # Nobody decides here, and it is a request all the same.
    status, _ = await weir.post("/api/user/plan", {"count": 1})
    assert status == 503
    await weir.get("/nowhere")
    await api.stop()
    await weir.start_api()
    await weir.eventually(partial(all_taken, weir), process=sink)
    own = weir.query("SELECT path, user_id FROM events WHERE source = 'weir' ORDER BY path")
    # Whom the route asked for is known, and nobody where nobody was asked.
    assert own == [("/api/user/plan", "demo"), ("/api/users", "demo"), ("/nowhere", "")]
    assert sum((await weir.summary()).values()) == 8


async def test_the_example_records_its_products_and_sign_ups() -> None:
    spec = importlib.util.spec_from_file_location("shop", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    shop = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shop)
    app: FastAPI = shop.app
    kept = Kept()
    client = quiet_client(kept)
    vars(shop)["weir"] = client
    for middleware in app.user_middleware:
        middleware.kwargs["client"] = client
    headers = [(b"host", b"shop.example.com"), (b"x-user", b"u-7")]
    await ask(app, http_scope("/products/42", headers=headers))
    await ask(app, http_scope("/signup", method="POST", headers=headers))
    await ask(app, http_scope("/healthz"))
    await client.close()
    found = {(each["event_type"], each["path"], each.get("user_id")) for each in kept.events}
    assert found == {
        ("page_view", "/products/42", "u-7"),
        ("product_shown", "/products/42", None),
        ("page_view", "/signup", "u-7"),
        ("conversion", "/signup", "u-7"),
    }
