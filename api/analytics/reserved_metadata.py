"""Refuses in metadata what Weir alone writes, by which an event is not billed."""

from schemas.decoding import InvalidEvent, WireEvent
from schemas.metadata_members import SITE, names_site


def refuse_reserved(event: WireEvent, field: str = "metadata") -> None:
    """Raises InvalidEvent for metadata that names a site; `field`: where metadata was sent."""
    if names_site(event.metadata):
        raise InvalidEvent(
            "invalid_field",
            field,
            f"{SITE} is written by Weir for what the pages of a site send; leave it out",
        )
