"""`weir keys` against a real Kafka: what is kept, what is shown, how it ends."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from hashlib import sha256

import orjson
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer
from typer.testing import CliRunner

from deploy.commands.keys import keys
from schemas.api_keys import is_whole
from tests.services import Services
from tests.unreadable_names import UNREADABLE, send_together
from tests.weir import Json, Weir, throwaway_weir

pytestmark = pytest.mark.services


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def weir(services: Services, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Weir]:
    async with throwaway_weir(services, tmp_path_factory.mktemp("keys")) as shared:
        yield shared


async def run(
    weir: Weir, *arguments: str, environment: dict[str, str] | None = None
) -> tuple[int, str, str]:
    """Exit code, output and errors; in this process, which starts no other one each time."""
    done = await asyncio.to_thread(
        CliRunner().invoke,
        keys,
        arguments,
        env={"COLUMNS": "80", **weir.environment, **(environment or {})},
    )
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


async def created(weir: Weir, kind: str, name: str) -> Json:
    code, output, errors = await run(weir, "create", "--kind", kind, "--name", name, "--json")
    assert (code, errors) == (0, "")
    return orjson.loads(output)


async def listed(weir: Weir) -> dict[str, Json]:
    code, output, errors = await run(weir, "list", "--json")
    assert (code, errors) == (0, "")
    return {item["key_id"]: item for item in map(orjson.loads, output.splitlines())}


async def on_kafka(weir: Weir, topic: str) -> bytes:
    """All that lies on a topic of one partition, in one piece."""
    consumer = AIOKafkaConsumer(
        weir.topic(topic),
        **weir.kafka.client_arguments(),
        auto_offset_reset="earliest",
    )
    async with consumer:
        [partition] = consumer.assignment()
        end = (await consumer.end_offsets([partition]))[partition]
        found = b""
        while await consumer.position(partition) < end:
            record = await consumer.getone()
            found += (record.key or b"") + (record.value or b"")
        return found


async def test_a_key_is_the_whole_output_and_only_its_hash_is_kept(weir: Weir) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "deploy.commands", "keys", "create", "--kind", "write", "--name", "shop"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **weir.environment},
    )
    written = await asyncio.wait_for(process.communicate(), 60)
    output, errors = (each.decode() for each in written)
    assert process.returncode == 0, errors
    key = output.removesuffix("\n")
    assert key.startswith("weir_w_")
    assert is_whole(key)
    assert key not in errors
    kept = await on_kafka(weir, "api-keys")
    assert sha256(key.encode()).hexdigest().encode() in kept
    assert key.encode() not in kept
    assert key[7:].encode() not in kept


async def test_keys_are_listed_with_their_last_use_and_revoked_for_ever(weir: Weir) -> None:
    read, write = await created(weir, "read", "[b]report[/b]"), await created(weir, "write", "app")
    key_id = read["key_id"]
    at = datetime.fromisoformat(read["created_at"]) + timedelta(hours=1)
    uses = [
        (key_id.encode(), orjson.dumps({"key_id": key_id, "last_used_at": time}))
        # Of two edge processes, the one that is behind writes last.
        for time in (at, at - timedelta(seconds=30))
    ]
    await weir.produce("api-key-uses", [*uses, (b"x", b"no use")])

    found = await listed(weir)
    assert found[key_id] == {
        "key_id": key_id,
        "kind": "read",
        "name": "[b]report[/b]",
        "created_at": read["created_at"],
        "last_used_at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "revoked_at": None,
    }
    assert list(found).index(key_id) < list(found).index(write["key_id"])
    assert found[write["key_id"]]["last_used_at"] is None

    assert await run(weir, "revoke", key_id) == (0, f"revoked {key_id} ([b]report[/b])\n", "")
    revoked_at = (await listed(weir))[key_id]["revoked_at"]
    assert revoked_at is not None
    code, _, errors = await run(weir, "revoke", key_id)
    assert (code, errors) == (1, f"weir keys: {key_id} was revoked at {revoked_at}\n")

    code, table, _ = await run(weir, "list")
    assert code == 0
    [row] = [line for line in table.splitlines() if key_id in line]
    assert "[b]report[/b]" in row
    assert revoked_at in row
    assert read["key"] not in table


async def test_what_edge_processes_pass_over_is_not_listed(weir: Weir) -> None:
    key = await created(weir, "read", "deleted by hand")
    forged = orjson.dumps({**key, "name": "\x1b]0;owned\x07"})
    await weir.produce("api-keys", [(b"", b"{}"), (b"key_other", forged)])
    assert key["key_id"] in await listed(weir)
    await weir.produce("api-keys", [(key["key_id"].encode(), None)])
    assert key["key_id"] not in await listed(weir)


async def test_a_header_name_that_is_not_utf8_hides_no_key(weir: Weir) -> None:
    key = await created(weir, "read", "before")
    await send_together(weir.kafka, weir.topic("api-keys"), 0, [(b"", b"{}", [UNREADABLE])])
    after = await created(weir, "read", "after")
    assert {key["key_id"], after["key_id"]} <= (await listed(weir)).keys()


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "says"),
    [
        (["revoke", "key_nobody"], {}, 1, "there is no key 'key_nobody'"),
        (["create", "--kind", "write", "--name", ""], {}, 2, "printable characters"),
        (["create", "--kind", "write", "--name", "a\x1b[2J"], {}, 2, "printable characters"),
        (["create", "--kind", "write", "--name", "x" * 101], {}, 2, "printable characters"),
        (["create", "--kind", "admin", "--name", "x"], {}, 2, "admin"),
        (["create", "--kind", "write"], {}, 2, "--name"),
        (["list"], {"WEIR_TOPIC_PREFIX": "nowhere."}, 1, "run `weir topics`"),
        (
            ["create", "--kind", "read", "--name", "x"],
            {"WEIR_TOPIC_PREFIX": "nowhere."},
            1,
            "nowhere.api-keys",
        ),
        (["list"], {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, 75, "KAFKA_BOOTSTRAP_SERVERS"),
        (
            ["list"],
            {"KAFKA_BOOTSTRAP_SERVERS": "", "WEIR_KAFKA_PORT": "1"},
            75,
            "Kafka at 127.0.0.1:1",
        ),
        (["list"], {"WEIR_KAFKA_PORT": "many"}, 78, "WEIR_KAFKA_PORT"),
    ],
)
async def test_what_cannot_be_done_is_said(
    weir: Weir, arguments: list[str], environment: dict[str, str], code: int, says: str
) -> None:
    ended, output, errors = await run(weir, *arguments, environment=environment)
    assert (ended, output) == (code, "")
    assert says in errors
