"""curl, the client that hides nothing."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlencode

from tests.deploy.local.clickhouse.embedded import EmbeddedClickHouse


@dataclass(frozen=True)
class CurlAnswer:
    """What came back; `exit_code` is curl's own."""

    status: int
    headers: dict[str, str]
    body: bytes
    exit_code: int

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def summary(self) -> dict[str, str]:
        return cast("dict[str, str]", json.loads(self.headers["x-clickhouse-summary"]))


def curl(
    server: EmbeddedClickHouse,
    *options: str,
    path: str = "/",
    body: bytes | str | None = None,
    stdin: bytes = b"",
    parameters: Mapping[str, str | int] | None = None,
    **more_parameters: str | int,
) -> CurlAnswer:
    """One request; a body is sent as `--data-binary` does, parameters go into the URL."""
    parameters = {**(parameters or {}), **more_parameters}
    url = f"{server.url}{path}" + (f"?{urlencode(parameters)}" if parameters else "")
    command = ["curl", "-sS", "--max-time", "60", "-D", "/dev/stderr", *options]
    if body is not None:
        command += ["--data-binary", "@-"]
        stdin = body.encode() if isinstance(body, str) else body
    done = subprocess.run([*command, url], input=stdin, capture_output=True, check=False)
    status = 0
    headers: dict[str, str] = {}
    for line in done.stderr.decode("latin-1").splitlines():
        if line.startswith("HTTP/"):
            status, headers = int(line.split()[1]), {}
        elif ": " in line:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
    return CurlAnswer(status, headers, done.stdout, done.returncode)
