"""`weir topics`: creates what the topic registry says."""

import asyncio

import typer


def topics() -> None:
    """Create the topics that are missing in Kafka, and say which differ; safe to run again.

    \b
    Ends with
      0    all topics are there, as the registry says
      1    Kafka broke off; run it again
      78   settings cannot be used, Kafka cannot be reached or refuses, or topics differ
    """
    from aiokafka.errors import KafkaError

    from deploy.preflight.processes import CREATE_TOPICS
    from deploy.preflight.start import refuse, started
    from deploy.topics import TopicsNotCreated, create_topics

    settings = started(CREATE_TOPICS, typer.echo)
    try:
        wrong = [each.text for each in asyncio.run(create_topics(settings, typer.echo))]
    except TopicsNotCreated as error:
        wrong = str(error).splitlines()
    except KafkaError as error:
        name = type(error).__name__
        typer.echo(f"weir topics: Kafka at {settings.bootstrap_servers}: {name}", err=True)
        raise typer.Exit(1) from None
    if wrong:
        refuse("weir topics: Kafka is not as the registry says:", wrong)
    typer.echo("all topics are there")
