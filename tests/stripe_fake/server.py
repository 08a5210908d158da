"""Stripe's HTTP API, served from memory."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Final
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from tests.stripe_fake import faults as kinds
from tests.stripe_fake.answers import Answer, Json, KeptAnswers, Refused
from tests.stripe_fake.catalogue import Catalogue
from tests.stripe_fake.faults import Fault, Faults
from tests.stripe_fake.meter_calls import METER_EVENTS, Locks, answer_to, event_of
from tests.stripe_fake.metering import MeterEvent, Metering
from tests.stripe_fake.objects import Objects, Unsupported
from tests.stripe_fake.parameters import decoded, reader

KEY: Final = "sk_test_fake_0123456789"
# How often a held connection is looked at for a caller who left.
HOLD_STEP: Final = 0.05

Act = Callable[[Json, str], Json]


class FakeStripe:
    """Holds all state; `delay` is how many seconds each call of meter events takes.

    `wrong` has what no caller should do: unknown or missing parameters, unknown URLs.
    """

    def __init__(self, delay: float = 0.0, clock: Callable[[], float] = time.time) -> None:
        self.delay = delay
        self.strict_meters = False
        self.empty_windows = False
        self.key_valid = True
        self.ahead_seconds = 0.0
        self.wrong: list[str] = []
        self.calls: Counter[str] = Counter()
        self.locks = Locks()
        self.metering = Metering()
        self.faults = Faults()
        self.kept = KeptAnswers()
        self.objects = Objects(self.now)
        self.catalogue = Catalogue(self.objects)
        self.thin_events: dict[str, Json] = {}
        self._clock = clock
        self._requests = count(1)

    def now(self) -> float:
        """Unix seconds, ahead as set."""
        return self._clock() + self.ahead_seconds

    def application(self) -> web.Application:
        from tests.stripe_fake.control import add_control
        from tests.stripe_fake.endpoints import endpoints

        app = web.Application()
        app.router.add_post(METER_EVENTS, self._meter_events)
        for method, path, params, act in endpoints(self):
            app.router.add_route(method, path, self._endpoint(params, act))
        add_control(app, self)
        app.router.add_route("*", "/{path:.*}", self._unknown)
        return app

    def _answered(self, request: web.Request, answer: Answer, **headers: str) -> web.Response:
        headers["Request-Id"] = f"req_fake{next(self._requests)}"
        key = request.headers.get("Idempotency-Key")
        if key is not None:
            headers["Idempotency-Key"] = key
        if answer.status in (400, 401, 404):
            headers["Stripe-Should-Retry"] = "false"
        return web.Response(
            body=answer.body,
            status=answer.status,
            headers=headers,
            content_type="application/json",
        )

    def _refused(self, request: web.Request, error: Refused) -> web.Response:
        return self._answered(request, Answer(error.status, error.body))

    def _check_key(self, request: web.Request) -> None:
        self.calls[f"{request.method} {request.path}"] += 1
        given = request.headers.get("Authorization", "")
        if given != f"Bearer {KEY}" or not self.key_valid:
            shown = given.removeprefix("Bearer ")[:8] + "***"
            raise Refused(f"Invalid API Key provided: {shown}", status=401)

    async def _unknown(self, request: web.Request) -> web.Response:
        self.wrong.append(f"{request.method} {request.path}: no such URL")
        return self._refused(
            request,
            Refused(f"Unrecognized request URL ({request.method}: {request.path}).", status=404),
        )

    def _endpoint(
        self, params: object, act: Act
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
            try:
                self._check_key(request)
                posted = request.method == "POST"
                sent = (await request.read()).decode() if posted else request.query_string
                values = self._values(request, params, sent)
                if key and (kept := self.kept.find(key, request.path, sent, self.now())):
                    return self._answered(request, kept, **{"Idempotent-Replayed": "true"})
            except Refused as error:
                return self._refused(request, error)
            answer = self._acted(request, act, values)
            if key:
                self.kept.keep(key, request.path, sent, self.now(), answer)
            return self._answered(request, answer)

        return handle

    def _values(self, request: web.Request, params: object, sent: str) -> Json:
        try:
            values = reader(params)(decoded(parse_qsl(sent, keep_blank_values=True)), "")
            if "expand" in values:
                raise Unsupported("The fake does not expand.", param="expand")
        except Refused as error:
            self.wrong.append(f"{request.method} {request.path}: {error}")
            raise
        return values

    def _acted(self, request: web.Request, act: Act, values: Json) -> Answer:
        try:
            return Answer(200, orjson.dumps(act(values, request.match_info.get("id", ""))))
        except Refused as error:
            if isinstance(error, Unsupported):
                self.wrong.append(f"{request.method} {request.path}: {error}")
            return Answer(error.status, error.body)

    async def _meter_events(self, request: web.Request) -> web.StreamResponse:
        fault = None
        replayed: dict[str, str] = {}
        try:
            self._check_key(request)
            sent = (await request.read()).decode()
            event = self._event_of(sent)
            fault = self.faults.next()
            if fault is not None and (answered := self._instead(request, fault)):
                return answered
            key = request.headers.get("Idempotency-Key", "")
            answer = self.kept.find(key, METER_EVENTS, sent, self.now())
            if answer is None:
                with self.locks.held(event, request, key):
                    slow = fault.seconds if fault is not None and fault.kind == kinds.SLOW else 0.0
                    if self.delay or slow:
                        await asyncio.sleep(self.delay + slow)
                    answer = self._outcome(event, fault)
                    if key:
                        self.kept.keep(key, METER_EVENTS, sent, event.received, answer)
            else:
                replayed["Idempotent-Replayed"] = "true"
        except Refused as error:
            return self._refused(request, error)
        return await self._told(request, answer, fault, **replayed)

    def _event_of(self, sent: str) -> MeterEvent:
        try:
            return event_of(sent, self.now())
        except Refused as error:
            self.wrong.append(f"POST {METER_EVENTS}: {error}")
            raise

    def _outcome(self, event: MeterEvent, fault: Fault | None) -> Answer:
        kind = None if fault is None else fault.kind
        try:
            if kind != kinds.KEPT_500:
                if self.strict_meters:
                    self._check_meter(event.event_name)
                self.metering.report(event)
        except Refused as error:
            return Answer(error.status, error.body)
        if kind in (kinds.KEPT_500, kinds.COUNTED_500):
            failure = Refused("An unknown error occurred.", status=500, kind="api_error")
            return Answer(failure.status, failure.body)
        return answer_to(event)

    def _check_meter(self, event_name: str) -> None:
        for meter in self.objects.meters.values():
            if meter["event_name"] == event_name and meter["status"] == "active":
                return
        raise Refused(
            f"No active meter found for event name {event_name}.",
            code="no_meter",
            param="event_name",
        )

    def _instead(self, request: web.Request, fault: Fault) -> web.Response | None:
        if fault.kind == kinds.NOT_JSON:
            return web.Response(
                status=502,
                text="<html><body>502 Bad Gateway</body></html>",
                content_type="text/html",
            )
        if fault.kind not in kinds.ANSWERED:
            return None
        status, kind, code, headers = kinds.ANSWERED[fault.kind]
        error = Refused("As scripted.", status=status, kind=kind, code=code)
        return self._answered(request, Answer(status, error.body), **headers)

    async def _told(
        self, request: web.Request, answer: Answer, fault: Fault | None, **headers: str
    ) -> web.StreamResponse:
        kind = None if fault is None else fault.kind
        if fault is not None and kind == kinds.LOST:
            until = time.monotonic() + fault.seconds
            # aiohttp tells nobody that a caller left unless it may cancel the work.
            while request.transport is not None and time.monotonic() < until:  # noqa: ASYNC110
                await asyncio.sleep(HOLD_STEP)
        response = self._answered(request, answer, **headers)
        if kind == kinds.CUT_BODY:
            begun = web.StreamResponse(headers={"Content-Length": "1000"})
            begun.content_type = "application/json"
            await begun.prepare(request)
            await begun.write(b'{"object": ')
            _abort(request)
            return begun
        if kind in (kinds.CUT, kinds.LOST):
            _abort(request)
        return response


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


@asynccontextmanager
async def served(fake: FakeStripe, port: int = 0) -> AsyncIterator[str]:
    """Serves the fake as long as the block runs; yields its base URL, without a path."""
    # Work goes on when its caller leaves, as at Stripe: so no handler_cancellation.
    runner = web.AppRunner(fake.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
