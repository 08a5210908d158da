"""`weir sink`: Kafka to ClickHouse, alone, with settings from the environment."""


def sink() -> None:
    """Run the ClickHouse sink (settings from the environment)."""
    import asyncio

    from deploy.logs import configure_logs, say
    from deploy.preflight.processes import SINK
    from deploy.preflight.start import started
    from schemas.tracing import tracing
    from streams.sink.process import run

    configure_logs()
    settings = started(SINK, say)
    # Not uvloop: on a connection that Kafka's end has closed it raises RuntimeError, which
    # aiokafka's clients do not expect (seen when the broker was killed).
    with tracing(settings, "weir-sink"):
        code = asyncio.run(run(settings))
    raise SystemExit(code)
