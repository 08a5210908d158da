"""The bounds of an event: each number once, for models, decoders, documents and messages."""

from datetime import UTC, datetime, timedelta
from typing import Final

MAX_EVENTS_PER_REQUEST: Final = 1_000
MAX_REQUEST_BYTES: Final = 1_048_576
MAX_PATH_CHARACTERS: Final = 2_048
MAX_NAME_CHARACTERS: Final = 256
MAX_EVENT_TYPE_CHARACTERS: Final = 100
MAX_METADATA_BYTES: Final = 16_384
MAX_METADATA_DEPTH: Final = 16
EARLIEST_OCCURRED_AT: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_CLOCK_SKEW: Final = timedelta(days=1)
"""How far `occurred_at` may lie after the arrival: devices with a wrong clock or zone."""
