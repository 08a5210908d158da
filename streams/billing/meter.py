"""Reads events and asks for the reports of what they used."""

from datetime import UTC, datetime

import structlog
from aiokafka.structs import TopicPartition

from schemas.cloud_events import CloudEvent
from schemas.decoding import InvalidEvent, WireEvent
from schemas.messages import read_message
from schemas.meters import Meters
from streams.billing.metering import usage_of
from streams.billing.outputs import Outputs
from streams.dead_letters import refused
from streams.failures import Invalid
from streams.messages import Message
from streams.records import Record
from streams.writer import Writer

log = structlog.get_logger()


class Meter:
    """Each event leads to the same use, however often it is read."""

    def __init__(self, writer: Writer, outputs: Outputs, meters: Meters) -> None:
        self._writer = writer
        self._outputs = outputs
        self._meters = meters

    async def meter_usage(self, place: TopicPartition, record: Record) -> None:
        """What the event used is on Kafka when it returns; what is no event the sink tells of."""
        arrived_at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
        try:
            sent = read_message(record.headers, record.value, received_at=arrived_at)
        except InvalidEvent:
            return
        event = sent.event if isinstance(sent, CloudEvent) else sent
        try:
            messages = self._usage(event, arrived_at, record)
        except Invalid as failure:
            letter = refused(place, record, failure)
            messages = [self._outputs.dead_letter(letter)]
        if messages:
            await self._writer.write(messages)

    def _usage(self, event: WireEvent, arrived_at: datetime, record: Record) -> list[Message]:
        try:
            return [self._outputs.usage(each) for each in usage_of(event, arrived_at, self._meters)]
        except Invalid:
            raise
        except Exception as error:
            # A pure step that fails will fail again: it must not stop the events behind it.
            log.exception("an event cannot be metered", offset=record.offset)
            raise Invalid("not_meterable", f"metering ended in {type(error).__name__}") from error
