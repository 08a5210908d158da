"""The `weir` command line: one module a command."""

import logging
from pathlib import Path

import typer
from dotenv import load_dotenv

app = typer.Typer(
    name="weir",
    help="Counts what visitors do, on Kafka and ClickHouse, exactly.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Runs the command line; a file `.env` in the current directory adds to the environment."""
    from deploy.commands import (
        analysts,
        api,
        asyncapi,
        billing,
        check,
        dead_letters,
        forget,
        generate,
        keys,
        migrate,
        openapi,
        quota,
        quotas,
        replay,
        sink,
        sites,
        social,
        stripe,
        token,
        topics,
        up,
    )

    load_dotenv(Path(".env"))
    # What their clients log, commands say in a sentence of their own.
    for library in ("aiokafka", "clickhouse_connect", "urllib3"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    for command in (
        up.up,
        api.api,
        sink.sink,
        quotas.quotas,
        social.social,
        migrate.migrate,
        topics.topics,
        openapi.openapi,
        asyncapi.asyncapi,
        generate.generate,
        replay.replay,
        billing.billing,
        check.check,
        forget.forget,
        token.token,
    ):
        app.command()(command)
    app.add_typer(dead_letters.dead_letters, name="dead-letters")
    app.add_typer(keys.keys, name="keys")
    app.add_typer(analysts.analysts, name="analysts")
    app.add_typer(sites.sites, name="sites")
    app.add_typer(quota.quota, name="quota")
    app.add_typer(stripe.stripe, name="stripe")
    app()
