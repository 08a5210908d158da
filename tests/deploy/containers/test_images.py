"""The images, built here by the commands of their Dockerfiles, and run as docker-compose.yml says.

There is no container engine: see tests/deploy/containers/machine.py for what stands for it.
"""

import asyncio
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.local.managed_process import ManagedProcess
from deploy.local.ports import free_port
from tests.deploy.containers.compose_file import COMPOSE, environment_of, filled_in, loaded
from tests.deploy.containers.machine import CHECKOUT, Builder, Root, build_context, must_mount
from tests.deploy.containers.proxy import nginx_conf, servers_conf
from tests.services import Services
from tests.weir import Weir

# Both images are built once for all of the file.
pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]

FOLDER: Final = CHECKOUT / "deploy" / "containers"
SECRETS: Final = {
    "CONTAINERS_CLICKHOUSE_PASSWORD": "of-clickhouse",
    "GRAFANA_ADMIN_PASSWORD": "of-grafana",
    "WEIR_JWT_SECRET": "j" * 64,
    "WEIR_VISITOR_SECRET": "v" * 64,
}
ROLES: Final = ("user", "producer", "analyst")
_START_OF_PAGES: Final = (
    "printf %s \"$SERVERS\" >/tmp/servers.conf && exec nginx -e stderr -g 'daemon off;'"
)
PORTS: Final = {
    "api": "WEIR_API_PORT",
    "sink": "WEIR_SINK_PORT",
    "quotas": "WEIR_QUOTAS_PORT",
    "social": "WEIR_SOCIAL_PORT",
}


@dataclass(frozen=True)
class Images:
    weir: Root
    pages: Root


@pytest.fixture(scope="module")
def images() -> Iterator[Images]:
    must_mount()
    # Not in pytest's folder, into which another user cannot look.
    folder = Path(tempfile.mkdtemp(prefix="weir-images-"))
    folder.chmod(0o755)
    try:
        builder = Builder(folder, build_context(folder / "context"))
        weir = builder.build(FOLDER / "weir.Dockerfile")
        yield Images(weir, builder.build(FOLDER / "pages.Dockerfile"))
    finally:
        shutil.rmtree(folder)


class Containers:
    """Services of docker-compose.yml on the servers of the tests."""

    def __init__(self, images: Images, weir: Weir, folder: Path) -> None:
        self.weir = weir
        self.ports = {name: free_port() for name in PORTS}
        self._images = images
        self._folder = folder
        self._services = loaded(COMPOSE)["services"]
        self._running: dict[str, ManagedProcess] = {}

    def start(self, name: str) -> ManagedProcess:
        """A container of the service."""
        service = filled_in(self._services[name], SECRETS)
        environment = {
            **self._images.weir.environment,
            **environment_of(self._services[name], SECRETS),
            # The servers of the tests, and ports that are free on this machine.
            **{
                variable: value
                for variable, value in self.weir.environment.items()
                if variable not in {"WEIR_AUTH", "WEIR_DATA_DIR", "WEIR_JWT_SECRET"}
            },
            "WEIR_API_METRICS_PORT": str(free_port()),
            **{setting: str(self.ports[each]) for each, setting in PORTS.items()},
        }
        # The server of the tests has none.
        environment.pop("CLICKHOUSE_PASSWORD", None)
        return self._start(
            name,
            self._images.weir.command(
                ["weir", *service["command"]],
                environment,
                mounts=self._volumes(name, service),
                frozen=True,
            ),
        )

    def start_pages(self) -> tuple[ManagedProcess, str]:
        """The proxy, whose start fills in the template as the base image's does."""
        port = free_port()
        configuration = self._folder / "nginx.conf"
        configuration.write_text(nginx_conf(port))
        environment = self._images.pages.environment
        servers = servers_conf({**environment, "WEIR_URL": f"http://127.0.0.1:{self.ports['api']}"})
        process = self._start(
            "pages",
            self._images.pages.command(
                [
                    "sh",
                    "-c",
                    "printf %s \"$SERVERS\" >/tmp/servers.conf && exec nginx -g 'daemon off;'",
                ],
                {**environment, "SERVERS": servers},
                mounts={configuration: "/etc/nginx/nginx.conf"},
                frozen=True,
            ),
        )
        return process, f"http://127.0.0.1:{port}"

    def _start(self, name: str, command: Sequence[str]) -> ManagedProcess:
        process = ManagedProcess(name, command, log=self._folder / f"{name}.log")
        process.start()
        self._running[name] = process
        return process

    def _volumes(self, name: str, service: dict[str, list[str]]) -> dict[Path, str]:
        """Each new volume is as the image has its folder: with the same folders in it, and user."""
        mounts = {}
        for number, each in enumerate(service.get("volumes", [])):
            source, _, target = each.rpartition(":")
            place = self._folder / (source or f"{name}-{number}")
            there = self._images.weir.within(target)
            shutil.copytree(there, place, dirs_exist_ok=True)
            for path in (there, *there.rglob("*")):
                found = path.stat()
                os.chown(place / path.relative_to(there), found.st_uid, found.st_gid)
            mounts[place] = target
        return mounts

    async def ready(self, name: str) -> None:
        """Returns when its health check would be passed."""
        process = self._running[name]
        deadline = monotonic() + 120
        async with aiohttp.ClientSession() as client:
            while True:
                assert process.running, "\n".join(process.last_lines())
                assert monotonic() < deadline, "\n".join(process.last_lines())
                try:
                    async with client.get(f"http://127.0.0.1:{self.ports[name]}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)

    async def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> float:
        """Ends it as `docker stop` does; how long it took, in seconds."""
        process = self._running[name]
        began = monotonic()
        os.kill(first_of(process), number)
        async with asyncio.timeout(120):
            assert await process.wait() == 0, "\n".join(process.last_lines())
        return monotonic() - began

    def token(self) -> str:
        """As `docker compose exec api weir token …` makes one."""
        done = run(
            self._images.weir,
            ["weir", "token", "--user=alice", *(f"--role={role}" for role in ROLES)],
            WEIR_JWT_SECRET=SECRETS["WEIR_JWT_SECRET"],
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    async def close(self) -> None:
        for process in self._running.values():
            process.kill()
        await asyncio.gather(*(process.wait() for process in self._running.values()))


def first_of(process: ManagedProcess) -> int:
    """The process that has number 1 in its container, by its number out here."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    [first] = children
    return int(first)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def containers(
    images: Images, services: Services, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Containers]:
    """What `docker compose up` starts, in its order."""
    folder = tmp_path_factory.mktemp("containers")
    weir = Weir(services, folder, f"test_{uuid4().hex[:12]}")
    running = Containers(images, weir, folder)
    try:
        for name in ("migrate", "topics"):
            process = running.start(name)
            async with asyncio.timeout(120):
                assert await process.wait() == 0, "\n".join(process.last_lines())
        for name in PORTS:
            running.start(name)
        for name in PORTS:
            await running.ready(name)
        yield running
    finally:
        await running.close()
        await weir.close()


def run(root: Root, words: Sequence[str], **environment: str) -> "subprocess.CompletedProcess[str]":
    """A command in a container of the image, to its end."""
    given = {**root.environment, **environment}
    command = root.command(words, given, frozen=True)
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def test_the_image_holds_what_the_lock_names_and_nothing_that_installs(images: Images) -> None:
    listing = (
        "import importlib.metadata as m, json\n"
        "print(json.dumps({each.name: each.version for each in m.distributions()}))"
    )
    done = run(images.weir, ["python", "-c", listing])
    assert done.returncode == 0, done.stderr
    lock = (CHECKOUT / "requirements" / "production.txt").read_text()
    named = [Requirement(line.rstrip(" \\")) for line in lock.splitlines() if re.match(r"\w", line)]
    locked = {
        each.name: str(each.specifier).removeprefix("==")
        for each in named
        if each.marker is None or each.marker.evaluate()
    }
    there = {canonicalize_name(name): each for name, each in json.loads(done.stdout).items()}
    assert there == {**locked, "weir": "0.1.0"}
    for words in (["python", "-m", "pip"], ["python", "-m", "uv"]):
        assert "No module named" in run(images.weir, words).stderr
    assert not images.weir.within("/opt/uv").exists()


def test_the_packages_are_compiled_once_and_for_all(images: Images) -> None:
    [packages] = images.weir.within("/opt/weir/lib").glob("python*/site-packages")
    assert list((packages / "aiokafka" / "__pycache__").glob("*.pyc"))


def test_a_container_can_write_its_volumes_and_nothing_else(images: Images) -> None:
    trying = """
import json, os, pathlib
said = {}
for folder in ("/", "/opt/weir", "/opt/weir/pages", "/usr/local/lib", "/etc", "/root", "/tmp"):
    try:
        (pathlib.Path(folder) / "tried").write_text("")
        said[folder] = True
    except OSError:
        said[folder] = False
status = pathlib.Path("/proc/self/status").read_text()
said["user"] = [os.getuid(), os.getgid(), os.getgroups()]
said["rights"] = [line.split()[1] for line in status.splitlines() if line.startswith("Cap")]
print(json.dumps(said))
"""
    done = run(images.weir, ["python", "-c", trying])
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said.pop("user") == [10001, 10001, []]
    assert set(said.pop("rights")) == {"0" * 16}
    assert {folder for folder, could in said.items() if could} == {"/tmp"}  # noqa: S108


def test_the_assets_of_both_images_are_the_same_and_packed(images: Images) -> None:
    ours = images.weir.within("/opt/weir/pages/assets")
    theirs = images.pages.written("/usr/share/weir/assets")
    names = {file.name for file in ours.iterdir()}
    assert names
    for name in names:
        assert (theirs / name).read_bytes() == (ours / name).read_bytes()
        if name.endswith((".js", ".css")):
            packed = gzip.decompress((theirs / f"{name}.gz").read_bytes())
            assert packed == (ours / name).read_bytes()


async def test_the_stack_comes_up_takes_an_event_and_answers(containers: Containers) -> None:
    """The health checks are passed by then: see the fixture."""
    _, url = containers.start_pages()
    headers = {"Authorization": f"Bearer {containers.token()}"}
    async with aiohttp.ClientSession(headers=headers) as client:
        await _answers(client, f"{url}/healthz")
        async with client.get(f"{url}/plan") as page:
            assert page.status == 200
            text = await page.text()
            assert "script-src 'self'" in page.headers["Content-Security-Policy"]
        [script] = re.findall(r'src="(/assets/[^"]+\.js)"', text)
        async with client.get(url + script) as file:
            assert file.status == 200
            assert "immutable" in file.headers["Cache-Control"]
            assert "Last-Modified" in file.headers, "not of nginx itself"
        event = {"event_type": "page_view", "path": "/from-a-container"}
        async with client.post(f"{url}/analytics/events", json=event) as answer:
            assert answer.status == 202, await answer.text()
        deadline = monotonic() + 60
        while True:
            async with client.get(f"{url}/analytics/summary?bots=include") as answer:
                assert answer.status == 200, await answer.text()
                counted = {each["path"]: each["count"] for each in (await answer.json())["items"]}
            if counted.get("/from-a-container") == 1:
                break
            assert monotonic() < deadline, counted
            await asyncio.sleep(0.1)
        async with client.get(f"{url}/api/user/plan") as answer:
            assert answer.status == 200, await answer.text()
    assert await containers.stop("pages", signal.SIGQUIT) < 10


async def _answers(client: aiohttp.ClientSession, url: str) -> None:
    deadline = monotonic() + 30
    while True:
        try:
            async with client.get(url) as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        assert monotonic() < deadline, url
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("name", PORTS)
async def test_a_container_ends_within_its_time_as_the_first_process(
    containers: Containers, name: str
) -> None:
    """Number 1 of a container gets no signal that it does not handle itself."""
    grace = float(loaded(COMPOSE)["services"][name]["stop_grace_period"].removesuffix("s"))
    assert await containers.stop(name) < grace
