"""What `weir keys` and `weir sites` do alike: ask Kafka, list, revoke, and end with a reason."""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import NoReturn, TypeAlias, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.api_keys import KafkaAway, Listing, TopicsMissing, read_keys, write_key
from schemas.api_keys import ApiKey
from schemas.key_messages import AnyKey
from schemas.servers import KafkaSettings
from schemas.settings import read_settings_or_exit
from schemas.sites import Site

# sysexits.h, as `weir dead-letters` uses them.
EXIT_FAILED = 1
EXIT_TRY_AGAIN = 75

Item: TypeAlias = dict[str, str | list[str] | None]
"""All that is shown of a key or site, times as text."""

_Result = TypeVar("_Result")
_Key = TypeVar("_Key", ApiKey, Site)


def asked(
    command: str, question: Callable[[KafkaSettings], Coroutine[None, None, _Result]]
) -> _Result:
    """What Kafka answers; when it does not, the process ends and says why."""
    settings = read_settings_or_exit(KafkaSettings)
    try:
        return asyncio.run(question(settings))
    except TopicsMissing as error:
        _fail(command, EXIT_FAILED, str(error))
    except KafkaAway as error:
        _fail(
            command,
            EXIT_TRY_AGAIN,
            f"{error}. Is it running? Check KAFKA_BOOTSTRAP_SERVERS or WEIR_KAFKA_PORT.",
        )


def show_list(
    command: str,
    chosen: Callable[[Listing], Mapping[str, _Key]],
    item_of: Callable[[_Key], Item],
    columns: Mapping[str, str],
    *,
    as_json: bool,
) -> None:
    """Prints those that are chosen of all, oldest first, with their last use.

    `columns`: the titles of the table, and the member of an item under each.
    """
    listing = asked(command, read_keys)
    items = [
        item_of(key) | {"last_used_at": written(listing.last_used.get(key.message_key))}
        for key in sorted(
            chosen(listing).values(),
            # By id where two were created at once, so that the order stays.
            key=lambda key: (key.created_at, key.message_key),
        )
    ]
    if as_json:
        for item in items:
            typer.echo(line(item))
    elif items:
        _print_table(items, columns)
    else:
        typer.echo("There are none.")


def revoke(
    command: str, what: str, chosen: Callable[[Listing], Mapping[str, AnyKey]], key_id: str
) -> None:
    """Revokes one of those that are chosen of all, for ever, and says so."""
    key = chosen(asked(command, read_keys)).get(key_id)
    if key is None:
        _fail(
            command,
            EXIT_FAILED,
            f"there is no {what} {key_id!r}; `{command} list` lists those there are",
        )
    if key.revoked_at is not None:
        _fail(command, EXIT_FAILED, f"{key_id} was revoked at {written(key.revoked_at)}")
    revoked = key.model_copy(update={"revoked_at": datetime.now(UTC)})
    asked(command, lambda kafka: write_key(kafka, revoked))
    typer.echo(f"revoked {key_id} ({key.name})")


def written(time: datetime | None) -> str | None:
    return None if time is None else f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def line(item: Item) -> str:
    return json.dumps(item)


def _print_table(items: Sequence[Item], columns: Mapping[str, str]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in columns:
        table.add_column(title, no_wrap=title not in {"name", "origins"}, overflow="fold")
    for item in items:
        # As text: brackets in a name are no markup.
        table.add_row(*(Text(_cell(item[name])) for name in columns.values()))
    console = Console(highlight=False)
    if not console.is_terminal:
        # In a file or pipe lines are not folded.
        console = Console(highlight=False, width=400)
    console.print(table)


def _cell(value: str | list[str] | None) -> str:
    return " ".join(value) if isinstance(value, list) else value or "-"


def _fail(command: str, code: int, problem: str) -> NoReturn:
    sys.stderr.write(f"{command}: {problem}\n")
    raise typer.Exit(code)
