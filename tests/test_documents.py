"""The documents name what is there, all of it, and nothing else."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from pydantic import SecretStr

from deploy.forgetting.tables import TABLES
from deploy.settings_kinds import KINDS, OTHERS
from schemas import limits
from schemas.metrics import METRICS
from schemas.metrics import document as metrics_document
from schemas.topics import DAY_MS, TOPICS, Topic

CHECKOUT: Final = Path(__file__).parents[1]
DOCS: Final = CHECKOUT / "docs"
README: Final = CHECKOUT / "README.md"
OPERATIONS: Final = DOCS / "operations.md"
ENV_EXAMPLE: Final = CHECKOUT / ".env.example"
DOCUMENTS: Final = (README, CHECKOUT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md")))

SETTING: Final = re.compile(r"\b(?:WEIR|KAFKA|CLICKHOUSE|OPENAI|STRIPE|OTEL)_[A-Z_]+\b")
NONE: Final = "\N{EN DASH}"
IGNORED: Final = re.compile(r"\.(?:gz|png|webp|ico|woff2)$")


def defaults() -> dict[str, str]:
    """Every setting of every process, by its name in the environment, with its default."""
    found = {}
    for kind in KINDS:
        for name, field in kind.model_fields.items():
            assert field.alias is not None, f"{kind.__name__}.{name} has no name in the environment"
            found[field.alias] = _written(field.default)
    return found


def _written(default: object) -> str:
    match default:
        case SecretStr():
            return default.get_secret_value()
        case float() if default.is_integer():
            return str(int(default))
        case _:
            return str(default)


def rows(document: Path) -> Iterator[list[str]]:
    """The cells of all rows of all tables."""
    for line in document.read_text().splitlines():
        if line.startswith("|") and not line.startswith("|--"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def code(document: Path) -> Iterator[str]:
    """What stands between backticks, and every line of a fenced block without its prompt."""
    fenced = False
    for line in document.read_text().splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced:
            yield line.removeprefix("$ ").strip()
        else:
            yield from re.findall(r"`([^`]+)`", line)


def in_checkout() -> list[Path]:
    """Every text file that is in the repository, or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    files = [CHECKOUT / name for name in listed.stdout.split("\0") if name]
    return [file for file in files if file.is_file() and not IGNORED.search(file.name)]


def test_every_setting_stands_in_operations_with_its_default() -> None:
    documented = {
        cells[0].strip("`"): cells[1].strip("`").replace(NONE, "")
        for cells in rows(OPERATIONS)
        if SETTING.fullmatch(cells[0].strip("`"))
    }
    assert documented == defaults() | {"WEIR_URL": ""}


def test_every_setting_stands_in_the_example_with_its_default() -> None:
    examples = dict(
        re.findall(rf"^(?:# )?({SETTING.pattern})=(.*)$", ENV_EXAMPLE.read_text(), re.MULTILINE)
    )
    # What a library reads may stand there too, where docker-compose.yml hands it on.
    of_libraries = OTHERS - {"WEIR_URL"}
    assert examples.keys() - of_libraries == defaults().keys() | {"WEIR_URL"}
    addresses = {"KAFKA_BOOTSTRAP_SERVERS", "CLICKHOUSE_URL", "WEIR_URL"}
    differing = {
        name: value
        for name, value in examples.items()
        if name not in addresses | of_libraries and value != defaults()[name]
    }
    assert differing == {}


@pytest.mark.parametrize("document", [*DOCUMENTS, ENV_EXAMPLE], ids=lambda each: each.name)
def test_no_document_names_a_setting_that_does_not_exist(document: Path) -> None:
    assert set(SETTING.findall(document.read_text())) <= defaults().keys() | OTHERS


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: each.name)
def test_every_recipe_and_command_that_a_document_names_exists(document: Path) -> None:
    recipes = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    named = [
        (each, re.match(r"(?:\S*/)?(make|weir) ([a-z][a-z-]*)", each)) for each in code(document)
    ]
    unknown = [
        text
        for text, match in named
        if match and match[2] not in (recipes if match[1] == "make" else weir_commands())
    ]
    assert unknown == []


def weir_commands() -> set[str]:
    """One module a command, named for it."""
    return {
        file.stem.replace("_", "-")
        for file in (CHECKOUT / "deploy" / "commands").glob("*.py")
        if not file.stem.startswith("_")
    }


def test_every_command_stands_in_operations() -> None:
    documented = {cells[0].strip("`") for cells in rows(OPERATIONS)}
    assert {f"weir {name}" for name in weir_commands()} <= documented


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: each.name)
def test_every_link_within_the_repository_leads_somewhere(document: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        if "://" in target:
            continue
        place, _, section = target.partition("#")
        file = document.parent / place if place else document
        if not file.exists() or (section and section not in sections(file)):
            broken.append(target)
    assert broken == []


def sections(document: Path) -> set[str]:
    """The headings as links name them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


def test_every_metric_stands_in_operations_as_it_is_declared() -> None:
    # `python -m schemas.metrics` prints what must be there.
    assert metrics_document.table() in OPERATIONS.read_text()


def test_no_document_names_a_metric_that_does_not_exist() -> None:
    declared = {metric.name for metric in METRICS}
    # What a metric's name ends with tells it from other names that begin so.
    endings = {name.rsplit("_", 1)[1] for name in declared} - {"info"}
    named = {
        name
        for document in DOCUMENTS
        for name in re.findall(r"\bweir_[a-z_]+\b", document.read_text())
        if name.rsplit("_", 1)[1] in endings
    }
    assert len(named) > 20
    assert named <= declared


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_every_topic_stands_in_events_as_the_registry_has_it(topic: Topic) -> None:
    [row] = [cells for cells in rows(DOCS / "events.md") if cells[0] == f"`{topic.name}`"]
    _, _, key, partitions, kept = row
    assert key.replace("`", "") == topic.key
    assert int(partitions) == topic.partitions
    assert kept == _kept(topic)


def _kept(topic: Topic) -> str:
    if topic.settings.get("cleanup.policy") == "compact":
        return "the last of each key"
    hours = topic.retention_ms * 24 // DAY_MS
    return f"{hours // 24} days" if hours >= 48 else f"{hours} h"


@pytest.mark.parametrize(
    "limit",
    [
        limits.MAX_EVENTS_PER_REQUEST,
        limits.MAX_REQUEST_BYTES,
        limits.MAX_PATH_CHARACTERS,
        limits.MAX_NAME_CHARACTERS,
        limits.MAX_EVENT_TYPE_CHARACTERS,
        limits.MAX_METADATA_BYTES,
        limits.MAX_METADATA_DEPTH,
    ],
)
def test_every_limit_stands_in_events(limit: int) -> None:
    assert re.search(rf"\b{limit:,}\b", (DOCS / "events.md").read_text())


def test_decisions_are_numbered_without_a_gap_and_listed() -> None:
    files = sorted((DOCS / "adr").iterdir())
    assert [file.name[:5] for file in files] == [
        f"{number:04}-" for number in range(1, len(files) + 1)
    ]
    listed = (DOCS / "architecture.md").read_text()
    for number, file in enumerate(files, start=1):
        text = file.read_text()
        assert text.startswith(f"# {number}. "), file.name
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
            "Context",
            "Decision",
            "Consequence",
        ]
        assert f"](adr/{file.name})" in listed


def test_the_page_of_documents_lists_every_one() -> None:
    listed = set(re.findall(r"^\| \[[^\]]+\]\(([^)]+)\)", (DOCS / "README.md").read_text(), re.M))
    assert {file.name for file in DOCS.iterdir()} - {"README.md", "images"} <= listed


def test_the_readme_lists_every_folder() -> None:
    listed = {cells[0].strip("`/") for cells in rows(README) if cells[0].endswith("/`")}
    there = {
        file.relative_to(CHECKOUT).parts[0] for file in in_checkout() if file.parent != CHECKOUT
    }
    assert listed == {name for name in there if not name.startswith(".")}


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("a path of one machine", r"(?<![\w.])/(?:home|Users|root|work|mnt)/\w|/tmp/\w+/\w"),
        (
            "the address of a package registry",
            r"\b(?:pypi|pythonhosted|npmjs|sonatype)\.(?:org|com)\b|\bmaven\.(?:org|apache)\b",
        ),
    ],
)
def test_no_file_names(what: str, pattern: str) -> None:
    named = [
        f"{file.relative_to(CHECKOUT)}:{number} {match[0]}"
        for file in in_checkout()
        for number, line in enumerate(file.read_text(errors="replace").splitlines(), start=1)
        if (match := re.search(pattern, line))
    ]
    assert named == [], what


def test_locks_hold_no_address() -> None:
    locks = [*(CHECKOUT / "requirements").iterdir(), *CHECKOUT.glob("deploy/**/*.lock")]
    assert len(locks) == 6
    packages = [
        each
        for each in in_checkout()
        if each.name == "package-lock.json" and '"resolved"' in each.read_text()
    ]
    assert packages == []
    assert [lock.name for lock in locks if "://" in lock.read_text()] == []


def test_every_test_that_the_security_page_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`", (DOCS / "security.md").read_text())
    assert len(named) > 20
    missing = [
        (file, test)
        for file, test in named
        if not (CHECKOUT / file).is_file()
        or (test and f"def {test}(" not in (CHECKOUT / file).read_text())
    ]
    assert missing == []


def test_every_table_that_names_people_stands_in_the_inventory_of_personal_data() -> None:
    page = (DOCS / "security.md").read_text()
    inventory = page[page.index("## Personal data") :]
    assert [table.name for table in TABLES if f"`{table.name}`" not in inventory] == []
