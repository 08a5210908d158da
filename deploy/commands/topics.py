"""`weir topics`: creates what the topic registry says."""

import asyncio

import typer

from schemas.settings import read_settings_or_exit


def topics() -> None:
    """Create the topics that are missing in Kafka, and say which differ; safe to run again."""
    from aiokafka.errors import KafkaError

    from deploy.topics import create_topics
    from schemas.servers import KafkaSettings

    settings = read_settings_or_exit(KafkaSettings)
    try:
        differences = asyncio.run(create_topics(settings, typer.echo))
    except KafkaError as error:
        name = type(error).__name__
        typer.echo(f"weir topics: Kafka at {settings.bootstrap_servers}: {name}", err=True)
        raise typer.Exit(1) from None
    for difference in differences:
        typer.echo(f"weir topics: {difference}", err=True)
    if differences:
        raise typer.Exit(1)
    typer.echo("all topics are there")
