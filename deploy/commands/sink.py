"""`weir sink`: Kafka to ClickHouse, alone, with settings from the environment."""

from schemas.settings import read_settings_or_exit


def sink() -> None:
    """Run the ClickHouse sink (settings from the environment)."""
    import asyncio

    from deploy.logs import configure_logs
    from schemas.tracing import tracing
    from streams.sink.process import run
    from streams.sink.settings import SinkSettings

    settings = read_settings_or_exit(SinkSettings)
    configure_logs()
    # Not uvloop: on a connection that Kafka's end has closed it raises RuntimeError, which
    # aiokafka's clients do not expect (seen when the broker was killed).
    with tracing(settings, "weir-sink"):
        code = asyncio.run(run(settings))
    raise SystemExit(code)
