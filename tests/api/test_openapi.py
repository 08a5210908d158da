"""The OpenAPI document tells the truth: what it allows, the API does, and it never breaks."""

import asyncio
import re
import sys
from pathlib import Path

import orjson
import pytest

from schemas.cloud_events import BATCH_MEDIA_TYPE, MEDIA_TYPE
from tests.api.identity.credentials import bearer, signed
from tests.api.requests import EVENTS, Answer, ask
from tests.weir import Json, Weir

pytestmark = pytest.mark.services

EXAMPLES = 50
CONFIGURATION = """
# All but missing_test_data and low_valid_rate: no dead letter is there, so that every id is an
# unknown one, and a schema cannot say which plans there are.
warnings = [
    "missing_auth", "base_url_mismatch", "validation_mismatch", "missing_deserializer",
    "unused_openapi_auth", "unsupported_regex", "method_not_allowed", "constants_extraction",
    "unmatched_filter", "unresolvable_reference", "rate_limited",
    "dictionary_mismatch", "timeout_units",
]

[checks]
# A schema cannot say which cursors are ours, nor that `from` is not after `to`.
positive_data_acceptance.enabled = false

[[operations]]
include-method = "POST"
include-path = "/analytics/events"
# An array in which one event is good is taken, whatever the others are.
checks.negative_data_rejection.enabled = false

[[operations]]
include-path = "/analytics/live"
# It goes on for minutes else.
parameters = { "query.seconds" = 0 }

[[operations]]
# Nor which spends.
include-path-regex = "^/api/users/"
warnings = ["missing_auth", "unused_openapi_auth"]

[[operations]]
# Nor which plans are sold, who is a customer, and how Stripe signs.
include-path-regex = "^/(api/user/billing/|stripe/)"
warnings = ["missing_auth", "unused_openapi_auth"]
"""


async def document(weir: Weir) -> Json:
    return (await ask(weir, "GET", "/openapi.json")).json


PARTS = (
    "^/analytics/",
    "^/dead-letters",
    "^/api/",
    "^/social/",
    "^/(?!analytics/|dead-letters|api/|social/)",
)


@pytest.mark.parametrize("part", PARTS)
async def test_schemathesis_finds_nothing(guarded: Weir, tmp_path: Path, part: str) -> None:
    """Examples, limits and random data, valid and invalid, at every operation.

    It finds no 5xx, no status, content type, header or shape of an answer that the document
    does not have, no invalid parameter that is accepted, no method that is wrongly answered,
    nothing that is open without credentials though the document asks for them.
    """
    headers = bearer(signed(guarded, sub="schemathesis", roles=["admin"]))
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(CONFIGURATION)
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        f"--config-file={configuration}",
        "run",
        f"{guarded.url}/openapi.json",
        *(f"--header={name}: {value}" for name, value in headers.items()),
        f"--include-path-regex={part}",
        f"--max-examples={EXAMPLES}",
        "--generation-deterministic",
        "--continue-on-failure",
        "--no-color",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=tmp_path,
    )
    output, _ = await process.communicate()
    text = output.decode()
    assert process.returncode == 0, text
    paths = (await document(guarded))["paths"]
    of_part = sum(len(each) for path, each in paths.items() if re.match(part, path))
    operations = sum(len(each) for each in paths.values())
    assert of_part > 0
    assert f"{of_part} selected / {operations} total" in text
    assert "No issues found" in text


GUARDED = {"400", "401", "403", "429"}
"""Of every operation that asks for credentials."""
LETTER = "/dead-letters/{dead_letter_id}"
OF_USER = "/api/users/{user_id}"
ANSWERS = {
    "application/json",
    "application/schema+json",
    "application/vnd.apache.parquet",
    "application/x-ndjson",
    "text/csv",
    "text/event-stream",
    "image/png",
    "image/webp",
    "image/jpeg",
}


async def test_every_operation_documents_its_problems(edge: Weir) -> None:
    api = await document(edge)
    documented = {
        (method, path): set(operation["responses"])
        for path, operations in api["paths"].items()
        for method, operation in operations.items()
    }
    assert documented == {
        ("post", "/analytics/events"): GUARDED | {"202", "413", "415", "422", "503"},
        ("post", "/sites/{site}/events"): (
            {"202", "400", "403", "404", "413", "415", "422", "429", "503"}
        ),
        ("get", "/analytics/events"): GUARDED | {"200", "422", "503"},
        ("get", "/analytics/live"): GUARDED | {"200", "422", "503"},
        ("get", "/analytics/summary"): GUARDED | {"200", "422", "503"},
        ("get", "/analytics/breakdown"): GUARDED | {"200", "422", "503"},
        ("get", "/analytics/totals"): GUARDED | {"200", "422", "503"},
        ("get", "/analytics/timeseries"): GUARDED | {"200", "422", "503"},
        ("get", "/analytics/export"): GUARDED | {"200", "422", "503"},
        ("get", "/dead-letters"): GUARDED | {"200", "422", "503"},
        ("get", LETTER): GUARDED | {"200", "404", "422", "503"},
        ("post", f"{LETTER}/replay"): GUARDED | {"202", "404", "409", "422", "503"},
        ("post", f"{LETTER}/discard"): GUARDED | {"202", "404", "409", "422", "503"},
        ("post", "/dead-letters/replay"): GUARDED | {"202", "413", "415", "422", "503"},
        ("post", "/dead-letters/discard"): GUARDED | {"202", "413", "415", "422", "503"},
        ("get", "/api/user/plan"): GUARDED | {"200", "503"},
        ("post", "/api/user/plan"): GUARDED | {"200", "413", "415", "422", "503"},
        ("get", "/api/user/usage"): GUARDED | {"200", "422", "503"},
        ("get", "/api/users"): GUARDED | {"200", "422", "503"},
        ("get", f"{OF_USER}/plan"): GUARDED | {"200", "422", "503"},
        ("put", f"{OF_USER}/plan"): GUARDED | {"200", "413", "415", "422", "503"},
        ("post", f"{OF_USER}/top-ups"): GUARDED | {"200", "409", "413", "415", "422", "503"},
        ("post", f"{OF_USER}/refunds"): GUARDED | {"200", "404", "409", "413", "415", "422", "503"},
        ("get", f"{OF_USER}/usage"): GUARDED | {"200", "422", "503"},
        ("get", f"{OF_USER}/ledger"): GUARDED | {"200", "422", "503"},
        ("post", f"{OF_USER}/rebuild"): GUARDED | {"200", "404", "422", "503"},
        ("get", "/api/plans"): {"200", "304", "422"},
        ("post", "/social/post"): GUARDED | {"200", "202", "413", "415", "422", "502", "503"},
        ("get", "/social/posts"): GUARDED | {"200", "422", "503"},
        ("get", "/social/posts/{post_id}"): GUARDED | {"200", "404", "422", "503"},
        ("get", "/social/posts/{post_id}/events"): GUARDED | {"200", "204", "404", "422", "503"},
        ("get", "/media/{key}"): {"200", "304", "404", "422", "503"},
        ("get", "/api/user/billing"): GUARDED | {"200", "503"},
        ("post", "/api/user/billing/portal"): GUARDED | {"200", "409", "502", "503"},
        ("post", "/api/user/billing/checkout"): (
            GUARDED | {"200", "409", "413", "415", "422", "502", "503"}
        ),
        ("post", "/stripe/webhook"): {"200", "400", "413", "422", "503"},
        ("get", "/schemas/"): {"200"},
        ("get", "/schemas/{name}.json"): {"200", "304", "404", "422"},
        ("get", "/asyncapi.json"): {"200", "304", "422"},
        ("get", "/pages/settings"): {"200"},
        ("get", "/healthz"): {"200"},
        ("get", "/readyz"): {"200", "422", "503"},
    }
    guarded = {
        (method, path)
        for path, operations in api["paths"].items()
        for method, operation in operations.items()
        if "security" in operation
    }
    assert guarded == {each for each, statuses in documented.items() if statuses >= GUARDED}
    for operations in api["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if status in {"204", "304"}:
                    assert "content" not in response
                    continue
                kinds = set(response["content"])
                assert kinds <= ANSWERS if status < "300" else kinds == {"application/problem+json"}
                assert all(content["schema"] for content in response["content"].values())


async def test_the_examples_are_taken(edge: Weir) -> None:
    body = (await document(edge))["paths"][EVENTS]["post"]["requestBody"]["content"]
    assert list(body) == ["application/json", MEDIA_TYPE, BATCH_MEDIA_TYPE]
    for content_type, content in body.items():
        assert content["examples"]
        for example in content["examples"].values():
            sent = orjson.dumps(example["value"])
            answer = await ask(edge, "POST", EVENTS, sent, {"Content-Type": content_type})
            assert answer.status == 202, answer.body


async def test_every_field_and_parameter_is_described(edge: Weir) -> None:
    api = await document(edge)
    event = api["components"]["schemas"]["NewEvent"]
    assert event["additionalProperties"] is False
    parameters = [
        parameter
        for path in ("/analytics/events", "/analytics/summary")
        for parameter in api["paths"][path]["get"]["parameters"]
    ]
    described = {
        **event["properties"],
        **{f"?{each['name']}": each for each in parameters},
    }
    assert [name for name, each in described.items() if not each.get("description")] == []


@pytest.mark.parametrize("path", ["/analytics/live", "/social/posts/{post_id}/events"])
async def test_streams_name_the_header_that_they_are_resumed_by(edge: Weir, path: str) -> None:
    parameters = (await document(edge))["paths"][path]["get"]["parameters"]
    [header] = [each for each in parameters if each["in"] == "header"]
    assert header["name"] == "Last-Event-ID"
    assert header["required"] is False
    assert header["description"]


async def test_the_page_of_documents_loads(edge: Weir) -> None:
    page: Answer = await ask(edge, "GET", "/docs")
    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert b"/openapi.json" in page.body


async def test_the_page_of_documents_needs_nothing_from_elsewhere(edge: Weir) -> None:
    page: Answer = await ask(edge, "GET", "/docs")
    addresses = re.findall(rb'(?:src|href)="([^"]+)"', page.body)
    assert addresses
    for address in addresses:
        assert address.startswith(b"/docs/assets/"), address
        asset = await ask(edge, "GET", address.decode())
        assert asset.status == 200
        assert len(asset.body) > 100
