"""What `weir generate` shows: a spinner on a terminal while a post is made, then what became."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO
from unicodedata import category

from deploy.access_log.shown import shown
from deploy.edge_client import Json

_CAPTION_CHARACTERS: Final = 60
# What joins emojis and letters; a terminal only draws them otherwise.
_JOINERS: Final = frozenset("\u200c\u200d")

_STATES: Final = {"queued": "waiting for its turn", "generating": "being made"}


@contextmanager
def spinner_on(stream: TextIO) -> Iterator[Callable[[Json], None]]:
    """Told the post whenever it may have changed; shows nothing where `stream` is no terminal."""
    if not stream.isatty() or os.environ.get("TERM") in (None, "", "dumb"):
        yield lambda _: None
        return
    # rich is a tenth of a second to import, and only a terminal needs it.
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(file=stream), transient=True) as progress:
        task = progress.add_task("asking Weir")
        yield lambda post: progress.update(task, description=_state_line(post))


def _state_line(post: Json) -> str:
    line = _STATES.get(post["state"], shown(post["state"]))
    caption = post.get("caption")
    if not caption:
        return line
    start = shown(" ".join(str(caption).split())[:_CAPTION_CHARACTERS])
    return f"{line}: {start}…"


def result_lines(post: Json, files: Sequence[Path]) -> Iterator[str]:
    """Each caption, an empty line, its picture's path."""
    for variant, file in zip(post["variants"], files, strict=True):
        if variant is not post["variants"][0]:
            yield ""
        yield from (printable(line) for line in str(variant["caption"]).split("\n"))
        yield ""
        yield printable(str(file))


def remark(post: Json) -> str | None:
    """What else is to be known of a post that is done."""
    said = []
    if post.get("stub"):
        said.append("made by the stub, without OpenAI: set OPENAI_API_KEY for real posts")
    if post.get("credits_refunded"):
        said.append(f"{shown(_why(post))}; {refunded(post)}")
    return ". ".join(said) or None


def failure(post: Json) -> str:
    """Why a post failed, and what it cost."""
    return f"the post failed: {printable(_why(post))}; {refunded(post)}"


def refunded(post: Json) -> str:
    """What was given back, or that nothing was charged."""
    if not post.get("credits_charged"):
        return "nothing was charged"
    count = int(post.get("credits_refunded") or 0)
    if not count:
        return "nothing is given back"
    return "1 credit is given back" if count == 1 else f"{count} credits are given back"


def printable(text: str) -> str:
    r"""One line, whole: what a terminal would obey as `\x1b`; spaces and joiners stay."""
    return "".join(
        each
        if each.isprintable() or each in _JOINERS or category(each) == "Zs"
        else each.encode("unicode_escape").decode()
        for each in text
    )


def _why(post: Json) -> str:
    return str(post.get("detail") or post.get("reason") or "no reason is given").rstrip(".")
