"""The catalogue of plans: Weir's own, an operator's, and one that cannot be used."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from schemas.plans import OWN_CATALOGUE, InvalidPlans, Plan, PlansSettings, read_catalogue
from schemas.settings import read_settings

TWO_PLANS = """
version = 7
default = "small"

[plans.small]
title = "Small"
limit = 0

[plans.large]
title = "Large"
limit = 1_000_000_000_000
unlocks = ["x", "export"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "plans.toml"


def test_weirs_own_catalogue_has_a_free_plan_of_100_credits_for_who_is_on_no_plan() -> None:
    catalogue = read_catalogue()
    assert list(catalogue.plans) == ["free", "pro", "business"]
    assert catalogue.default == "free"
    assert catalogue.plans["free"].limit == 100


def test_a_dearer_plan_allows_more_and_unlocks_all_of_the_one_before() -> None:
    plans = list(read_catalogue().plans.values())
    for one, next_one in pairwise(plans):
        assert one.limit < next_one.limit
        assert set(one.unlocks) < set(next_one.unlocks)


def test_an_operators_file_takes_the_place_of_weirs_own(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(TWO_PLANS)
    monkeypatch.setenv("WEIR_PLANS_FILE", str(file))
    catalogue = read_catalogue(read_settings(PlansSettings).plans_path)
    assert catalogue.version == 7
    assert catalogue.plan("large") == Plan("large", "Large", 1_000_000_000_000, ("x", "export"))
    assert catalogue.plan("free") is None


def test_without_the_setting_weirs_own_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEIR_PLANS_FILE", raising=False)
    assert read_settings(PlansSettings).plans_path == OWN_CATALOGUE


def test_a_plan_that_is_gone_is_measured_by_the_default(file: Path) -> None:
    file.write_text(TWO_PLANS)
    catalogue = read_catalogue(file)
    assert catalogue.plan_or_default("gold") == catalogue.plan("small")
    assert catalogue.plan_or_default("large") == catalogue.plan("large")


def test_all_that_is_wrong_is_said_at_once_with_the_file_and_the_place(file: Path) -> None:
    file.write_text(
        """
        version = "1"
        default = "gold"
        colour = "red"
        [plans.free]
        title = ""
        limit = -1
        unlocks = ["x", "x"]
        [plans.Pro]
        title = "Pro"
        limit = 1.5
        """
    )
    with pytest.raises(InvalidPlans) as raised:
        read_catalogue(file)
    lines = str(raised.value).splitlines()
    assert all(line.startswith(f"{file}: ") for line in lines)
    for place in (
        "version",
        "colour",
        r"plans\.free\.title",
        r"plans\.free\.limit",
        r"plans\.free\.unlocks: .*names x more than once",
        r"plans\.Pro.*pattern",
        r"plans\.Pro\.limit",
    ):
        assert any(re.search(place, line) for line in lines), place


def test_a_default_that_is_not_among_the_plans_is_refused(file: Path) -> None:
    file.write_text(TWO_PLANS.replace('default = "small"', 'default = "gold"'))
    with pytest.raises(
        InvalidPlans, match=r"default: .*gold is not among the plans \(small, large\)"
    ):
        read_catalogue(file)


@pytest.mark.parametrize("missing", ["version", "default", "plans"])
def test_what_is_missing_is_named(file: Path, missing: str) -> None:
    text = TWO_PLANS if missing != "plans" else TWO_PLANS.split("[", maxsplit=1)[0]
    file.write_text("\n".join(line for line in text.splitlines() if not line.startswith(missing)))
    with pytest.raises(InvalidPlans, match=f"{missing}: Field required"):
        read_catalogue(file)


def test_a_file_without_any_plan_is_refused(file: Path) -> None:
    file.write_text('version = 1\ndefault = "free"\n[plans]\n')
    with pytest.raises(InvalidPlans, match=r"plans: .*at least 1"):
        read_catalogue(file)


@pytest.mark.parametrize("content", [b"version = ", b"\xff\xfe", b"[plans.free]\n[plans.free]\n"])
def test_a_file_that_is_not_toml_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(InvalidPlans, match="is not TOML"):
        read_catalogue(file)


def test_a_file_that_is_not_there_says_what_to_do(file: Path) -> None:
    with pytest.raises(InvalidPlans, match=r"No such file.*WEIR_PLANS_FILE"):
        read_catalogue(file)
