"""`weir quotas`: decides about credits, alone, with settings from the environment."""

import sys

from schemas.settings import EX_CONFIG, read_settings_or_exit


def quotas() -> None:
    """Run the quotas worker (settings from the environment)."""
    import asyncio

    from deploy.logs import configure_logs
    from schemas.plans import InvalidPlans, read_catalogue
    from schemas.tracing import tracing
    from streams.quotas.process import run
    from streams.quotas.settings import QuotasSettings

    settings = read_settings_or_exit(QuotasSettings)
    try:
        catalogue = read_catalogue(settings.plans_path)
    except InvalidPlans as error:
        sys.stderr.write(f"weir quotas: the plans cannot be used:\n{error}\n")
        raise SystemExit(EX_CONFIG) from None
    configure_logs()
    # Not uvloop: on a connection that Kafka's end has closed it raises RuntimeError, which
    # aiokafka's clients do not expect.
    with tracing(settings, "weir-quotas"):
        code = asyncio.run(run(settings, catalogue))
    raise SystemExit(code)
