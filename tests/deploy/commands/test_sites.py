"""`weir sites` against a real Kafka: what is kept, what is shown, how it ends."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import orjson
import pytest
import pytest_asyncio
from typer.testing import CliRunner

from deploy.api_keys import read_keys
from deploy.commands.keys import keys
from deploy.commands.sites import sites
from tests.services import Services
from tests.weir import Json, Weir, throwaway_weir

pytestmark = pytest.mark.services

SHOP = "https://shop.example"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def weir(services: Services, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Weir]:
    async with throwaway_weir(services, tmp_path_factory.mktemp("sites")) as shared:
        yield shared


async def run(
    weir: Weir,
    *arguments: str,
    environment: dict[str, str] | None = None,
    command: object = sites,
) -> tuple[int, str, str]:
    """Exit code, output and errors; in this process, which starts no other one each time."""
    done = await asyncio.to_thread(
        CliRunner().invoke,
        command,  # type: ignore[arg-type]  # a Typer each
        arguments,
        env={"COLUMNS": "80", **weir.environment, **(environment or {})},
    )
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


async def created(weir: Weir, name: str, *origins: str) -> Json:
    options = [part for origin in origins for part in ("--origin", origin)]
    code, output, errors = await run(weir, "create", name, *options, "--json")
    assert (code, errors) == (0, "")
    return orjson.loads(output)


async def listed(weir: Weir) -> dict[str, Json]:
    code, output, errors = await run(weir, "list", "--json")
    assert (code, errors) == (0, "")
    return {item["site_id"]: item for item in map(orjson.loads, output.splitlines())}


async def test_the_id_is_the_whole_output_and_the_tag_beside_it(weir: Weir) -> None:
    code, output, errors = await run(
        weir, "create", "shop", "--origin", "HTTPS://Shop.example:443", "--origin", SHOP
    )
    assert code == 0
    site_id = output.removesuffix("\n")
    assert re.fullmatch(r"site_[a-z2-7]{16}", site_id)
    assert f'data-site="{site_id}"' in errors
    kept = (await read_keys(weir.kafka)).sites[site_id]
    assert (kept.name, kept.origins, kept.revoked_at) == ("shop", (SHOP,), None)


async def test_sites_are_listed_with_their_last_use_and_revoked_for_ever(weir: Weir) -> None:
    first = await created(weir, "[b]first[/b]", SHOP, "http://localhost:3000")
    second = await created(weir, "second", "https://second.example")
    site_id = first["site_id"]
    at = datetime.fromisoformat(first["created_at"]) + timedelta(hours=1)
    use = orjson.dumps({"key_id": site_id, "last_used_at": at})
    await weir.produce("api-key-uses", [(site_id.encode(), use)])

    found = await listed(weir)
    assert found[site_id] == {
        "site_id": site_id,
        "name": "[b]first[/b]",
        "origins": [SHOP, "http://localhost:3000"],
        "created_at": first["created_at"],
        "last_used_at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "revoked_at": None,
    }
    assert found[second["site_id"]]["last_used_at"] is None
    assert await run(weir, "revoke", site_id) == (0, f"revoked {site_id} ([b]first[/b])\n", "")
    revoked_at = (await listed(weir))[site_id]["revoked_at"]
    assert revoked_at is not None
    code, _, errors = await run(weir, "revoke", site_id)
    assert (code, errors) == (1, f"weir sites: {site_id} was revoked at {revoked_at}\n")

    code, table, _ = await run(weir, "list")
    assert code == 0
    [row] = [line for line in table.splitlines() if site_id in line]
    assert f"{SHOP} http://localhost:3000" in row
    assert "[b]first[/b]" in row
    assert revoked_at in row


async def test_sites_and_keys_are_not_taken_for_each_other(weir: Weir) -> None:
    site_id = (await created(weir, "apart", SHOP))["site_id"]
    arguments = ("create", "--kind", "write", "--name", "apart", "--json")
    _, output, _ = await run(weir, *arguments, command=keys)
    key_id = orjson.loads(output)["key_id"]
    assert key_id not in await listed(weir)
    _, output, _ = await run(weir, "list", "--json", command=keys)
    assert key_id in output
    assert site_id not in output
    code, _, errors = await run(weir, "revoke", key_id)
    assert (code, errors.split(";")[0]) == (1, f"weir sites: there is no site '{key_id}'")
    code, _, errors = await run(weir, "revoke", site_id, command=keys)
    assert (code, errors.split(";")[0]) == (1, f"weir keys: there is no key '{site_id}'")


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "says"),
    [
        (["revoke", "site_nobody"], {}, 1, "there is no site 'site_nobody'; `weir sites list`"),
        (["create", "", "--origin", SHOP], {}, 2, "printable characters"),
        (["create", "a\x1b[2J", "--origin", SHOP], {}, 2, "printable characters"),
        (["create", "x" * 101, "--origin", SHOP], {}, 2, "printable characters"),
        (["create", "shop"], {}, 2, "--origin"),
        (["create", "shop", "--origin", f"{SHOP}/"], {}, 2, "no slash"),
        (["create", "shop", "--origin", SHOP, "--origin", "*"], {}, 2, "must look like"),
        (
            ["create", "shop", *(f"--origin=https://{each}.example" for each in range(21))],
            {},
            2,
            "at most 20",
        ),
        (["list"], {"WEIR_TOPIC_PREFIX": "nowhere."}, 1, "run `weir topics`"),
        (["list"], {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, 75, "KAFKA_BOOTSTRAP_SERVERS"),
        (["list"], {"WEIR_KAFKA_PORT": "many"}, 78, "WEIR_KAFKA_PORT"),
    ],
)
async def test_what_cannot_be_done_is_said(
    weir: Weir, arguments: list[str], environment: dict[str, str], code: int, says: str
) -> None:
    ended, output, errors = await run(weir, *arguments, environment=environment)
    assert (ended, output) == (code, "")
    # Boxes fold what they hold.
    assert says in re.sub(r"\s*│\s*\n│\s*|\s+", " ", errors)
