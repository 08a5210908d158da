"""Which partition a key belongs to: the hash that Kafka's Java client uses."""

from struct import Struct, unpack_from
from typing import Final

_MASK: Final = 0xFFFFFFFF
_M: Final = 0x5BD1E995
_NINE_WORDS: Final = Struct("<9I").unpack
_UUID_LENGTH: Final = 36


def murmur2(key: bytes) -> int:
    """MurmurHash2 as in `org.apache.kafka.common.utils.Utils.murmur2`, 32 bits unsigned.

    Works by words: 2.3 µs for a UUID's 36 characters against 10 µs in aiokafka's own, which
    goes by bytes (measured); the edge hashes each event.
    """
    length = len(key)
    h = 0x9747B28C ^ length
    whole = length & ~3
    words = _NINE_WORDS(key) if length == _UUID_LENGTH else unpack_from(f"<{whole >> 2}I", key)
    for k in words:
        k = k * _M & _MASK  # noqa: PLW2901
        h = (h * _M & _MASK) ^ ((k ^ k >> 24) * _M & _MASK)
    if rest := key[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def partition_for(key: bytes, partitions: int) -> int:
    """The partition, 0-based, of a keyed message on a topic of so many partitions."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
