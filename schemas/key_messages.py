"""Messages of `api-keys`: an API key or a site, each under its own id."""

from typing import TypeAlias

from pydantic import RootModel

from schemas.api_keys import ApiKey
from schemas.sites import PREFIX, Site

AnyKey: TypeAlias = ApiKey | Site


class AnyKeyMessage(RootModel[AnyKey]):
    """What a message of `api-keys` may hold."""


def decode_key(message_key: bytes | None, value: bytes | None) -> tuple[str, AnyKey | None]:
    """What a message says: the id, and the key or site, or None where it was deleted.

    Raises ValueError for a message that says nothing.
    """
    name = (message_key or b"").decode()
    # By its id, not by what the message says of itself: no site can take a key's place.
    model: type[AnyKey] = Site if name.startswith(PREFIX) else ApiKey
    # Without a value it is Kafka's own way of deleting.
    key = None if value is None else model.model_validate_json(value)
    if key is not None and key.message_key != name:
        raise ValueError("the message key is not the id")
    return name, key
