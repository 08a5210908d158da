"""Fenced blocks of documents: what may be run of them, and whether an output looks as it says.

The word behind a block's language says what it is: `run`, or `needs-…` with what it needs that no
test has. GitHub shows neither.
"""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

RUN: Final = "run"

RUNNABLE: Final = frozenset({"sh", "console", "python", "sql"})
"""Languages of which every block says whether it is run."""

_FENCE: Final = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
_PROMPT: Final = "$ "
_UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# What is another each time: what is cut short, ids, and whatever has a digit in it.
_VARIES: Final = re.compile(
    rf"(?P<cut>[\w.-]*…)|(?P<id>{_UUID})|(?P<number>\w*\d[\w.,:-]*)|(?P<space>\s+)"
)
_LIKE_IT: Final = {
    "cut": r".*",
    "id": _UUID,
    "number": r"\w*\d[\w.,:-]*",
    "space": r"\s+",
}

# JSON of any shape, as documents show it.
Json = Any


@dataclass(frozen=True, slots=True)
class Step:
    """One command as it is written, and the output that the document shows for it, if any."""

    command: str
    output: str | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: where it begins, its language, the word behind it, and its text."""

    document: Path
    line: int
    language: str
    word: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.document.name}:{self.line}"

    def steps(self) -> list[Step]:
        """The commands in their order; all but those of a console are one."""
        if self.language != "console":
            return [Step(self.text)]
        return list(_typed(self.text.splitlines()))


def blocks(document: Path) -> Iterator[Block]:
    """The document's fenced blocks, in order."""
    text = document.read_text()
    for fence in _FENCE.finditer(text):
        language, _, word = fence["info"].partition(" ")
        line = text.count("\n", 0, fence.start()) + 1
        yield Block(document, line, language, word.strip(), fence["text"])


def _typed(lines: list[str]) -> Iterator[Step]:
    command: list[str] = []
    output: list[str] = []
    for line in lines:
        if line.startswith(_PROMPT):
            if command:
                yield Step("\n".join(command), "\n".join(output))
            command, output = [line.removeprefix(_PROMPT)], []
        elif _goes_on("\n".join(command)):
            command.append(line)
        else:
            output.append(line)
    yield Step("\n".join(command), "\n".join(output))


def _goes_on(command: str) -> bool:
    """Whether a shell would wait for more: for the end of a quotation, or of a line."""
    if command.endswith("\\"):
        return True
    try:
        shlex.split(command)
    except ValueError:
        return True
    return False


def looks_like(shown: str, actual: str) -> bool:
    """Whether an output is of the shape that a document shows.

    JSON: the same members all through; words are the same, what has a digit in it may be another.
    Anything else: the same text but for what has a digit in it, spaces, and what `…` stands for.
    """
    try:
        return _alike(json.loads(shown), json.loads(actual))
    except ValueError:
        return re.fullmatch(_pattern(shown.strip()), actual.strip(), re.DOTALL) is not None


def _alike(shown: Json, actual: Json) -> bool:
    match shown:
        case dict():
            return (
                isinstance(actual, dict)
                and actual.keys() == shown.keys()
                and all(_alike(value, actual[name]) for name, value in shown.items())
            )
        case list():
            return (
                isinstance(actual, list)
                and bool(actual) == bool(shown)
                and all(_alike(*pair) for pair in zip(shown, actual, strict=False))
            )
        case str() if re.search(r"\d", shown):
            return isinstance(actual, str)
        case bool() | str() | None:
            return bool(actual == shown)
        case _:
            return isinstance(actual, int | float) and not isinstance(actual, bool)


def _pattern(shown: str) -> str:
    parts: list[str] = []
    end = 0
    for found in _VARIES.finditer(shown):
        parts.append(re.escape(shown[end : found.start()]))
        parts.append(_LIKE_IT[found.lastgroup or ""])
        end = found.end()
    return "".join([*parts, re.escape(shown[end:])])
