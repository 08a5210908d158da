"""A local, stateful fake of Stripe's HTTP API, for the real `stripe` package.

    python -m tests.stripe_fake PORT [DELAY_SECONDS]

Parameters are checked against the package's own types: see `wrong` in /_fake/state, which no
caller should fill.
"""

from tests.stripe_fake.faults import Fault
from tests.stripe_fake.server import KEY, FakeStripe, served
from tests.stripe_fake.webhooks import (
    meter_errors,
    meter_reference,
    signed,
    snapshot_event,
    thin_event,
)

__all__ = [
    "KEY",
    "FakeStripe",
    "Fault",
    "meter_errors",
    "meter_reference",
    "served",
    "signed",
    "snapshot_event",
    "thin_event",
]
