"""`weir quotas`: decides about credits, alone, with settings from the environment."""


def quotas() -> None:
    """Run the quotas worker (settings from the environment)."""
    import asyncio

    from deploy.logs import configure_logs, say
    from deploy.preflight.processes import QUOTAS
    from deploy.preflight.start import started
    from schemas.plans import read_catalogue
    from schemas.tracing import tracing
    from streams.quotas.process import run

    configure_logs()
    settings = started(QUOTAS, say)
    # Not uvloop: on a connection that Kafka's end has closed it raises RuntimeError, which
    # aiokafka's clients do not expect.
    with tracing(settings, "weir-quotas"):
        code = asyncio.run(run(settings, read_catalogue(settings.plans_path)))
    raise SystemExit(code)
