"""Migrations that have landed are never edited, and databases that do not fit are refused."""

from pathlib import Path

import pytest

from schemas.migrations import (
    BrokenMigrations,
    Migration,
    landed_lines,
    load_migrations,
    schema_problem,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text(
        "-- a comment; with a semicolon\nSELECT 1;\nSELECT 2;\n"
    )
    (tmp_path / "0002_second.sql").write_text("SELECT 3;\n")
    (tmp_path / "landed.toml").write_text(landed_lines(tmp_path))
    return tmp_path


def test_the_projects_own_files_fit_their_lock() -> None:
    assert load_migrations()


def test_statements_are_split_and_comments_left_out(folder: Path) -> None:
    first, second = load_migrations(folder, folder / "landed.toml")
    assert first.statements == ("SELECT 1", "SELECT 2")
    assert second.statements == ("SELECT 3",)


def test_an_edited_landed_file_is_refused_by_name(folder: Path) -> None:
    (folder / "0001_first.sql").write_text("SELECT 9;\n")
    with pytest.raises(BrokenMigrations, match=r"0001_first\.sql has landed and was edited"):
        load_migrations(folder, folder / "landed.toml")


def test_a_file_that_is_gone_is_refused_by_name(folder: Path) -> None:
    (folder / "0002_second.sql").unlink()
    with pytest.raises(BrokenMigrations, match="0002_second"):
        load_migrations(folder, folder / "landed.toml")


def test_a_file_without_a_lock_line_is_refused(folder: Path) -> None:
    (folder / "0003_third.sql").write_text("SELECT 4;\n")
    with pytest.raises(BrokenMigrations, match="0003_third"):
        load_migrations(folder, folder / "landed.toml")


def test_a_gap_is_refused(folder: Path) -> None:
    (folder / "0004_fourth.sql").write_text("SELECT 4;\n")
    with pytest.raises(BrokenMigrations, match="without a gap"):
        load_migrations(folder, folder / "landed.toml")


MIGRATIONS = (Migration(1, "a", "aa", ()), Migration(2, "b", "bb", ()))


@pytest.mark.parametrize(
    ("applied", "says"),
    [
        ({}, "0001 is not applied; run `weir migrate`"),
        ({1: "aa"}, "0002 is not applied"),
        ({1: "aa", 2: "xx"}, "0002 was applied with another content"),
        ({1: "aa", 2: "bb", 3: "cc"}, "0003 is applied and not known here"),
    ],
)
def test_a_database_that_does_not_fit_is_named(applied: dict[int, str], says: str) -> None:
    assert says in (schema_problem(applied, MIGRATIONS) or "")


def test_a_database_that_fits_has_no_problem() -> None:
    assert schema_problem({1: "aa", 2: "bb"}, MIGRATIONS) is None
