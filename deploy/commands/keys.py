"""`weir keys`: creates, lists and revokes API keys."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from deploy.api_keys import Listing
    from deploy.keys_shown import Item
    from schemas.api_keys import ApiKey

COMMAND = "weir keys"

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
    from deploy.keys_shown import asked, line
    from schemas.api_keys import create_key

    try:
        presented, key = create_key(kind, name, datetime.now(UTC))
    except ValueError:
        raise typer.BadParameter("must be 1 to 100 printable characters.") from None
    asked(COMMAND, lambda kafka: write_key(kafka, key))
    if as_json:
        typer.echo(line(_item(key) | {"key": presented}))
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
    from deploy.keys_shown import show_list

    columns = {
        "id": "key_id",
        "kind": "kind",
        "name": "name",
        "created": "created_at",
        "last used": "last_used_at",
        "revoked": "revoked_at",
    }
    show_list(COMMAND, _keys, _item, columns, as_json=as_json)


@keys.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)]) -> None:
    """Revoke a key for ever. Within 5 s no API process takes it any more.

    \b
    Ends with
      0    it is revoked
      1    there is none with this id, or it was revoked before
      75   Kafka cannot be asked now: run it again
    """
    from deploy import keys_shown

    keys_shown.revoke(COMMAND, "key", _keys, key_id)


def _keys(listing: "Listing") -> "Mapping[str, ApiKey]":
    return listing.keys


def _item(key: "ApiKey") -> "Item":
    """All about a key but its hash."""
    from deploy.keys_shown import written

    return {
        "key_id": key.key_id,
        "kind": key.kind,
        "name": key.name,
        "created_at": written(key.created_at),
        "revoked_at": written(key.revoked_at),
    }
