"""The `weir` command line: one module a command."""

import typer

app = typer.Typer(
    name="weir",
    help="Counts what visitors do, on Kafka and ClickHouse, exactly.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Runs the command line."""
    from deploy.commands import api, migrate, replay, sink, topics

    app.command()(api.api)
    app.command()(sink.sink)
    app.command()(migrate.migrate)
    app.command()(topics.topics)
    app.command()(replay.replay)
    app()
