"""Spans that are kept in memory."""

import random
from collections.abc import Callable

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from schemas.spans import Spans


class Recorder:
    """`recorded`: the spans that have ended, in that order."""

    def __init__(self, ratio: float, draw: Callable[[], float] = random.random) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.spans = Spans(provider.get_tracer("test"), ratio, draw)

    @property
    def recorded(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()
