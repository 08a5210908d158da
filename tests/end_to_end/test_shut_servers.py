"""Servers that ask for TLS and credentials: who has none is told what to check."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import clickhouse_connect
import pytest
import trustme
from clickhouse_connect.driver.exceptions import ClickHouseError

from deploy.api_keys import KafkaAway, read_keys
from deploy.local.ports import free_port
from deploy.topics import topic_problems
from schemas.server_problems import (
    clickhouse_problem,
    kafka_away,
    kafka_error,
    kafka_problem,
    refuses,
)
from schemas.servers import ClickHouseSettings, KafkaSettings
from schemas.settings import EX_CONFIG
from tests.clickhouse_gate import Gate
from tests.services import Services, accepts
from tests.weir import Weir, all_taken

pytestmark = [pytest.mark.services, pytest.mark.timeout(280)]

SECRETS = ("KAFKA_SASL_PASSWORD", "CLICKHOUSE_PASSWORD")


def kafka_settings(services: Services, changes: Mapping[str, str | None]) -> KafkaSettings:
    """Those of the services, changed; None: left out."""
    given = {"KAFKA_BOOTSTRAP_SERVERS": services.kafka_servers, **services.credentials, **changes}
    return KafkaSettings.model_validate({name: each for name, each in given.items() if each})


def clickhouse_settings(
    services: Services, changes: Mapping[str, str | None]
) -> ClickHouseSettings:
    given = {"CLICKHOUSE_URL": services.clickhouse_url, **services.credentials, **changes}
    return ClickHouseSettings.model_validate({name: each for name, each in given.items() if each})


@pytest.fixture
def stranger(tmp_path: Path) -> str:
    """The file of an authority that has signed nothing here."""
    file = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    return str(file)


NO_CREDENTIALS = {"KAFKA_SASL_USERNAME": None, "KAFKA_SASL_PASSWORD": None}
REFUSED = "refused the credentials; check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"


@pytest.mark.parametrize(
    ("changes", "says", "lasts"),
    [
        ({"KAFKA_SASL_PASSWORD": "hidden"}, REFUSED, True),
        ({"KAFKA_SASL_PASSWORD": "hidden", "KAFKA_SASL_MECHANISM": "PLAIN"}, REFUSED, True),
        ({"KAFKA_SASL_USERNAME": "nobody"}, REFUSED, True),
        ({"KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"}, "check KAFKA_SASL_MECHANISM", True),
        ({"KAFKA_SSL_CA_FILE": "stranger"}, "check KAFKA_SSL_CA_FILE", True),
        ({"KAFKA_SSL_CA_FILE": None}, "check KAFKA_SSL_CA_FILE", True),
        ({"KAFKA_BOOTSTRAP_SERVERS": "localhost"}, "of another host", True),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", **NO_CREDENTIALS},
            "check KAFKA_SECURITY_PROTOCOL (now SSL)",
            False,
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT", "KAFKA_SSL_CA_FILE": None, **NO_CREDENTIALS},
            "check KAFKA_SECURITY_PROTOCOL (now PLAINTEXT)",
            False,
        ),
        ({"KAFKA_BOOTSTRAP_SERVERS": "kafka.invalid:9092"}, "check KAFKA_BOOTSTRAP_SERVERS", False),
        ({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, "cannot be reached", False),
    ],
)
async def test_kafka_turns_away_who_does_not_fit_and_the_sentence_names_the_setting(
    services: Services, stranger: str, changes: dict[str, str | None], says: str, *, lasts: bool
) -> None:
    if changes.get("KAFKA_SSL_CA_FILE"):
        changes = {**changes, "KAFKA_SSL_CA_FILE": stranger}
    if changes.get("KAFKA_BOOTSTRAP_SERVERS") == "localhost":
        port = services.kafka_servers.partition(":")[2]
        changes = {**changes, "KAFKA_BOOTSTRAP_SERVERS": f"localhost:{port}"}
    settings = kafka_settings(services, changes)
    error = await kafka_error(settings)
    assert error is not None
    sentence = kafka_problem(error, settings)
    assert sentence.startswith(f"Kafka at {settings.bootstrap_servers}")
    assert says in sentence
    assert refuses(error) is lasts
    # A command, whose client hides the reason, says the same.
    with pytest.raises(KafkaAway) as caught:
        await read_keys(settings)
    assert str(caught.value) == sentence
    assert "hidden" not in sentence


async def test_a_kafka_that_is_well_has_nothing_against_us(services: Services) -> None:
    settings = kafka_settings(services, {})
    assert await kafka_error(settings) is None
    assert "TimeoutError" in await kafka_away(TimeoutError(), settings)


async def clickhouse_errors(settings: ClickHouseSettings) -> list[ClickHouseError]:
    """What its clients, the waiting one and the other, fail with."""
    found = []
    with pytest.raises(ClickHouseError) as blocking:
        await asyncio.to_thread(
            clickhouse_connect.get_client, **settings.clickhouse_arguments(), connect_timeout=5
        )
    found.append(blocking.value)
    with pytest.raises(ClickHouseError) as waiting:
        await clickhouse_connect.get_async_client(
            **settings.clickhouse_arguments(), connect_timeout=5
        )
    found.append(waiting.value)
    return found


@pytest.mark.parametrize(
    ("changes", "says", "lasts"),
    [
        ({"CLICKHOUSE_PASSWORD": "hidden"}, "refused the credentials", True),
        ({"CLICKHOUSE_PASSWORD": None}, "check the user in CLICKHOUSE_URL", True),
        ({"CLICKHOUSE_URL": "https://nobody@127.0.0.1:{port}"}, "CLICKHOUSE_PASSWORD", True),
        ({"CLICKHOUSE_CA_FILE": "stranger"}, "check CLICKHOUSE_CA_FILE", True),
        ({"CLICKHOUSE_CA_FILE": None}, "check CLICKHOUSE_CA_FILE", True),
        ({"CLICKHOUSE_URL": "https://weir@localhost:{port}"}, "of another host", True),
        (
            {"CLICKHOUSE_URL": "http://weir@127.0.0.1:{port}", "CLICKHOUSE_CA_FILE": None},
            "cannot be reached",
            False,
        ),
        ({"CLICKHOUSE_URL": "https://weir@clickhouse.invalid"}, "check CLICKHOUSE_URL", False),
        ({"CLICKHOUSE_URL": "https://weir@127.0.0.1:1"}, "cannot be reached", False),
    ],
)
async def test_clickhouse_turns_away_who_does_not_fit_and_the_sentence_names_the_setting(
    services: Services, stranger: str, changes: dict[str, str | None], says: str, *, lasts: bool
) -> None:
    port = services.clickhouse_url.rpartition(":")[2]
    changes = {
        name: stranger if value == "stranger" else value and value.replace("{port}", port)
        for name, value in changes.items()
    }
    settings = clickhouse_settings(services, changes)
    for error in await clickhouse_errors(settings):
        sentence = clickhouse_problem(error, settings)
        assert sentence.startswith(f"ClickHouse at {settings.address}")
        assert says in sentence
        assert refuses(error) is lasts
        assert "hidden" not in sentence


@asynccontextmanager
async def outdated_server(folder: Path) -> AsyncIterator[tuple[int, str]]:
    """Port and authority of a server whose certificate was valid until yesterday."""
    authority = trustme.CA()
    now = datetime.now(UTC)
    certificate = authority.issue_cert(
        "127.0.0.1", not_before=now - timedelta(days=9), not_after=now - timedelta(days=1)
    )
    ca, server = folder / "ca.pem", folder / "outdated.pem"
    authority.cert_pem.write_to_path(str(ca))
    certificate.private_key_and_cert_chain_pem.write_to_path(str(server))
    port = free_port()
    serving = asyncio.create_task(Gate("weir", "hidden", free_port()).serve(port, str(server)))
    await accepts(port, lambda: not serving.done())
    try:
        yield port, str(ca)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_a_certificate_whose_time_is_over_is_to_be_renewed(
    services: Services, tmp_path: Path
) -> None:
    async with outdated_server(tmp_path) as (port, ca):
        at = f"127.0.0.1:{port}"
        kafka = kafka_settings(services, {"KAFKA_BOOTSTRAP_SERVERS": at, "KAFKA_SSL_CA_FILE": ca})
        error = await kafka_error(kafka)
        assert error is not None
        assert "not valid now (certificate has expired); renew it" in kafka_problem(error, kafka)
        clickhouse = clickhouse_settings(
            services, {"CLICKHOUSE_URL": f"https://weir@{at}", "CLICKHOUSE_CA_FILE": ca}
        )
        for each in await clickhouse_errors(clickhouse):
            assert "not valid now (certificate has expired)" in clickhouse_problem(each, clickhouse)


async def test_processes_get_in_by_either_mechanism_with_secrets_from_files(
    weir: Weir, tmp_path: Path
) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    given = {name: weir.environment.pop(name) for name in SECRETS}
    for name, value in given.items():
        (folder / name).write_text(f"{value}\n")
    by_files = {"WEIR_SECRETS_DIR": str(folder)}
    plain = {"KAFKA_SASL_MECHANISM": "PLAIN", **by_files}
    sink = weir.start_sink(plain)
    weir.start_quotas(plain)
    api = weir.launch_api({"WEIR_SELF_ANALYTICS": "true", **by_files})
    # The test's own clients have none.
    weir.environment |= given
    await weir.eventually(weir.api_ready, process=api)
    await weir.eventually(weir.decides, within=120)
    status, _ = await weir.post("/analytics/events", {"event_type": "page_view", "path": "/here"})
    assert status == 202
    # Ours came through the API's producer, those of its own requests through the SDK's.
    await weir.eventually(partial(counted, weir, "/here", "/api/user/plan"), process=sink)
    async with weir.session.get(f"{weir.url}/analytics/export?path=/here") as answer:
        assert answer.status == 200
        assert (await answer.text()).count("/here") == 1
    await weir.eventually(partial(all_taken, weir), process=sink)
    assert await topic_problems(weir.kafka) == []
    for process in weir.processes:
        written = process.log.read_text()
        assert not [name for name, value in given.items() if value in written]


async def counted(weir: Weir, *paths: str) -> bool:
    return set(paths) <= (await weir.summary()).keys()


async def test_an_edge_that_is_refused_says_so_when_asked_whether_it_is_ready(weir: Weir) -> None:
    # The look before a start would end it: so it is when the password changes while it runs.
    api = weir.launch_edge_alone({"CLICKHOUSE_PASSWORD": "hidden"})

    async def said() -> bool:
        try:
            _, document = await weir.get("/readyz")
        except OSError:
            return False
        return "CLICKHOUSE_PASSWORD" in str(document) and "hidden" not in str(document)

    await weir.eventually(said, process=api)


@pytest.mark.parametrize("command", ["api", "sink", "check", "topics", "migrate"])
async def test_wrong_passwords_end_a_process_at_once_and_both_are_named(
    weir: Weir, command: str
) -> None:
    process = weir.process(
        ["-m", "deploy.commands", command],
        {"KAFKA_SASL_PASSWORD": "wrong", "CLICKHOUSE_PASSWORD": "wrong"},
    )
    # Long before WEIR_START_TIMEOUT, since no wait mends that.
    assert await asyncio.wait_for(process.wait(), 45) == EX_CONFIG
    said = "\n".join(process.last_lines())
    assert (REFUSED in said) == (command != "migrate")
    assert ("check the user in CLICKHOUSE_URL, and CLICKHOUSE_PASSWORD" in said) == (
        command != "topics"
    )
    assert "Traceback" not in said
