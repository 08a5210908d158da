"""Reads request bodies: bounded in size, packed or not, JSON in UTF-8, no key twice."""

import json
import zlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, NoReturn

import orjson
from fastapi import Request
from starlette.requests import ClientDisconnect

from api.problems import FieldProblem, Problem, field_problem
from schemas.explanations import shown
from schemas.limits import MAX_METADATA_DEPTH, MAX_REQUEST_BYTES

MAX_GZIP_MEMBERS: Final = 64
"""Each costs a copy of what follows it; programs write one."""

_GZIP: Final = 16 + zlib.MAX_WBITS
_TOO_LARGE: Final = (
    f"the body is larger than {MAX_REQUEST_BYTES} bytes; send fewer events in one request"
)
_TOO_DEEP: Final = (
    f"metadata is nested far deeper than the {MAX_METADATA_DEPTH} levels it may have; flatten it"
)
_WHAT_TO_SEND: Final = "send one event as a JSON object, or several in an array"


def headers_of(request: Request) -> dict[bytes, bytes]:
    """The headers by name, in lower case; of a repeated one the last."""
    return dict(request.scope["headers"])


def media_type_of(headers: Mapping[bytes, bytes]) -> str:
    """What Content-Type says, in lower case and without parameters; '' when it says nothing."""
    return headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")


def refuse_all_but_json(headers: Mapping[bytes, bytes]) -> None:
    """Raises a 415 Problem for any Content-Type but JSON's; none at all is taken."""
    media_type = media_type_of(headers)
    if media_type not in {"application/json", ""}:
        raise field_problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "Content-Type",
            f"Content-Type {shown(media_type)!r} is not taken; send application/json",
        )


async def read_body(request: Request, headers: Mapping[bytes, bytes]) -> bytes:
    """The body's bytes, unpacked. Raises a Problem: 413 when too large, 415 for an encoding.

    400 when it is broken, or the client left before it had sent all of it: nobody reads that.
    """
    packed = _is_gzip(headers[b"content-encoding"]) if b"content-encoding" in headers else False
    body = await receive_body(request, headers, most=MAX_REQUEST_BYTES, too_large=_TOO_LARGE)
    return unpacked(body) if packed else body


async def receive_body(
    request: Request, headers: Mapping[bytes, bytes], *, most: int, too_large: str
) -> bytes:
    """The body's bytes as they were sent, `most` of them. Raises a Problem: 413 when it is larger.

    400 when the client left before it had sent all of it: nobody reads that.
    """
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length) > most:
        raise field_problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body", too_large)
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                raise field_problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body", too_large)
            chunks.append(chunk)
    except ClientDisconnect:
        raise Problem(HTTPStatus.BAD_REQUEST, "the connection ended within the body") from None
    return b"".join(chunks)


def _is_gzip(encoding: bytes) -> bool:
    name = encoding.strip().lower().decode("latin-1")
    if name in {"gzip", "x-gzip"}:
        return True
    if name in {"", "identity"}:
        return False
    detail = (
        f"Content-Encoding {shown(name)!r} is not taken; send gzip, or the body as it is, "
        "without this header"
    )
    raise Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        detail,
        errors=[FieldProblem(field="Content-Encoding", detail=detail)],
        headers={"Accept-Encoding": "gzip"},
    )


def unpacked(body: bytes) -> bytes:
    """What was packed with gzip, however many members it has.

    Raises a Problem: 413 as soon as it is larger than a body may be, 400 when it is broken.
    """
    pieces: list[bytes] = []
    left = MAX_REQUEST_BYTES
    for _ in range(MAX_GZIP_MEMBERS):
        member = zlib.decompressobj(_GZIP)
        try:
            piece = member.decompress(body, left + 1)
        except zlib.error as error:
            raise _broken_gzip(f"it is not gzip, or damaged ({error})") from None
        left -= len(piece)
        if left < 0:
            raise field_problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body", f"unpacked, {_TOO_LARGE}"
            )
        if not member.eof:
            raise _broken_gzip("it ends too early")
        pieces.append(piece)
        # Some programs fill up with zeros.
        body = member.unused_data.lstrip(b"\0")
        if not body:
            return b"".join(pieces)
    raise _broken_gzip(f"it has more than {MAX_GZIP_MEMBERS} members; pack it in one piece")


def _broken_gzip(what: str) -> Problem:
    return field_problem(
        HTTPStatus.BAD_REQUEST, "body", f"the body cannot be unpacked as gzip: {what}"
    )


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
