"""The `weir` command line: one module a command."""

import typer

app = typer.Typer(
    name="weir",
    help="Counts what visitors do, on Kafka and ClickHouse, exactly.",
    no_args_is_help=True,
    add_completion=False,
)


def main() -> None:
    app()
