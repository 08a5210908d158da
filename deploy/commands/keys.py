"""`weir keys`: creates, lists and revokes API keys."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from schemas.api_keys import ApiKey
    from schemas.servers import KafkaSettings

# sysexits.h, as `weir dead-letters` uses them.
EXIT_FAILED = 1
EXIT_TRY_AGAIN = 75

_Result = TypeVar("_Result")

keys = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, a line for each.")]


@keys.command()
def create(
    kind: Annotated[
        Literal["write", "read"],
        typer.Option(help="A write key sends events, a read key asks questions about them."),
    ],
    name: Annotated[str, typer.Option(help="Who has it, for the list: up to 100 characters.")],
    as_json: AsJson = False,
) -> None:
    """Create a key and print it, this once: only its hash is kept.

    \b
    Ends with
      0    the key is on the output, what to do with it beside it
      1    it cannot be created
      75   Kafka cannot be asked now
    """
    from deploy.api_keys import write_key
    from schemas.api_keys import create_key

    try:
        presented, key = create_key(kind, name, datetime.now(UTC))
    except ValueError:
        raise typer.BadParameter("must be 1 to 100 printable characters.") from None
    _asked(lambda kafka: write_key(kafka, key))
    if as_json:
        typer.echo(_line(_item(key) | {"key": presented}))
        return
    typer.echo(f"{key.key_id} is a {kind} key. It is shown this once:", err=True)
    typer.echo(presented)
    typer.echo("Send it with each request as `Authorization: Bearer …`.", err=True)


@keys.command("list")
def list_(as_json: AsJson = False) -> None:
    """List all keys, oldest first, with when each was used last: to a minute or two.

    \b
    Ends with
      0    they are listed
      1    they cannot be listed
      75   Kafka cannot be asked now
    """
    from deploy.api_keys import read_keys

    listing = _asked(read_keys)
    items = [
        _item(key) | {"last_used_at": _written(listing.last_used.get(key.key_id))}
        for key in sorted(listing.keys.values(), key=lambda key: (key.created_at, key.key_id))
    ]
    if as_json:
        for item in items:
            typer.echo(_line(item))
    elif items:
        _print_table(items)
    else:
        typer.echo("There are none.")


@keys.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)]) -> None:
    """Revoke a key for ever. Within 5 s no API process takes it any more.

    \b
    Ends with
      0    it is revoked
      1    there is none with this id, or it was revoked before
      75   Kafka cannot be asked now: run it again
    """
    from deploy.api_keys import read_keys, write_key

    key = _asked(read_keys).keys.get(key_id)
    if key is None:
        _fail(EXIT_FAILED, f"there is no key {key_id!r}; `weir keys list` lists those there are")
    if key.revoked_at is not None:
        _fail(EXIT_FAILED, f"{key_id} was revoked at {_written(key.revoked_at)}")
    revoked = key.model_copy(update={"revoked_at": datetime.now(UTC)})
    _asked(lambda kafka: write_key(kafka, revoked))
    typer.echo(f"revoked {key_id} ({key.name})")


def _asked(question: "Callable[[KafkaSettings], Coroutine[None, None, _Result]]") -> _Result:
    """What Kafka answers; when it does not, the process ends and says why."""
    from deploy.api_keys import KafkaAway, TopicsMissing
    from schemas.servers import KafkaSettings
    from schemas.settings import read_settings_or_exit

    settings = read_settings_or_exit(KafkaSettings)
    try:
        return asyncio.run(question(settings))
    except TopicsMissing as error:
        _fail(EXIT_FAILED, str(error))
    except KafkaAway as error:
        _fail(
            EXIT_TRY_AGAIN,
            f"{error}. Is it running? Check KAFKA_BOOTSTRAP_SERVERS or WEIR_KAFKA_PORT.",
        )


def _item(key: "ApiKey") -> dict[str, str | None]:
    """All about a key but its hash, times as text."""
    return {
        "key_id": key.key_id,
        "kind": key.kind,
        "name": key.name,
        "created_at": _written(key.created_at),
        "revoked_at": _written(key.revoked_at),
    }


def _written(time: datetime | None) -> str | None:
    return None if time is None else f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _line(item: dict[str, str | None]) -> str:
    import json

    return json.dumps(item)


def _print_table(items: list[dict[str, str | None]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    columns = {
        "id": "key_id",
        "kind": "kind",
        "name": "name",
        "created": "created_at",
        "last used": "last_used_at",
        "revoked": "revoked_at",
    }
    for title in columns:
        table.add_column(title, no_wrap=title != "name", overflow="fold")
    for item in items:
        # As text: brackets in a name are no markup.
        table.add_row(*(Text(item[name] or "-") for name in columns.values()))
    console = Console(highlight=False)
    if not console.is_terminal:
        # In a file or pipe lines are not folded.
        console = Console(highlight=False, width=400)
    console.print(table)


def _fail(code: int, problem: str) -> NoReturn:
    sys.stderr.write(f"weir keys: {problem}\n")
    raise typer.Exit(code)
