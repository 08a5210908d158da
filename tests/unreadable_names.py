"""Messages whose headers have names that are not UTF-8, as a producer in C may write them."""

from collections.abc import Sequence
from typing import TypeAlias

from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from schemas.servers import KafkaSettings

READ_AS = r"\xff\xfe"
"""What stands in the place of such a name."""

Header: TypeAlias = tuple[str, bytes]
Raw: TypeAlias = tuple[bytes | None, bytes | None, Sequence[Header]]
"""Key, value and headers."""


class _Unreadable(str):
    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return b"\xff\xfe"


UNREADABLE: Header = (_Unreadable(READ_AS), b"of a producer in C")


def batch(messages: Sequence[Raw], *, first: int = 0, compression: int = 0) -> bytes:
    """The messages as they lie in the log from an offset on."""
    builder = _builder(compression)
    for number, (key, value, headers) in enumerate(messages):
        builder.append(number, timestamp=1, key=key, value=value, headers=list(headers))
    data = bytearray(builder.build())
    # The base offset stands first, and is not part of what the checksum covers.
    data[0:8] = first.to_bytes(8, "big")
    return bytes(data)


async def send_together(
    kafka: KafkaSettings, topic: str, partition: int, messages: Sequence[Raw]
) -> None:
    """Writes them as one batch, so that who reads one of them has fetched all."""
    async with AIOKafkaProducer(**kafka.client_arguments()) as producer:
        together = producer.create_batch()
        # aiokafka's C code encodes names itself.
        together._builder = _builder(compression=0)
        for key, value, headers in messages:
            together.append(timestamp=None, key=key, value=value, headers=list(headers))
        sent = await producer.send_batch(together, topic, partition=partition)
        await sent


def _builder(compression: int) -> _DefaultRecordBatchBuilderPy:
    return _DefaultRecordBatchBuilderPy(
        magic=2,
        compression_type=compression,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1_000_000,
    )
