"""Makes UUIDv7s, which Python has only from 3.14 on."""

import os
from typing import Final

_VERSION: Final = 7 << 76
_VARIANT: Final = 2 << 62
_RANDOM_A: Final = ((1 << 12) - 1) << 64
_RANDOM_B: Final = (1 << 62) - 1


def new_event_id(milliseconds: int) -> str:
    """A UUIDv7 of that moment (milliseconds since 1970), in canonical form.

    Random for each, not from a supply: after a fork two processes would have the same.
    """
    random = int.from_bytes(os.urandom(10))
    value = (
        ((milliseconds & 0xFFFF_FFFF_FFFF) << 80)
        | _VERSION
        | (random & _RANDOM_A)
        | _VARIANT
        | (random & _RANDOM_B)
    )
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
