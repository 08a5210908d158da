"""Dead letters on a terminal: what strangers wrote is never taken for its commands."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

# An item of the API's answers.
Item = Mapping[str, Any]

_DETAIL_CHARACTERS: Final = 80


def as_line(item: Item) -> str:
    """The item as one line of JSON, in ASCII without control characters."""
    # JSON escapes what is below 0x20; others that a terminal obeys are beyond ASCII.
    text = orjson.dumps(item).decode()
    return "".join(each if " " <= each <= "~" else _json_escape(each) for each in text)


def as_table(items: list[Any]) -> None:
    """Prints a row for each item."""
    table = Table(box=None, pad_edge=False)
    for title in ("id", "arrived", "topic", "offset", "reason", "state", "detail"):
        table.add_column(title, no_wrap=title != "detail", overflow="fold")
    for item in items:
        cells = (
            item["dead_letter_id"],
            item["arrived_at"],
            item["topic"],
            f"{item['partition']}:{item['offset']}",
            item["reason"],
            item["state"],
            escaped(item["detail"], _DETAIL_CHARACTERS),
        )
        # As text: brackets in it are no markup.
        table.add_row(*(Text(escaped(str(cell))) for cell in cells))
    console = Console(highlight=False)
    if not console.is_terminal:
        # In a file or pipe lines are not folded.
        console = Console(highlight=False, width=400)
    console.print(table)


def as_lines(letter: Item) -> Iterator[str]:
    """All of a letter, line by line; the payload last."""
    for name in letter:
        if name not in {"payload", "headers", "payload_truncated"} and letter[name] is not None:
            yield f"{name:16} {escaped(str(letter[name]))}"
    for name, value in letter["headers"]:
        yield f"{'header':16} {escaped(name)}: {escaped(value or '')}"
    yield ""
    if letter["payload"] is None:
        yield "(no value)"
    else:
        yield from (escaped(line) for line in letter["payload"].split("\n"))


def outcome_line(outcome: Item) -> str:
    """Why nothing was done about a letter."""
    error = outcome["error"]
    reason = f"{error['reason']}: " if error["reason"] else ""
    return f"{outcome['dead_letter_id']}  {escaped(reason + error['detail'])}"


def escaped(text: str, most: int | None = None) -> str:
    r"""`text` in printable characters, others as `\x1b`; cut to so many of them."""
    cut = text if most is None or len(text) <= most else text[:most] + "…"
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in cut
    )


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
