"""Makes UUIDv7s, which Python has only from 3.14 on."""

import os
from random import Random
from typing import Final

# Not the module's own generator, which a host may seed; and another one in each process.
_random: Final = Random()  # noqa: S311 - ids must differ, they need not be secret
_bits: Final = _random.getrandbits
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)

_VERSION_AND_VARIANT: Final = (7 << 76) | (2 << 62)
_ALL: Final = (1 << 128) - 1
_RANDOM: Final = (((1 << 12) - 1) << 64) | ((1 << 62) - 1)


def new_event_id(milliseconds: int) -> str:
    """A UUIDv7 of that moment (milliseconds since 1970), in canonical form."""
    value = (milliseconds << 80) | _VERSION_AND_VARIANT | (_bits(80) & _RANDOM)
    text = f"{value & _ALL:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
