"""Where a page of a list ended, as a text for the client to send back."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import asdict, astuple, dataclass
from http import HTTPStatus
from typing import Final

import orjson
from fastapi import Request

from api.analytics.ranges import LATEST, epoch_ms
from api.problems import field_problem

MAX_CURSOR_CHARACTERS: Final = 512


@dataclass(frozen=True, slots=True)
class Cursor:
    """The key of a page's last row: its time, and the message that it was made of."""

    ms: int
    topic: str
    partition: int
    incarnation: int
    offset: int

    def text(self) -> str:
        return urlsafe_b64encode(orjson.dumps(astuple(self))).decode().rstrip("=")

    def parameters(self, prefix: str = "cursor") -> dict[str, object]:
        """What a question binds: `cursor_ms`, `cursor_topic` and so on."""
        return {f"{prefix}_{name}": value for name, value in asdict(self).items()}


FIRST_PAGE: Final = Cursor(epoch_ms(LATEST, LATEST), "~", 0, 0, 0)
"""Behind every row; "~" sorts after every topic's name."""


def parse_cursor(text: str) -> Cursor:
    """The cursor of a page. Raises a 422 Problem for one that this API did not make."""
    padded = text + "=" * (-len(text) % 4)
    try:
        match orjson.loads(urlsafe_b64decode(padded[:MAX_CURSOR_CHARACTERS])):
            case [
                int() as ms,
                str() as topic,
                int() as partition,
                int() as incarnation,
                int() as offset,
            ] if (
                bool not in {type(ms), type(partition), type(incarnation), type(offset)}
                and 0 <= ms <= FIRST_PAGE.ms
                and 0 <= partition < 1 << 16
                and 0 <= incarnation < 1 << 32
                and 0 <= offset < 1 << 63
            ):
                return Cursor(ms, topic, partition, incarnation, offset)
    except (orjson.JSONDecodeError, Base64Error, ValueError):
        pass
    raise field_problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "cursor",
        "cursor is not one of ours; take next_cursor from the page before, or leave it out",
    )


def next_page_link(request: Request, cursor: str | None) -> dict[str, str]:
    """The header `Link` (RFC 8288) that names the next page, when there is one."""
    if cursor is None:
        return {}
    # Without host: what a proxy in front is called is not known here.
    url = request.url.include_query_params(cursor=cursor)
    return {"Link": f'<{url.path}?{url.query}>; rel="next"'}
