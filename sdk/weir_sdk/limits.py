"""The bounds of an event, as Weir's contract has them, and what a page view is cut to."""

from typing import Final

MAX_EVENTS_PER_REQUEST: Final = 1_000
MAX_REQUEST_BYTES: Final = 1_048_576
MAX_PATH_CHARACTERS: Final = 2_048
MAX_NAME_CHARACTERS: Final = 256
MAX_EVENT_TYPE_CHARACTERS: Final = 100
MAX_METADATA_BYTES: Final = 16_384
MAX_METADATA_DEPTH: Final = 16
EVENT_TYPE_PATTERN: Final = r"[A-Za-z][A-Za-z0-9_.:/-]*"

# A character takes at most six bytes in JSON, so these together stay below MAX_METADATA_BYTES.
MAX_ROUTE_CHARACTERS: Final = 1_000
MAX_REFERRER_CHARACTERS: Final = 500
MAX_USER_AGENT_CHARACTERS: Final = 500
MAX_HOST_CHARACTERS: Final = 255
MAX_METHOD_CHARACTERS: Final = 20
MAX_COUNTRY_CHARACTERS: Final = 16

# Longer headers are cut before they wait in the buffer, which bounds its memory.
MAX_HEADER_BYTES: Final = 1_024
MAX_ADDRESSES_BYTES: Final = 512
"""Of a header that lists addresses, so much of its end is read."""
