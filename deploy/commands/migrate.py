"""`weir migrate`: brings ClickHouse's tables up to date."""

import typer


def migrate() -> None:
    """Create or update the tables in ClickHouse; safe to run again.

    \b
    Ends with
      0    the tables are up to date
      1    ClickHouse broke off, or refused a statement; run it again
      78   settings cannot be used, ClickHouse cannot be reached or refuses the password, or the
           tables belong to another version
    """
    from clickhouse_connect.driver.exceptions import ClickHouseError

    from deploy.migrate import apply_migrations
    from deploy.preflight.processes import MIGRATE
    from deploy.preflight.start import refuse, started
    from schemas.migrations import BrokenMigrations

    settings = started(MIGRATE, typer.echo)
    try:
        applied = apply_migrations(settings, typer.echo)
    except BrokenMigrations as error:
        refuse("weir migrate cannot go on:", [str(error)])
    except ClickHouseError as error:
        typer.echo(f"weir migrate: ClickHouse at {settings.address}: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"the tables are up to date ({applied} migrations applied)")
