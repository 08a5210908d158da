"""Lists and series as JSON, or as CSV when that is what the client would rather have."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import orjson
from fastapi import Request, Response

from api.accept import preferred

CSV: Final = "text/csv"
_JSON: Final = "application/json"

CSV_DOCUMENTED: Final[dict[str, object]] = {
    "description": "JSON, or CSV with `Accept: text/csv`: a header line, then a line for each item",
    "content": {CSV: {"schema": {"type": "string"}}},
}


def table_response(
    request: Request,
    document: Mapping[str, object],
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The document as JSON, or the rows under the columns' names as CSV (RFC 4180, UTF-8).

    In CSV None is an empty field, and text is as it is: what a spreadsheet takes for a formula
    is for its reader to import as text.
    """
    vary = {"Vary": "Accept", **(headers or {})}
    if preferred(request, (_JSON, CSV)) == _JSON:
        return Response(orjson.dumps(document), media_type=_JSON, headers=vary)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([[_cell(value) for value in row] for row in rows])
    return Response(text.getvalue(), media_type=f"{CSV}; charset=utf-8", headers=vary)


def _cell(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value
