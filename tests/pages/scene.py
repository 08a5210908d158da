"""A shop's two months, made up: so that pictures of the pages have something to show."""

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.weir import Weir

VISITS: Final = 16_000
DAYS: Final = 60
_PATHS: Final = {
    "/": 30,
    "/pricing": 14,
    "/docs/quickstart": 12,
    "/blog/what-a-weir-is": 9,
    "/features": 8,
    "/blog/streams-for-small-teams": 7,
    "/signup": 6,
    "/about": 4,
    "/changelog": 3,
}
_AGENTS: Final = {
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36": 50,
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) Version/19.0 Mobile/15E148 Safari/604.1": 32,
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0": 14,
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)": 6,
}
_COUNTRIES: Final = {"DE": 30, "US": 25, "FR": 12, "GB": 9, "JP": 8, "EG": 4}
_REFERRERS: Final = {
    "": 40,
    "https://www.google.com/": 30,
    "https://news.ycombinator.com/item": 10,
    "https://t.co/a": 9,
    "https://duckduckgo.com/": 6,
}
_TWO: Final = {"/pricing": 0.08, "/signup": 0.3}


def events(now: datetime) -> Iterator[dict[str, Any]]:
    """The same for the same moment: more by day than by night, and more each week."""
    chance = random.Random(7)
    for _ in range(VISITS):
        at = now - timedelta(seconds=chance.random() ** 1.15 * DAYS * 86_400)
        if chance.random() > 0.25 + 0.75 * math.sin((at.hour - 5) / 24 * 2 * math.pi) ** 2:
            continue
        path = _one_of(chance, _PATHS)
        referrer = _one_of(chance, _REFERRERS)
        event = {
            "event_type": "page_view",
            "path": path,
            "visitor_id": f"v-{chance.randrange(2_200)}",
            "source": "shop",
            "occurred_at": at.isoformat(),
            "metadata": {
                "user_agent": _one_of(chance, _AGENTS),
                "country": _one_of(chance, _COUNTRIES),
                **({"referrer": referrer} if referrer else {}),
            },
        }
        yield event
        if chance.random() < _TWO.get(path, 0):
            yield {**event, "event_type": "conversion"}


async def furnish(weir: Weir) -> None:
    """Sends them, makes some posts of the user demo, and returns when all is there."""
    sent = list(events(datetime.now(UTC)))
    for first in range(0, len(sent), 1_000):
        status, _ = await weir.post("/analytics/events", sent[first : first + 1_000])
        assert status == 202
    for prompt, platform in (
        ("Our new espresso blend is here", "instagram"),
        ("We are open on Sundays now", "x"),
        ("How we roast: a look behind the counter", "linkedin"),
    ):
        status, _ = await weir.post("/social/post", {"prompt": prompt, "platform": platform})
        assert status == 200

    async def there() -> bool:
        _, ledger = await weir.get("/api/user/usage")
        counts = await weir.summary()
        return len(ledger["items"]) >= 3 and sum(counts.values()) == len(sent)

    await weir.eventually(there)


def _one_of(chance: random.Random, weights: dict[str, int]) -> str:
    return chance.choices(list(weights), list(weights.values()))[0]
