"""`weir topics`: creates what the topic registry says."""

import asyncio

import typer


def topics() -> None:
    """Create the topics that are missing in Kafka, and say which differ; safe to run again.

    A setting that hurts no promise, such as another retention, is said and is no failure.

    \b
    Ends with
      0    all topics are there
      1    Kafka broke off; run it again
      78   settings cannot be used, Kafka cannot be reached or refuses, or no process can
           work with a topic as it is
    """
    from aiokafka.errors import KafkaError

    from deploy.preflight.processes import CREATE_TOPICS
    from deploy.preflight.start import refuse, started
    from deploy.topics import TopicsNotCreated, create_topics
    from schemas.server_problems import kafka_problem

    settings = started(CREATE_TOPICS, typer.echo)
    try:
        problems = asyncio.run(create_topics(settings, typer.echo))
        wrong = [each.text for each in problems if each.kind != "differs"]
        for each in problems:
            if each.kind == "differs":
                typer.echo(f"weir topics: {each.text}", err=True)
    except TopicsNotCreated as error:
        wrong = str(error).splitlines()
    except KafkaError as error:
        typer.echo(f"weir topics: {kafka_problem(error, settings)}", err=True)
        raise typer.Exit(1) from None
    if wrong:
        refuse("weir topics: Kafka is not as the registry says:", wrong)
    typer.echo("all topics are there")
