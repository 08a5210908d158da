"""`weir billing`: reports use to Stripe, alone, with settings from the environment."""


def billing() -> None:
    """Run the billing worker (settings from the environment); needs STRIPE_API_KEY."""
    import asyncio

    from deploy.logs import configure_logs, say
    from deploy.preflight.processes import BILLING
    from deploy.preflight.start import started
    from schemas.meters import read_meters
    from schemas.plans import read_catalogue
    from schemas.tracing import tracing
    from streams.billing.process import run

    configure_logs()
    settings = started(BILLING, say)
    meters, catalogue = read_meters(settings.meters_path), read_catalogue(settings.plans_path)
    # Not uvloop: see deploy.commands.quotas.
    with tracing(settings, "weir-billing"):
        code = asyncio.run(run(settings, meters, catalogue))
    raise SystemExit(code)
