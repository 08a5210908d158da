"""Sends spans to a collector, by OTLP over HTTP, beside the work and never in its way."""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Final
from urllib.parse import urlsplit

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.util.re import parse_env_headers

from schemas.spans import Spans
from schemas.tracing import TracingSettings

log = structlog.get_logger()

MAX_WAITING: Final = 8_192
"""Spans that are not sent yet; of more the oldest are left out. Some 2 KiB each."""

BATCH: Final = 512
DELAY_MS: Final = 1_000
EXPORT_SECONDS: Final = 5.0
STOP_SECONDS: Final = 1.0
"""So long the end of a process may be held up by what is not sent yet."""

_LIMITS: Final = SpanLimits(max_attributes=32, max_links=64, max_events=8)


class ToldOnce(SpanExporter):
    """Says once that spans cannot be sent, and once that they can again."""

    def __init__(self, exporter: SpanExporter, address: str) -> None:
        self._exporter = exporter
        self._address = address
        self._fails = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        fails = result is not SpanExportResult.SUCCESS
        if fails and not self._fails:
            log.warning("traces cannot be sent and are left out", collector=self._address)
        elif self._fails and not fails:
            log.info("traces are sent again", collector=self._address)
        self._fails = fails
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


@contextmanager
def exported_spans(settings: TracingSettings, service: str) -> Iterator[Spans]:
    """Spans that go to the collector of the settings; in the end they get STOP_SECONDS."""
    # What the exporter logs at each attempt is told once, above.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)
    address = urlsplit(settings.traces_endpoint).netloc
    exporter = OTLPSpanExporter(
        endpoint=f"{settings.traces_endpoint}/v1/traces",
        headers=parse_env_headers(settings.traces_headers.get_secret_value(), liberal=True),
        timeout=EXPORT_SECONDS,
    )
    provider = TracerProvider(
        # Whether a trace is recorded is decided before: see Spans.
        sampler=ALWAYS_ON,
        resource=Resource.create({"service.name": service, "service.version": _version()}),
        shutdown_on_exit=False,
        span_limits=_LIMITS,
    )
    provider.add_span_processor(
        BatchSpanProcessor(
            ToldOnce(exporter, address),
            max_queue_size=MAX_WAITING,
            max_export_batch_size=BATCH,
            schedule_delay_millis=DELAY_MS,
        )
    )
    try:
        yield Spans(provider.get_tracer("weir"), settings.traces_ratio)
    finally:
        # It has no bound of its own that can be set, and a collector that hangs has none.
        ending = threading.Thread(target=provider.shutdown, daemon=True)
        ending.start()
        ending.join(STOP_SECONDS)


def _version() -> str:
    try:
        return version("weir")
    except PackageNotFoundError:
        return "unknown"
