"""`weir quotas`: decides about credits, alone, with settings from the environment."""


def quotas() -> None:
    """Run the quotas worker (settings from the environment)."""
    import asyncio

    from deploy.logs import configure_logs, say
    from deploy.preflight.processes import QUOTAS
    from deploy.preflight.start import started
    from schemas.plans import read_catalogue
    from streams.quotas.process import run

    configure_logs()
    settings = started(QUOTAS, say)
    # Not uvloop: on a connection that Kafka's end has closed it raises RuntimeError, which
    # aiokafka's clients do not expect.
    raise SystemExit(asyncio.run(run(settings, read_catalogue(settings.plans_path))))
