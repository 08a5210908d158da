"""`weir analysts`: users of ClickHouse's that read, within limits."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.settings import read_settings_or_exit

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from schemas.servers import ClickHouseSettings

analysts = typer.Typer(
    help="Make users of ClickHouse's for analysts, and end them.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]
AsSql = Annotated[bool, typer.Option("--sql", help="Write the statements, and run none of them.")]

_EXIT_FAILED = 1


@analysts.command()
def grant(
    name: Name,
    personal: Annotated[
        bool, typer.Option("--personal", help="Columns that name or quote people too.")
    ] = False,
    as_sql: AsSql = False,
) -> None:
    """Make a user and print its password, this once: ClickHouse keeps its hash.

    \b
    Ends with
      0    the password is on the output (with --sql beside it, the statements on the output)
      1    ClickHouse cannot be asked, or refuses: what it says follows
    """
    from deploy.analysts import COLUMNS, Analyst, InvalidName, granting

    try:
        analyst = Analyst.named(name)
    except InvalidName as error:
        raise typer.BadParameter(str(error)) from None
    with _asked() as (client, settings):
        found = client.query(COLUMNS, parameters={"database": settings.database}).result_rows
        if not found:
            _fail(f"there are no tables in `{settings.database}`; run `weir migrate`")
        tables = {str(table): [str(column) for column in columns] for table, columns in found}
        statements = [*granting(analyst, settings.database, tables, personal=personal)]
        if not as_sql:
            _run(client, statements)
    if as_sql:
        typer.echo("".join(f"{statement};\n" for statement in statements), nl=False)
        typer.echo(f"The password of {name}, shown this once: {analyst.password}", err=True)
        return
    typer.echo(f"{name} may read. The password is shown this once:", err=True)
    typer.echo(analyst.password)


@analysts.command()
def revoke(name: Name, as_sql: AsSql = False) -> None:
    """End a user; what it asks now is broken off.

    \b
    Ends with
      0    there is no such user any more
      1    ClickHouse cannot be asked, or refuses: what it says follows
    """
    from deploy.analysts import InvalidName, revoking

    try:
        statement = revoking(name)
    except InvalidName as error:
        raise typer.BadParameter(str(error)) from None
    if as_sql:
        typer.echo(f"{statement};")
        return
    with _asked() as (client, _):
        _run(client, [statement])


@contextmanager
def _asked() -> "Iterator[tuple[Client, ClickHouseSettings]]":
    """A client; what keeps it from an answer ends the command with a sentence."""
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError

    from schemas.servers import ClickHouseSettings

    settings = read_settings_or_exit(ClickHouseSettings)
    try:
        with clickhouse_connect.get_client(**settings.clickhouse_arguments()) as client:
            yield client, settings
    except ClickHouseError as error:
        _fail(f"ClickHouse at {settings.address}: {error}")


def _run(client: "Client", statements: list[str]) -> None:
    from clickhouse_connect.driver.exceptions import DatabaseError

    for statement in statements:
        try:
            client.command(statement)
        except DatabaseError as error:
            if "ACCESS_DENIED" in str(error):
                _fail(
                    "this ClickHouse lets nobody make users here. The one that `weir up` starts "
                    "has none: it answers everybody on this machine. On a server the user in "
                    "CLICKHOUSE_URL needs ACCESS MANAGEMENT; or run what --sql writes as one who "
                    "has it"
                )
            raise


def _fail(what: str) -> None:
    typer.echo(f"weir analysts: {what}", err=True)
    raise typer.Exit(_EXIT_FAILED)
