"""`weir migrate`: brings ClickHouse's tables up to date."""

import typer

from schemas.settings import read_settings_or_exit


def migrate() -> None:
    """Create or update the tables in ClickHouse; safe to run again."""
    from clickhouse_connect.driver.exceptions import ClickHouseError

    from deploy.migrate import apply_migrations
    from schemas.migrations import BrokenMigrations
    from schemas.servers import ClickHouseSettings

    settings = read_settings_or_exit(ClickHouseSettings)
    try:
        applied = apply_migrations(settings, typer.echo)
    except BrokenMigrations as error:
        typer.echo(f"weir migrate: {error}", err=True)
        raise typer.Exit(1) from None
    except ClickHouseError as error:
        typer.echo(f"weir migrate: ClickHouse at {settings.address}: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"the tables are up to date ({applied} migrations applied)")
