"""A rate limit as a setting names it; apart from what counts, so that settings load without it."""

from typing import Final

from limits import RateLimitItem, parse_many

_MAX_AMOUNT: Final = 1_000_000_000
_MAX_SECONDS: Final = 86_400


def limit_of(text: str) -> RateLimitItem | None:
    """The limit that a setting names, such as `600/minute` or `50/10 seconds`; None for none.

    Raises ValueError, which says what one looks like.
    """
    if not text.strip():
        return None
    try:
        [limit] = parse_many(text)
        fits = 0 < limit.amount <= _MAX_AMOUNT and limit.get_expiry() <= _MAX_SECONDS
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            "must look like 600/minute or 50/10 seconds, over a day at most; empty for no limit"
        )
    return limit
