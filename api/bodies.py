"""Reads request bodies: bounded in size, JSON in UTF-8, no key twice."""

import json
from http import HTTPStatus
from typing import Final, NoReturn

import orjson
from fastapi import Request
from starlette.requests import ClientDisconnect

from api.problems import Problem, field_problem
from schemas.explanations import shown
from schemas.limits import MAX_METADATA_DEPTH, MAX_REQUEST_BYTES

_JSON_TYPES: Final = ("application/json", "")
_TOO_LARGE: Final = (
    f"the body is larger than {MAX_REQUEST_BYTES} bytes; send fewer events in one request"
)
_TOO_DEEP: Final = (
    f"metadata is nested far deeper than the {MAX_METADATA_DEPTH} levels it may have; flatten it"
)
_WHAT_TO_SEND: Final = "send one event as a JSON object, or several in an array"


async def read_json_body(request: Request) -> bytes:
    """The body's bytes. Raises a Problem: 413 when too large, 415 when it is not JSON.

    400 when the client left before it had sent all of it: nobody reads that answer.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in _JSON_TYPES:
        raise field_problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "Content-Type",
            f"Content-Type {shown(content_type)!r} is not taken; send application/json",
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise field_problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "Content-Encoding",
            "no Content-Encoding is taken; send the JSON as it is",
        )
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > MAX_REQUEST_BYTES:
        raise field_problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body", _TOO_LARGE)
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > MAX_REQUEST_BYTES:
                raise field_problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body", _TOO_LARGE)
            chunks.append(chunk)
    except ClientDisconnect:
        raise Problem(HTTPStatus.BAD_REQUEST, "the connection ended within the body") from None
    return b"".join(chunks)


def parse_json(body: bytes) -> object:
    """The JSON value. Raises a Problem: 400 for what is not JSON, or names a key twice."""
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _not_json(body, error) from None
    try:
        written = orjson.dumps(value)
    except orjson.JSONEncodeError:
        # It reads 1,024 levels and writes 254; nothing but metadata may be nested at all.
        raise field_problem(HTTPStatus.UNPROCESSABLE_ENTITY, "metadata", _TOO_DEEP) from None
    # A key given twice is lost in parsing, and its colon with it: 1 µs, where looking at each
    # pair costs 10. Escaped colons would hide it, so bodies with \u escapes are looked at.
    if body.count(b":") != written.count(b":") or b"\\u" in body:
        json.loads(body, object_pairs_hook=_without_duplicates)
    return value


def _not_json(body: bytes, error: orjson.JSONDecodeError) -> Problem:
    if not body:
        problem = f"the body is empty; {_WHAT_TO_SEND}"
    elif error.msg.startswith("depth limit"):
        return field_problem(HTTPStatus.UNPROCESSABLE_ENTITY, "metadata", _TOO_DEEP)
    else:
        try:
            body.decode()
        except UnicodeDecodeError as not_utf8:
            where = f"byte {not_utf8.start + 1}"
            problem = f"the body is not UTF-8 at {where}; encode the JSON as UTF-8"
        else:
            problem = f"the body is not JSON: {error}; {_WHAT_TO_SEND}"
    return field_problem(HTTPStatus.BAD_REQUEST, "body", problem)


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                _refuse(key)
            seen.add(key)
    return result


def _refuse(key: str) -> NoReturn:
    name = shown(key)
    raise field_problem(
        HTTPStatus.BAD_REQUEST, name, f"{name} is given twice in one object; give it once"
    )
