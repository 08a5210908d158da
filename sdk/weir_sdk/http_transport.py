"""Delivers batches to Weir's edge over HTTP."""

import zlib
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import orjson

from weir_sdk.messages import Message
from weir_sdk.transport import Outcome, Refused, Rejection, Unavailable

REQUEST_TIMEOUT: Final = 5.0
_GZIP_WINDOW: Final = 31
_GZIP_LEVEL: Final = 2
_CONNECT_SECONDS: Final = 3.0
_MAX_ANSWER_BYTES: Final = 4_194_304
_KEEP_ALIVE_SECONDS: Final = 30
_ADVICE: Final = {
    401: "check the write key",
    403: "check the write key",
    404: "check the URL: it is that of Weir's API, without /analytics/events",
    413: "a proxy before Weir takes less than Weir does; make batch_size smaller",
}


class HttpTransport:
    """`POST /analytics/events` with arrays of events, compressed by gzip.

    `url` is that of Weir's API, `request_timeout` (seconds) bounds one attempt. A Weir that does
    not take gzip is sent JSON as it is from then on.
    """

    def __init__(
        self,
        url: str,
        write_key: str | None = None,
        *,
        compress: bool = True,
        request_timeout: float = REQUEST_TIMEOUT,
    ) -> None:
        """Raises ValueError for what is no http(s) URL, or carries a password."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("url must be that of Weir's API, such as https://weir.example.com")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("url must be without a password, query and fragment; give write_key")
        self._url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/analytics/events"
        self._headers = {"Content-Type": "application/json", "User-Agent": "weir-sdk"}
        if write_key:
            self._headers["Authorization"] = f"Bearer {write_key}"
        self._compress = compress
        self._timeout = aiohttp.ClientTimeout(
            total=request_timeout, sock_connect=min(_CONNECT_SECONDS, request_timeout)
        )
        self._session: aiohttp.ClientSession | None = None
        self._inherited: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        # After a fork the session is the parent's. Closing it, as its end would, is not ours.
        self._inherited = self._session
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=8, keepalive_timeout=_KEEP_ALIVE_SECONDS),
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def stop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(self, batch: Sequence[Message]) -> Outcome:
        body = b"[" + b",".join([message.body for message in batch]) + b"]"
        status, headers, answer = await self._post(body)
        if status == 415 and self._compress:
            self._compress = False
            status, headers, answer = await self._post(body)
        match status:
            case 202:
                return _accepted(answer, len(batch))
            case 422 if (rejected := _rejected(answer)) is not None:
                return Outcome(rejected)
            case 408 | 425 | 429:
                raise Unavailable(f"Weir answered {status}", retry_after=_seconds(headers))
            case _ if status >= 500:
                # It may have published them before it failed.
                raise Unavailable(
                    f"Weir answered {status}", in_doubt=True, retry_after=_seconds(headers)
                )
            case _:
                advice = _ADVICE.get(status) or _detail(answer)
                raise Refused(f"Weir answered {status}; {advice}")

    async def _post(self, body: bytes) -> tuple[int, str | None, bytes]:
        if self._session is None:
            raise Unavailable("the transport is not started")
        headers = self._headers
        if self._compress:
            compressor = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_WINDOW)
            body = compressor.compress(body) + compressor.flush()
            headers = {**headers, "Content-Encoding": "gzip"}
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                content = await answer.content.read(_MAX_ANSWER_BYTES)
                while not answer.content.at_eof() and len(content) < _MAX_ANSWER_BYTES:
                    content += await answer.content.read(_MAX_ANSWER_BYTES)
                return answer.status, answer.headers.get("Retry-After"), content
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Unavailable(f"Weir cannot be reached ({type(error).__name__})") from None
        except TimeoutError:
            raise Unavailable("Weir did not answer in time", in_doubt=True) from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(
                f"the connection to Weir broke ({type(error).__name__})", in_doubt=True
            ) from None


def _parsed(answer: bytes) -> dict[str, object]:
    try:
        document = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _accepted(answer: bytes, count: int) -> Outcome:
    document = _parsed(answer)
    if document.get("accepted") == count:
        return Outcome()
    rejected = _rejected(answer)
    if rejected is None or document.get("accepted") != count - len(rejected):
        raise Refused("what answers at the URL is not Weir; check the URL")
    return Outcome(rejected)


def _rejected(answer: bytes) -> tuple[Rejection, ...] | None:
    """The rejected items, or None when the answer lists no items."""
    items = _parsed(answer).get("items")
    if not isinstance(items, list):
        return None
    found = []
    for item in items:
        if isinstance(item, dict) and item.get("status") == "rejected":
            error = item.get("error")
            error = error if isinstance(error, dict) else {}
            found.append(
                Rejection(
                    int(item["index"]), str(error.get("field", "")), str(error.get("detail", ""))
                )
            )
    return tuple(found)


def _detail(answer: bytes) -> str:
    return str(_parsed(answer).get("detail", "it gave no reason"))[:200]


def _seconds(header: str | None) -> float | None:
    """Retry-After in seconds; a date, which Weir never sends, counts as absent."""
    return float(header) if header and header.isascii() and header.isdigit() else None
