"""Asks the API for a social post, and follows it until it is done or failed."""

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final

from deploy.edge_client import EdgeClient, Json, NoAnswer, Refused

_ENDED: Final = frozenset({"done", "failed"})

# Often at first, when most posts of the stub are done; later far below a user's rate limit.
_SOON_SECONDS: Final = 0.2
_LATER_SECONDS: Final = 1.0
_SOON_FOR_SECONDS: Final = 5.0

UNKNOWN_SECONDS: Final = 10.0
"""Another API process than the one that was asked may know a post so much later."""

_LATER_STATUSES: Final = frozenset({429, 503})


class StillGoing(Exception):
    """The post did not end in time; the message says what kept it, as far as it is known."""


async def asked_for(client: EdgeClient, document: Mapping[str, Json], key: str) -> Json:
    """The post that was asked for, under a key: again with the same one it is the same post.

    Raises NoAnswer or Refused.
    """
    headers = {"Idempotency-Key": key, "Prefer": "respond-async"}
    return _post(await client.post("/social/post", dict(document), headers))


async def followed(
    client: EdgeClient, post: Json, report: Callable[[Json], None], *, seconds: float
) -> Json:
    """The post when it is done or failed; `report` is told what it is until then.

    Raises StillGoing after so many seconds. Raises Refused for what waiting does not mend.
    """
    began = monotonic()
    path = f"/social/posts/{post['id']}"
    problem = "it is not done yet"
    try:
        async with asyncio.timeout(seconds):
            while post["state"] not in _ENDED:
                report(post)
                waited = monotonic() - began
                await asyncio.sleep(_SOON_SECONDS if waited < _SOON_FOR_SECONDS else _LATER_SECONDS)
                try:
                    post = _post(await client.get(path))
                    problem = "it is not done yet"
                except NoAnswer as error:
                    problem = str(error)
                except Refused as error:
                    is_early = error.status == 404 and monotonic() - began < UNKNOWN_SECONDS
                    if error.status not in _LATER_STATUSES and not is_early:
                        raise
                    problem = str(error)
    except TimeoutError:
        raise StillGoing(problem) from None
    return post


def _post(document: Json) -> Json:
    if not isinstance(document.get("id"), str) or not isinstance(document.get("state"), str):
        raise NoAnswer("what answers there has no social posts. Set --url or WEIR_URL.")
    return document
