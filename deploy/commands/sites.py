"""`weir sites`: creates, lists and revokes sites, whose pages send events."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from deploy.api_keys import Listing
    from deploy.keys_shown import Item
    from schemas.sites import Site

COMMAND = "weir sites"

sites = typer.Typer(
    help="Create, list and revoke sites, whose pages send events.", no_args_is_help=True
)

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, a line for each.")]


@sites.command()
def create(
    name: Annotated[
        str,
        typer.Argument(
            help="The `source` of its events: up to 100 characters.", show_default=False
        ),
    ],
    origin: Annotated[
        list[str],
        typer.Option(
            help="Where its pages are, such as https://shop.example; several, each by --origin.",
            show_default=False,
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Create a site and print its id, which is public: it stands in the pages.

    \b
    Ends with
      0    the id is on the output, what to do with it beside it
      1    it cannot be created
      75   Kafka cannot be asked now
    """
    from deploy.api_keys import write_key
    from deploy.keys_shown import asked, line
    from schemas.sites import MAX_ORIGINS, create_site

    origins = tuple(_checked_origin(each) for each in origin)
    if len(origins) > MAX_ORIGINS:
        raise typer.BadParameter(f"--origin may be given at most {MAX_ORIGINS} times.")
    site = create_site(_checked_name(name), origins, datetime.now(UTC))
    asked(COMMAND, lambda kafka: write_key(kafka, site))
    if as_json:
        typer.echo(line(_item(site)))
        return
    typer.echo(site.site_id)
    typer.echo(
        "Put this into each page, with the address at which browsers reach Weir:\n"
        f'<script defer src="https://weir.example.com/weir.js" data-site="{site.site_id}">'
        "</script>",
        err=True,
    )


@sites.command("list")
def list_(as_json: AsJson = False) -> None:
    """List all sites, oldest first, with when each was used last: to a minute or two.

    \b
    Ends with
      0    they are listed
      1    they cannot be listed
      75   Kafka cannot be asked now
    """
    from deploy.keys_shown import show_list

    columns = {
        "id": "site_id",
        "name": "name",
        "origins": "origins",
        "created": "created_at",
        "last used": "last_used_at",
        "revoked": "revoked_at",
    }
    show_list(COMMAND, _sites, _item, columns, as_json=as_json)


@sites.command()
def revoke(site: Annotated[str, typer.Argument(metavar="SITE", show_default=False)]) -> None:
    """Revoke a site for ever. Within 5 s no API process takes its events any more.

    \b
    Ends with
      0    it is revoked
      1    there is none with this id, or it was revoked before
      75   Kafka cannot be asked now: run it again
    """
    from deploy import keys_shown

    keys_shown.revoke(COMMAND, "site", _sites, site)


def _checked_name(name: str) -> str:
    from pydantic import TypeAdapter

    from schemas.api_keys import KeyName

    try:
        return TypeAdapter[str](KeyName).validate_python(name)
    except ValueError:
        raise typer.BadParameter("NAME must be 1 to 100 printable characters.") from None


def _checked_origin(origin: str) -> str:
    from schemas.sites import origin_of

    try:
        return origin_of(origin)
    except ValueError as error:
        raise typer.BadParameter(f"--origin {error}.") from None


def _sites(listing: "Listing") -> "Mapping[str, Site]":
    return listing.sites


def _item(site: "Site") -> "Item":
    from deploy.keys_shown import written

    return {
        "site_id": site.site_id,
        "name": site.name,
        "origins": list(site.origins),
        "created_at": written(site.created_at),
        "revoked_at": written(site.revoked_at),
    }
