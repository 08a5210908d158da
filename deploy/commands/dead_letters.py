"""`weir dead-letters`: lists, shows, replays and discards messages that could not be used."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from deploy.edge_answers import EXIT_FAILED, EXIT_TRY_AGAIN, Url, asked, fail

if TYPE_CHECKING:
    from deploy.edge_client import EdgeClient, Json

_PAGE = 1_000

_Result = TypeVar("_Result")

dead_letters = typer.Typer(
    help="List, show, replay and discard messages that could not be used.", no_args_is_help=True
)

Ids = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="Dead letters.", show_default=False)
]
Topic = Annotated[str | None, typer.Option(help="Only messages of this topic.", show_default=False)]
Reason = Annotated[
    str | None, typer.Option(help="Only those with this reason.", show_default=False)
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Only messages that arrived then or later, such as 2026-11-24T09:30:00Z.",
        show_default=False,
    ),
]
Until = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Only messages that arrived before.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, a line for each.")]
All = Annotated[
    bool,
    typer.Option("--all", help="All open ones that match the filters, instead of ids."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dead_letters.command("list")
def list_(
    topic: Topic = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    state: Annotated[
        Literal["open", "replayed", "discarded", "all"],
        typer.Option(help="Only those about which this was done."),
    ] = "open",
    limit: Annotated[int, typer.Option(min=1, help="How many at most, newest first.")] = 50,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first.

    \b
    Ends with
      0    they are listed
      1    the API refused the question
      69   what answers there is not Weir
      75   Weir cannot answer now
    """
    from deploy.dead_letters_shown import as_line, as_table

    parameters = _filters(topic, reason, since, until) | {"state": state}

    async def listed(client: "EdgeClient") -> "list[Json]":
        items: list[Json] = []
        cursor: dict[str, str] = {}
        while len(items) < limit:
            size = {"limit": str(min(_PAGE, limit - len(items)))}
            page = await client.get("/dead-letters", {**parameters, **size, **cursor})
            items += page["items"]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        return items

    items = _asked(url, listed)
    if as_json:
        for item in items:
            typer.echo(as_line(item))
    elif items:
        as_table(items)
    else:
        typer.echo("There are none.")


@dead_letters.command()
def show(
    dead_letter_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter, whole. Control characters are written as escapes."""
    from deploy.dead_letters_shown import as_line, as_lines

    letter = _asked(url, lambda client: client.get(f"/dead-letters/{_quoted(dead_letter_id)}"))
    for line in [as_line(letter)] if as_json else as_lines(letter):
        typer.echo(line)


@dead_letters.command()
def replay(
    ids: Ids = None,
    every: All = False,
    topic: Topic = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Send dead letters again, as the events they are by today's rules.

    Each counts once, however often it is replayed.

    \b
    Ends with
      0    all were replayed
      1    some were not, and why is said
      69   what answers there is not Weir
      75   Weir cannot do it now: run it again, nothing counts twice
    """
    _act("replay", ids, every, _filters(topic, reason, since, until), url, yes, as_json)


@dead_letters.command()
def discard(
    ids: Ids = None,
    every: All = False,
    topic: Topic = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Take dead letters from the list of open ones; nothing is deleted.

    \b
    Ends with
      0    all were discarded
      1    some were not, and why is said
      69   what answers there is not Weir
      75   Weir cannot do it now: run it again
    """
    _act("discard", ids, every, _filters(topic, reason, since, until), url, yes, as_json)


def _act(
    action: Literal["replay", "discard"],
    ids: list[str] | None,
    every: bool,  # noqa: FBT001 # options of the command line
    filters: dict[str, str],
    url: str | None,
    yes: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    from deploy.dead_letters_shown import as_line, outcome_line

    if bool(ids) == every or (ids and filters):
        raise typer.BadParameter("name ids, or --all with or without filters.")
    if not yes:
        said = f"{len(ids)} dead letters" if ids else _in_words(filters)
        typer.confirm(f"{action.capitalize()} {said}?", abort=True, err=True)

    def report(answer: "Json") -> None:
        for item in answer["items"]:
            if as_json:
                typer.echo(as_line(item))
            elif item["status"] == "failed":
                typer.echo(outcome_line(item), err=True)

    done, failed, again = _asked(url, lambda client: _steps(client, action, ids, filters, report))
    past = "replayed" if action == "replay" else "discarded"
    typer.echo(f"{done:,} {past}, {failed:,} not", err=as_json)
    if again:
        fail(
            "dead-letters",
            EXIT_TRY_AGAIN,
            "Weir cannot do all of it now. Run it again: nothing counts twice.",
        )
    raise typer.Exit(EXIT_FAILED if failed else 0)


async def _steps(
    client: "EdgeClient",
    action: str,
    ids: list[str] | None,
    filters: dict[str, str],
    report: "Callable[[Json], None]",
) -> tuple[int, int, bool]:
    """How many were done and how many not, and whether it was for now that some were not."""
    done = failed = 0
    cursor: str | None = None
    left = list(ids or [])
    while True:
        if left:
            selection: dict[str, Any] = {"ids": left[:_PAGE]}
            left = left[_PAGE:]
        else:
            selection = {"filters": filters, "limit": _PAGE, "cursor": cursor}
        answer = await client.post(f"/dead-letters/{action}", selection)
        report(answer)
        done += answer["done"]
        failed += answer["failed"]
        cursor = answer["next_cursor"]
        if any(item["error"] and item["error"]["status"] == 503 for item in answer["items"]):
            return done, failed, True
        if not left and cursor is None:
            return done, failed, False


def _filters(
    topic: str | None, reason: str | None, since: str | None, until: str | None
) -> dict[str, str]:
    given = {"topic": topic, "reason": reason, "from": since, "to": until}
    return {name: value for name, value in given.items() if value is not None}


def _in_words(filters: dict[str, str]) -> str:
    said = ", ".join(f"{name} {value}" for name, value in filters.items())
    return f"all open dead letters with {said}" if said else "ALL open dead letters"


def _asked(url: str | None, question: "Callable[[EdgeClient], Awaitable[_Result]]") -> _Result:
    return asked("dead-letters", url, question)


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")
