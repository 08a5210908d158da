"""A full run through good, bad and failing days, with recognisable secrets: no log holds one.

Nor does anything that is stored hold the address that requests came from.
"""

import asyncio
import gzip
import json
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote
from uuid import uuid4

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from clickhouse_connect import get_client
from pydantic import SecretStr

from deploy.api_keys import write_key
from deploy.local.ports import free_port
from deploy.settings_kinds import KINDS
from schemas.api_keys import create_key
from schemas.sites import create_site
from schemas.topics import TOPICS
from tests.api.identity.credentials import bearer, signed
from tests.openai_fake import KEY as OPENAI_KEY
from tests.secure_services import secure_services
from tests.services import Services
from tests.stripe_fake import KEY as STRIPE_KEY
from tests.stripe_fake import signed as signed_by_stripe
from tests.stripe_fake import snapshot_event
from tests.weir import Weir, all_taken, throwaway_weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(500)]

MARK: Final = "planted7Q2x"
ORIGIN: Final = "https://shop.example"
ADDRESS: Final = "127.77.66.55"
LOGGED_ADDRESS: Final = "198.51.100.77"

SECRETS: Final = {
    "WEIR_JWT_SECRET": f"{MARK}-jwt-0123456789abcdef0123456789",
    "WEIR_VISITOR_SECRET": f"{MARK}-visitors-0123456789abcdef012345",
    "STRIPE_WEBHOOK_SECRET": f"whsec_{MARK}",
    # Those that the fakes let in.
    "STRIPE_API_KEY": STRIPE_KEY,
    "OPENAI_API_KEY": OPENAI_KEY,
    "AWS_SECRET_ACCESS_KEY": f"{MARK}-aws",
    "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={MARK}-collector",
}
CLICKHOUSE_PASSWORD: Final = f"{MARK}-clickhouse"
PLANTED_ELSEWHERE: Final = frozenset(
    {
        # In the URL, below.
        "CLICKHOUSE_URL",
        # A token, below.
        "WEIR_TOKEN",
        # Those of the servers, below.
        "KAFKA_SASL_PASSWORD",
        "CLICKHOUSE_PASSWORD",
    }
)

PERSONAL: Final = {
    "an e-mail address in metadata": f"ada-{MARK}@example.com",
    "a prompt": f"Write about {MARK} and nothing else",
    "a reason": f"for {MARK}",
    "a query": f"reset={MARK}",
    "a key": f"key-{MARK}",
}


def test_every_secret_setting_is_planted() -> None:
    secret = {
        field.alias
        for kind in KINDS
        for field in kind.model_fields.values()
        if field.annotation is SecretStr
    }
    assert secret <= SECRETS.keys() | PLANTED_ELSEWHERE


async def test_no_log_of_a_full_run_holds_a_secret_or_what_people_wrote(tmp_path: Path) -> None:
    async with (
        secure_services(tmp_path / "servers") as services,
        throwaway_weir(services, tmp_path) as weir,
    ):
        weir.environment |= SECRETS | {
            # Nobody takes the spans: what cannot be sent is said without the headers.
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
            "WEIR_AUTH": "required",
            "WEIR_JWT_ISSUER": "https://login.example.com",
            "WEIR_JWT_AUDIENCE": "weir",
        }
        write_token, write = create_key("write", "web", datetime.now(UTC))
        site = create_site("shop", (ORIGIN,), datetime.now(UTC))
        await write_key(weir.kafka, write)
        await write_key(weir.kafka, site)
        await all_processes(weir)
        token = signed(weir, roles=["admin"])
        planted = {
            **SECRETS,
            **PERSONAL,
            "the password of ClickHouse": weir.environment["CLICKHOUSE_PASSWORD"],
            "the password of Kafka": weir.environment["KAFKA_SASL_PASSWORD"],
            "a password in a URL": CLICKHOUSE_PASSWORD,
            "a token": token,
            "the signature of a token": token.rpartition(".")[2],
            "an API key": write_token,
            "an address": ADDRESS,
            "an address of an access log": LOGGED_ADDRESS,
        }
        said = await a_good_day(weir, token, write_token, site.site_id)
        said += await a_bad_day(weir, token, write_token)
        said += await outages(weir, services, token, write_token)
        weir.terminate_all()
        await asyncio.gather(*(each.wait() for each in weir.processes))
        stored = await asyncio.to_thread(all_rows, weir) + await all_messages(weir)
        assert found_in(stored, {"an address": ADDRESS, "a log's": LOGGED_ADDRESS}) == []
        # It can be found, where it may be.
        assert found_in(stored, {"a prompt": PERSONAL["a prompt"]}) == ["a prompt"]
        logs = {"commands": said, **read_logs(tmp_path)}
        assert {"kafka.log", "clickhouse.log"} < logs.keys()
        assert len(logs) >= 10
        held = {name: found_in(text, planted) for name, text in logs.items()}
        assert {name: what for name, what in held.items() if what} == {}


def read_logs(folder: Path) -> dict[str, bytes]:
    """What processes and servers said; below lie data, which Kafka and RocksDB call logs too."""
    files = [*folder.glob("*.log"), *(folder / "servers").glob("*.log")]
    return {path.name: path.read_bytes() for path in files}


def found_in(text: bytes, planted: Mapping[str, str]) -> list[str]:
    """Which of these a text holds, written as they are, or as JSON or URLs write them."""
    return [
        name
        for name, secret in planted.items()
        if any(each.encode() in text for each in (secret, json.dumps(secret)[1:-1], quote(secret)))
    ]


async def all_processes(weir: Weir) -> None:
    fakes = {name: free_port() for name in ("stripe_fake", "openai_fake")}
    for name, port in fakes.items():
        weir.process(["-m", f"tests.{name}", str(port), "0"])
    weir.environment |= {
        "STRIPE_API_BASE": f"http://127.0.0.1:{fakes['stripe_fake']}",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{fakes['openai_fake']}/v1",
        "WEIR_SINK_GIVE_UP_AFTER": "120",
    }
    weir.start_sink()
    for start in (weir.start_quotas, weir.start_social, weir.start_billing):
        await weir.keep(start)
    await weir.start_api({"WEIR_PUBLISH_TIMEOUT": "3", "WEIR_QUOTA_TIMEOUT": "5"})


async def ask(
    weir: Weir, method: str, path: str, headers: Mapping[str, str], body: object = None
) -> int:
    """The answer's status; asked from ADDRESS."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    connector = aiohttp.TCPConnector(local_addr=(ADDRESS, 0))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.request(
            method,
            weir.url + path,
            data=data,
            headers={"Content-Type": "application/json", "User-Agent": "Firefox", **headers},
        ) as answer,
    ):
        await answer.read()
        return answer.status


def an_event(**fields: object) -> dict[str, object]:
    return {
        "event_type": "conversion",
        "path": "/checkout",
        "user_id": "ada",
        "metadata": {"email": PERSONAL["an e-mail address in metadata"]},
        **fields,
    }


async def a_good_day(weir: Weir, token: str, write_token: str, site_id: str) -> bytes:
    me, key = bearer(token), bearer(write_token)
    assert await ask(weir, "POST", "/analytics/events", key, an_event()) == 202
    page = {"Origin": ORIGIN, "Content-Type": "text/plain"}
    view = {"event_type": "page_view", "path": "/", "user_id": "ada"}
    assert await ask(weir, "POST", f"/sites/{site_id}/events", page, view) == 202
    top_up = {"count": 1, "reason": PERSONAL["a reason"]}
    assert await ask(weir, "POST", "/api/users/alice/top-ups", me, top_up) == 200
    post = {"prompt": PERSONAL["a prompt"], "platform": "instagram"}
    assert await ask(weir, "POST", "/social/post", me, post) == 200
    subject = {"id": "cus_1", "object": "customer", "email": f"ada-{MARK}@example.com"}
    body = snapshot_event(
        "customer.updated", subject, event_id=f"evt_{uuid4().hex}", created=int(time.time())
    )
    signature = signed_by_stripe(body, SECRETS["STRIPE_WEBHOOK_SECRET"], int(time.time()))
    assert await ask(weir, "POST", "/stripe/webhook", {"Stripe-Signature": signature}, body) == 200
    log = weir.folder / "access.gz"
    line = (
        f'{LOGGED_ADDRESS} - - [{datetime.now(UTC):%d/%b/%Y:%H:%M:%S} +0000] "GET '
        f'/a?{PERSONAL["a query"]} HTTP/1.1" 200 5 "-" "Firefox"\n'
    )
    log.write_bytes(gzip.compress(line.encode()))
    said = await run(weir, "replay", str(log), "--url", weir.url, WEIR_TOKEN=write_token)
    said += await run(weir, "check")
    await weir.eventually(partial(all_taken, weir))
    return said


async def a_bad_day(weir: Weir, token: str, write_token: str) -> bytes:
    me, key = bearer(token), bearer(write_token)
    email = PERSONAL["an e-mail address in metadata"]
    statuses = [
        await ask(weir, "POST", "/analytics/events", bearer(write_token[:-1]), an_event()),
        await ask(weir, "POST", "/analytics/events", bearer(token + "x"), an_event()),
        await ask(weir, "POST", "/analytics/events", key, an_event(user_id=[email])),
        await ask(weir, "POST", "/analytics/events", key, b"{" + email.encode()),
        await ask(weir, "POST", "/analytics/events", key, {email: email}),
        await ask(weir, "GET", f"/analytics/events?user_id={email}&access_token={token}", {}),
        await ask(weir, "GET", f"/analytics/summary?event_type={PERSONAL['a query']}&limit=x", me),
        await ask(weir, "POST", "/social/post", me, {"prompt": [PERSONAL["a prompt"]]}),
        await ask(weir, "POST", "/stripe/webhook", {"Stripe-Signature": "t=1,v1=aa"}, b"{}"),
    ]
    assert set(statuses) <= {400, 401, 403, 422}, statuses
    # What OpenAI refuses and what it does not answer.
    for script in ("[bad-request]", "[500] [500] [500] [500] [500]", "[html]", "[odd-shape]"):
        post = {"prompt": f"{PERSONAL['a prompt']} {script}", "platform": "instagram"}
        await ask(weir, "POST", "/social/post", me, post)
    poison = [
        email.encode(),
        b"\xff" + email.encode(),
        json.dumps({"event_id": email, "kind": email, "user_id": email}).encode(),
        json.dumps(an_event(event_id=str(uuid4()), event_type=email)).encode(),
    ]
    for topic in ("page-views", "conversions", "quota-commands", "generation-requests"):
        await weir.produce(topic, [(PERSONAL["a key"].encode(), each) for each in poison])
    for topic in ("generation-jobs", "usage-commands", "stripe-events", "dead-letters"):
        await weir.produce(topic, [(PERSONAL["a key"].encode(), each) for each in poison])
    said = await run(weir, "quota", "show", email, "--url", weir.url, WEIR_TOKEN=write_token)
    said += await run(weir, "check", WEIR_JWT_SECRET=MARK, OPENAI_API_KEY=f"{MARK} x")
    said += await run(weir, "api", CLICKHOUSE_URL=f"nonsense://u:{CLICKHOUSE_PASSWORD}@h")
    await weir.eventually(partial(all_taken, weir))
    return said


async def outages(weir: Weir, services: Services, token: str, write_token: str) -> bytes:
    me, key = bearer(token), bearer(write_token)
    await services.clickhouse.kill()
    assert await ask(weir, "POST", "/analytics/events", key, an_event()) == 202
    assert await ask(weir, "GET", f"/analytics/events?user_id={MARK}", me) == 503
    said = await run(weir, "migrate") + await run(weir, "stripe", "pending")
    await services.clickhouse.start()
    await weir.eventually(partial(all_taken, weir))
    await services.kafka.kill()
    top_up = {"count": 1, "reason": PERSONAL["a reason"]}
    statuses = [
        await ask(weir, "POST", "/analytics/events", key, an_event()),
        await ask(weir, "POST", "/api/users/alice/top-ups", me, top_up),
    ]
    assert statuses == [503, 503]
    said += await run(weir, "topics")
    await services.kafka.start()
    await weir.eventually(partial(accepts, weir, key), within=120)
    return said


async def accepts(weir: Weir, key: Mapping[str, str]) -> bool:
    return await ask(weir, "POST", "/analytics/events", key, an_event()) == 202


async def run(weir: Weir, *command: str, **environment: str) -> bytes:
    """All that a command says, however it ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "deploy.commands", *command),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=weir.folder,
        env={
            "PATH": "",
            "PYTHONPATH": ":".join(sys.path),
            # What is away here does not come back while a command waits for it.
            "WEIR_START_TIMEOUT": "2",
            **weir.environment,
            **environment,
        },
    )
    output, _ = await asyncio.wait_for(process.communicate(), 90)
    return output


def all_rows(weir: Weir) -> bytes:
    settings = weir.clickhouse
    with get_client(**settings.clickhouse_arguments(), database=settings.database) as client:
        tables = client.query(
            "SELECT name FROM system.tables WHERE database = currentDatabase() "
            "AND engine LIKE '%MergeTree'"
        ).result_rows
        return b"".join(
            client.raw_query("SELECT * FROM {name:Identifier}", {"name": name}, fmt="JSONEachRow")
            for (name,) in tables
        )


async def all_messages(weir: Weir) -> bytes:
    consumer = AIOKafkaConsumer(**weir.kafka.client_arguments())
    await consumer.start()
    found: list[bytes] = []
    try:
        places: Sequence[TopicPartition] = [
            TopicPartition(weir.topic(topic.name), number)
            for topic in TOPICS
            for number in range(topic.partitions)
        ]
        for place in places:
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            end = (await consumer.end_offsets([place]))[place]
            while await consumer.position(place) < end:
                for record in (await consumer.getmany(timeout_ms=200)).get(place, []):
                    found += [record.key or b"", record.value or b"", repr(record.headers).encode()]
    finally:
        await consumer.stop()
    return b"\n".join(found)
