"""Asks a running Weir's API for commands: where it is, and its answers or why there are none."""

import re
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

import aiohttp
import typer
from pydantic import AfterValidator, Field, SecretStr

from schemas.settings import Settings

# Answers are JSON of any shape; commands know the shape of theirs.
Json = Any

SECONDS: Final = 30.0
MAX_CONTENT_BYTES: Final = 64 << 20


def _sendable(token: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]*", token.get_secret_value()):
        raise ValueError("must be a token or an API key alone, without spaces and line breaks")
    return token


class EdgeSettings(Settings):
    """Where the Weir of this machine is, and who asks it."""

    api_port: int = Field(8000, alias="WEIR_API_PORT", ge=1, le=65535)
    token: Annotated[SecretStr, AfterValidator(_sendable)] = Field(
        SecretStr(""), alias="WEIR_TOKEN", description="The token or API key that commands send."
    )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"


def authorization(token: SecretStr) -> dict[str, str]:
    """The headers that send a token; none for an empty one."""
    secret = token.get_secret_value()
    return {"Authorization": f"Bearer {secret}"} if secret else {}


class NoAnswer(Exception):
    """What answers there is not Weir, or nothing does; the message says what to do.

    `in_doubt`: the question may have reached Weir all the same.
    """

    def __init__(self, problem: str, *, in_doubt: bool = False) -> None:
        super().__init__(problem)
        self.in_doubt = in_doubt


class Refused(Exception):
    """The API's own problem document: its status and its sentence."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def checked_url(url: str) -> str:
    """The address, as it was given. Raises typer.BadParameter for what is none."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fits = False
    if not fits or parts.query or parts.fragment or "@" in parts.netloc:
        raise typer.BadParameter(
            "must look like http://127.0.0.1:8000 (no user, no query).",
            param_hint="--url, WEIR_URL",
        )
    return url.rstrip("/")


class EdgeClient:
    """One session with the API. Every request raises NoAnswer or Refused."""

    def __init__(self, url: str, token: SecretStr) -> None:
        """`token` is sent with each request unless it is empty."""
        self._url = url
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=SECONDS), headers=authorization(token)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def get(self, path: str, parameters: Mapping[str, str] | None = None) -> Json:
        """The document at a path."""
        return await self._ask("GET", path, parameters)

    async def post(
        self, path: str, document: Json, headers: Mapping[str, str] | None = None
    ) -> Json:
        """The answer to a document."""
        return await self._ask("POST", path, document=document, headers=headers)

    async def put(
        self, path: str, document: Json, headers: Mapping[str, str] | None = None
    ) -> Json:
        """The answer to a document that takes the place of what is there."""
        return await self._ask("PUT", path, document=document, headers=headers)

    async def content(self, url: str) -> bytes:
        """What lies at an address that Weir named; the token goes along to Weir itself alone."""
        try:
            is_weirs = urlsplit(url)[:2] == urlsplit(self._url)[:2]
            async with AsyncExitStack() as stack:
                session = self._session
                if not is_weirs:
                    session = await stack.enter_async_context(
                        aiohttp.ClientSession(timeout=self._session.timeout)
                    )
                answer = await stack.enter_async_context(session.get(url, allow_redirects=False))
                content = bytearray()
                async for piece in answer.content.iter_chunked(1 << 16):
                    content += piece
                    if len(content) > MAX_CONTENT_BYTES:
                        raise NoAnswer("what lies there is too large")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise NoAnswer(f"nothing answers there ({type(error).__name__})") from None
        if answer.status != 200:
            raise Refused(answer.status, f"the answer is status {answer.status}")
        return bytes(content)

    async def _ask(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str] | None = None,
        document: Json = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        status = 0
        try:
            async with self._session.request(
                method,
                self._url + path,
                params=parameters,
                json=document,
                headers=headers,
                # A token goes to no other address.
                allow_redirects=False,
            ) as answer:
                status = answer.status
                body = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NoAnswer(
                f"nothing answers at {self._url} ({type(error).__name__}). "
                "Is Weir running? Set --url or WEIR_URL.",
                in_doubt=not isinstance(error, aiohttp.ClientConnectorError),
            ) from None
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise NoAnswer(
                f"what answers at {self._url} is not Weir. Set --url or WEIR_URL.",
                # Of what stands before Weir, and may have asked it.
                in_doubt=status >= 500,
            )
        if status >= 300:
            raise Refused(status, str(body.get("detail", f"status {status}")))
        return body
