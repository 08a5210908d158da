"""Reads form bodies, in which clients send long parameters and external tables."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from deploy.local.clickhouse.errors import refusal

_URLENCODED: Final = re.compile(rb"(?:query|param_\w+|database|default_format|query_id)=")
_BOUNDARY: Final = re.compile(r'boundary="?([^";,]+)"?', re.IGNORECASE)
_NAME: Final = re.compile(rb'[; ]name="((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_FILE_NAME: Final = re.compile(rb"[; ]filename\*?=", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FormFile:
    """A file in a form: the data of an external table."""

    name: str
    data: bytes


def is_form(content_type: str, start: bytes) -> bool:
    """Whether a body with this type and these first bytes is a form.

    curl calls every body `application/x-www-form-urlencoded`, SQL too: such a body is a form
    only when it begins with a parameter that a form for ClickHouse can begin with.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return True
    return kind == "application/x-www-form-urlencoded" and _URLENCODED.match(start) is not None


def parse_form(content_type: str, body: bytes) -> tuple[dict[str, str], list[FormFile]]:
    """The fields and the files of a form. Raises ClickHouseError (36) for a broken one."""
    if content_type.lower().startswith("multipart/"):
        return _parse_multipart(content_type, body)
    pairs = parse_qsl(
        body.decode("utf-8", "surrogateescape"), keep_blank_values=True, errors="surrogateescape"
    )
    return dict(pairs), []


def _parse_multipart(content_type: str, body: bytes) -> tuple[dict[str, str], list[FormFile]]:
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise refusal(36, "BAD_ARGUMENTS", "The multipart form names no boundary.")
    delimiter = b"\r\n--" + boundary[1].encode("latin-1")
    parts = (b"\r\n" + body).split(delimiter)
    if len(parts) < 2 or not parts[-1].startswith(b"--"):
        raise refusal(36, "BAD_ARGUMENTS", "The multipart form ends before its last boundary.")
    fields: dict[str, str] = {}
    files: list[FormFile] = []
    for part in parts[1:-1]:
        head, separator, content = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if not separator or name is None:
            raise refusal(36, "BAD_ARGUMENTS", "A part of the multipart form has no name.")
        key = name[1].decode("utf-8", "surrogateescape")
        if _FILE_NAME.search(head):
            files.append(FormFile(key, content))
        else:
            fields[key] = content.decode("utf-8", "surrogateescape")
    return fields, files
