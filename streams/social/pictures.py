"""Pictures in the media store, under the hash of their content."""

from hashlib import sha256

from schemas.generation import Picture
from schemas.media import picture_path
from streams.social.object_storage import ObjectStorage
from streams.social.provider import Made


async def store_picture(storage: ObjectStorage, made: Made) -> Picture:
    """Stores it and says where. The same picture twice is one object. Raises Retryable."""
    key = f"{sha256(made.content).hexdigest()}.png"
    # Also over what is there: the same bytes, or what a disk without power left of them.
    await storage.write(picture_path(key), made.content)
    return Picture(key=key, width=made.width, height=made.height)
