"""A local fake of OpenAI's HTTP API, which holds requests and answers against OpenAI's own types.

    python -m tests.openai_fake PORT DELAY

What it does is scripted by words in the prompt, such as `[429]`: see STEPS and ANSWERS. Each word
counts for the first call of a kind, in their order; calls without a word succeed. A word may be for
one kind only: `[picture:429]`.
"""

import asyncio
import re
import struct
import sys
import zlib
from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from time import monotonic, time
from typing import Any, Final, get_type_hints

import uvloop
from aiohttp import web
from openai.types import ImagesResponse
from openai.types.image_generate_params import ImageGenerateParamsNonStreaming
from openai.types.responses import Response
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter

KEY: Final = "sk-fake-0123456789"
SCRIPT: Final = re.compile(r"\[(?:(caption|picture):)?([a-z0-9_-]+)\]")
DRIP_SECONDS: Final = 0.02
DRIPS: Final = 1_000

PLAIN: Final = {"type", "title", "description"}
"""What a schema may say of a string to every model, also to one that was tuned."""

# Answers are JSON of any shape.
Json = Any


def _error(status: int, code: Json, headers: Mapping[str, str] | None = None) -> web.Response:
    body = {"error": {"message": "as scripted", "type": "fake", "param": None, "code": code}}
    return web.json_response(body, status=status, headers=headers)


STEPS: Final[dict[str, tuple[int, Json, dict[str, str]]]] = {
    "429": (429, "rate_limit_exceeded", {}),
    "429-after": (429, "rate_limit_exceeded", {"Retry-After": "1"}),
    "429-ms": (429, "rate_limit_exceeded", {"retry-after-ms": "20"}),
    "429-long": (429, "rate_limit_exceeded", {"Retry-After": "3600"}),
    "500": (500, None, {}),
    "503": (503, None, {}),
    "quota": (429, "insufficient_quota", {}),
    "blocked": (400, "moderation_blocked", {}),
    "bad-request": (400, "invalid_value", {}),
    "no-model": (404, "model_not_found", {}),
    "odd-error": (400, {"no": "code"}, {}),
}

ANSWERS: Final[dict[str, tuple[str, str]]] = {
    "html": ("text/html", "<html><body>Please log in to the network.</body></html>"),
    "html-as-json": ("application/json", "<html></html>"),
    "null": ("application/json", "null"),
    "list": ("application/json", "[]"),
    "empty": ("application/json", "{}"),
    "odd-shape": ("application/json", '{"output": "none", "data": {"no": "list"}, "usage": 7}'),
    "odd-parts": ("application/json", '{"output": [{"type": "message"}], "data": ["x"]}'),
}
"""Of status 200, and of no shape that OpenAI documents."""


@lru_cache(maxsize=16)
def a_png(width: int = 16, height: int = 16) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        checked = name + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = b"".join(b"\x00" + b"\x80" * width for _ in range(height))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


class FakeOpenAI:
    """Counts calls by prompt and kind, begun and finished, and when each began (monotonic)."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.begun: Counter[str] = Counter()
        self.finished: Counter[str] = Counter()
        self.began_at: defaultdict[str, list[float]] = defaultdict(list)
        self.wrong: list[str] = []
        self._requests = {
            "caption": _checker(ResponseCreateParamsNonStreaming),
            "picture": _checker(ImageGenerateParamsNonStreaming),
        }

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/responses", self._responses)
        app.router.add_post("/v1/images/generations", self._images)
        app.router.add_get("/calls", self._calls)
        return app

    def calls(self, kind: str, prompt: str) -> int:
        return self.begun[f"{kind} {prompt}"]

    async def _calls(self, _: web.Request) -> web.Response:
        return web.json_response(
            {"begun": self.begun, "finished": self.finished, "wrong": self.wrong}
        )

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        body = await self._checked(request, "caption")
        if trouble := _is_not_strict(body["text"]["format"]):
            self.wrong.append(f"caption: {trouble}")
            return _error(400, "invalid_json_schema")
        prompt = str(body["input"])
        scripted = await self._scripted(request, "caption", prompt)
        if isinstance(scripted, web.StreamResponse):
            return scripted
        text: Json = '{"caption": "Fresh from the fake #espresso"}'
        content: Json = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        document: Json = {
            "id": "resp_1",
            "object": "response",
            "created_at": time(),
            "model": body["model"],
            "status": "completed",
            "error": None,
            "incomplete_details": None,
            "instructions": body["instructions"],
            "metadata": {},
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "temperature": 1.0,
            "top_p": 1.0,
            "usage": {
                "input_tokens": 100,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": 40,
                "output_tokens_details": {"reasoning_tokens": 8},
                "total_tokens": 140,
            },
        }
        if scripted == "refusal":
            content = {"type": "refusal", "refusal": "I cannot help with that."}
        elif scripted == "bad-json":
            content["text"] = "{"
        elif scripted == "cut-off":
            content["text"] = '{"caption": "Fresh fr'
            document["status"] = "incomplete"
            document["incomplete_details"] = {"reason": "max_output_tokens"}
        elif scripted == "filtered":
            content["text"] = '{"caption": "Fresh fr'
            document["status"] = "incomplete"
            document["incomplete_details"] = {"reason": "content_filter"}
        elif scripted == "cached":
            details = {"cached_tokens": 20, "cache_write_tokens": 50}
            document["usage"]["input_tokens_details"] = details
        document["output"] = [
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [content],
            }
        ]
        Response.model_validate(document, strict=False)
        self.finished[f"caption {prompt}"] += 1
        _shorten_usage(document, scripted)
        return web.json_response(document)

    async def _images(self, request: web.Request) -> web.StreamResponse:
        body = await self._checked(request, "picture")
        prompt = str(body["prompt"]).split("The post is about: ", 1)[-1]
        scripted = await self._scripted(request, "picture", prompt)
        if isinstance(scripted, web.StreamResponse):
            return scripted
        width, height = map(int, body["size"].split("x"))
        content = a_png(0 if scripted == "odd-size" else width // 64, height // 64)
        data = b64encode(content).decode()
        document: Json = {
            "created": int(time()),
            "data": [{"b64_json": "???" if scripted == "bad-json" else data}],
            "output_format": "png",
            "size": body["size"],
            "quality": "medium",
            "usage": {
                "input_tokens": 30,
                "input_tokens_details": {"image_tokens": 0, "text_tokens": 30},
                "output_tokens": 400,
                "total_tokens": 430,
            },
        }
        ImagesResponse.model_validate(document)
        self.finished[f"picture {prompt}"] += 1
        _shorten_usage(document, scripted)
        return web.json_response(document)

    async def _checked(self, request: web.Request, kind: str) -> Json:
        body = await request.json()
        try:
            self._requests[kind](body)
        except ValueError as error:
            self.wrong.append(f"{kind}: {error}")
            raise web.HTTPBadRequest(text="{}", content_type="application/json") from None
        return body

    async def _scripted(
        self, request: web.Request, kind: str, prompt: str
    ) -> web.StreamResponse | str | None:
        number = self.begun[f"{kind} {prompt}"]
        self.begun[f"{kind} {prompt}"] += 1
        self.began_at[f"{kind} {prompt}"].append(monotonic())
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return _error(401, "invalid_api_key")
        words = [word for of, word in SCRIPT.findall(prompt) if of in {"", kind}]
        # `always` repeats the word before it.
        if "always" in words:
            words = [words[0]] * (number + 1)
        step = words[number] if number < len(words) else None
        if step in STEPS:
            return _error(*STEPS[step])
        if step in ANSWERS:
            content_type, text = ANSWERS[step]
            return web.Response(text=text, content_type=content_type)
        if step == "hang-up":
            if request.transport is not None:
                request.transport.abort()
            raise web.HTTPInternalServerError
        if step == "drip":
            return await _dripped(request)
        await asyncio.sleep(30 if step == "slow" else self.delay)
        if step == "cut":
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            response.content_type = "application/json"
            await response.prepare(request)
            await response.write(b'{"id": ')
            if request.transport is not None:
                request.transport.abort()
            return response
        return step


def _is_not_strict(form: Json) -> str | None:
    """Why no model, tuned or not, has to answer in this form (OpenAI's "Structured outputs")."""
    if form.get("type") != "json_schema" or form.get("strict") is not True:
        return "a form that is not strict"
    schema = form["schema"]
    if schema["additionalProperties"] is not False:
        return "more members than are described"
    if sorted(schema["required"]) != sorted(schema["properties"]):
        return "members that may be missing"
    if odd := {name for member in schema["properties"].values() for name in member} - PLAIN:
        return f"members that say {odd}"
    return None


def _shorten_usage(document: Json, scripted: str | None) -> None:
    if scripted == "no-usage":
        del document["usage"]
    elif scripted == "no-details":
        usage = document["usage"]
        document["usage"] = {name: usage[name] for name in usage if not name.endswith("_details")}


async def _dripped(request: web.Request) -> web.StreamResponse:
    """Never silent for long, and at no end for very long: JSON may begin with spaces."""
    response = web.StreamResponse(headers={"Content-Length": str(2 * DRIPS)})
    response.content_type = "application/json"
    await response.prepare(request)
    for _ in range(DRIPS):
        await response.write(b" ")
        await asyncio.sleep(DRIP_SECONDS)
    return response


def _checker(params: Any) -> Any:  # noqa: ANN401 # OpenAI's TypedDicts, which have no common type
    adapter = TypeAdapter(params)
    names = set(get_type_hints(params))

    def check(body: dict[str, object]) -> None:
        if unknown := set(body) - names:
            raise ValueError(f"unknown parameters {unknown}")
        adapter.validate_python(body)

    return check


@asynccontextmanager
async def served(fake: FakeOpenAI, port: int = 0) -> AsyncIterator[str]:
    """Serves the fake as long as the block runs; yields its base URL."""
    runner = web.AppRunner(
        fake.application(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True
    )
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, backlog=1024)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


async def _main(port: int, delay: float) -> None:
    async with served(FakeOpenAI(delay), port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    # What it costs is taken from the machine that is measured.
    uvloop.run(_main(int(sys.argv[1]), float(sys.argv[2])))
