"""`weir check` and the edge's start: what is wrong is said at once, before anything is started."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

from tests.services import Services
from tests.weir import throwaway_weir


def weir(
    folder: Path, command: str, environment: dict[str, str]
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "deploy.commands", command],
        cwd=folder,
        env={**os.environ, "WEIR_AUTH": "local", **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_what_is_wrong_in_the_settings_of_any_process_is_said_at_once(tmp_path: Path) -> None:
    done = weir(
        tmp_path,
        "check",
        {
            "WEIR_API_PORT": "none",
            "WEIR_SINK_GROUP": "",
            "WEIR_QUOTAS_STANDBYS": "-1",
            "WEIR_GENERATIONS_IN_FLIGHT": "0",
            "KAFKA_BOOTSTRAP_SERVERS": "",
        },
    )
    assert done.returncode == 78
    named = [line.split(":")[0].strip() for line in done.stderr.splitlines()[1:]]
    assert len(named) == len(set(named))
    assert {
        "WEIR_API_PORT",
        "WEIR_SINK_GROUP",
        "WEIR_QUOTAS_STANDBYS",
        "WEIR_GENERATIONS_IN_FLIGHT",
    } <= set(named)


def test_a_place_for_pictures_that_cannot_be_used_is_named_by_its_setting(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    done = weir(tmp_path, "api", {"WEIR_MEDIA_URL": f"file://{tmp_path}/taken/pictures"})
    assert done.returncode == 78
    assert "check WEIR_MEDIA_URL" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.services
async def test_a_worker_that_runs_and_is_not_ready_is_named(
    services: Services, tmp_path: Path
) -> None:
    async def readyz(_: web.Request) -> web.Response:
        return web.json_response({"not_ready": {"openai": "the key is wrong"}}, status=503)

    application = web.Application()
    application.router.add_get("/readyz", readyz)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with throwaway_weir(services, tmp_path) as own:
            environment = {**own.environment, "WEIR_SOCIAL_PORT": str(port)}
            done = await asyncio.to_thread(weir, tmp_path, "check", environment)
    finally:
        await runner.cleanup()
    assert done.stderr.strip() == "social: the key is wrong"
    assert done.returncode == 1
