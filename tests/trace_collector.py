"""A collector of traces, as far as tests need one: takes OTLP over HTTP and keeps the spans."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Collected:
    """A span as it was sent; ids in hexadecimal, times in epoch nanoseconds."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, str]
    links: list[str]
    """The traces of the spans that it links to."""
    began: int
    ended: int
    failed: bool


class Collector:
    """`hangs`: it takes connections and answers nothing."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.spans: list[Collected] = []
        self.versions: set[str] = set()
        self.authorizations: set[str] = set()
        self._hangs = hangs
        self._asked = 0

    async def is_asked(self) -> bool:
        """Whether anybody has sent something."""
        return self._asked > 0

    def of_trace(self, trace_id: str) -> list[Collected]:
        """In the order in which they began."""
        return sorted(
            (each for each in self.spans if each.trace_id == trace_id), key=lambda it: it.began
        )

    def application(self) -> web.Application:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/traces", self._take)
        return app

    async def _take(self, request: web.Request) -> web.Response:
        self._asked += 1
        if self._hangs:
            await asyncio.Event().wait()
        self.authorizations.add(request.headers.get("Authorization", ""))
        sent = ExportTraceServiceRequest.FromString(await request.read())
        for resource in sent.resource_spans:
            described = {each.key: each.value.string_value for each in resource.resource.attributes}
            self.versions.add(described["service.version"])
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.append(
                        Collected(
                            service=described["service.name"],
                            name=span.name,
                            trace_id=span.trace_id.hex(),
                            span_id=span.span_id.hex(),
                            parent_id=span.parent_span_id.hex(),
                            attributes={
                                each.key: each.value.string_value or str(each.value.int_value)
                                for each in span.attributes
                            },
                            links=[each.trace_id.hex() for each in span.links],
                            began=span.start_time_unix_nano,
                            ended=span.end_time_unix_nano,
                            failed=span.status.code == 2,
                        )
                    )
        return web.Response(content_type="application/x-protobuf")


@asynccontextmanager
async def served(collector: Collector) -> AsyncIterator[str]:
    """Serves it as long as the block runs; yields what OTEL_EXPORTER_OTLP_ENDPOINT is to be."""
    runner = web.AppRunner(
        collector.application(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True
    )
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
