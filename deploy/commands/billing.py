"""`weir billing`: reports use to Stripe, alone, with settings from the environment."""

import sys

from schemas.settings import EX_CONFIG, read_settings_or_exit


def billing() -> None:
    """Run the billing worker (settings from the environment); needs STRIPE_API_KEY."""
    import asyncio

    from deploy.logs import configure_logs
    from schemas.meters import InvalidMeters, read_meters
    from schemas.plans import InvalidPlans, read_catalogue
    from schemas.tracing import tracing
    from streams.billing.process import run
    from streams.billing.settings import BillingSettings

    settings = read_settings_or_exit(BillingSettings)
    if not settings.bills:
        sys.stderr.write(f"weir billing: {NOT_REPORTED}\n")
        raise SystemExit(EX_CONFIG)
    try:
        catalogue, meters = read_catalogue(settings.plans_path), read_meters(settings.meters_path)
    except (InvalidPlans, InvalidMeters) as error:
        sys.stderr.write(f"weir billing: plans or meters cannot be used:\n{error}\n")
        raise SystemExit(EX_CONFIG) from None
    configure_logs()
    # Not uvloop: see deploy.commands.quotas.
    with tracing(settings, "weir-billing"):
        code = asyncio.run(run(settings, meters, catalogue))
    raise SystemExit(code)


NOT_REPORTED = (
    "without STRIPE_API_KEY nothing is reported to Stripe, and nothing is lost: what is used is "
    "kept for 35 days, and reported once there is a key"
)
