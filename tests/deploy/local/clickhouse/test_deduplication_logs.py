"""Which block ids are taken back, and what is left alone, from files alone."""

import time
from pathlib import Path

import pytest
import structlog

from deploy.local.clickhouse.deduplication_logs import mend_deduplication_logs

_UUID = "6c082afc-0cb6-432d-bdfb-811c81efaccd"


class _Table:
    """One table's files as the engine lays them out."""

    def __init__(self, folder: Path, *, window: int | None = 100, uuid: str = _UUID) -> None:
        self.folder = folder
        self.path = folder / "store" / uuid[:3] / uuid
        (self.path / "deduplication_logs").mkdir(parents=True)
        (self.path / "detached").mkdir()
        (self.path / "format_version.txt").write_text("1")
        metadata = folder / "store" / "c36" / "c369ade1-df30-4a58-950c-d959efd633c7"
        metadata.mkdir(parents=True, exist_ok=True)
        database = folder / "metadata" / "shop"
        if not database.exists():
            database.parent.mkdir()
            database.symlink_to(metadata)
        setting = "" if window is None else f"non_replicated_deduplication_window = {window}, "
        (database / f"rollup{uuid[0]}.sql").write_text(
            f"ATTACH TABLE _ UUID '{uuid}'\n(\n    `id` UInt64\n)\nENGINE = MergeTree\n"
            f"ORDER BY id\nSETTINGS {setting}index_granularity = 8192\n"
        )

    def log(self, number: int = 1) -> Path:
        return self.path / "deduplication_logs" / f"deduplication_log_{number}.txt"

    def write(self, *lines: str, number: int = 1, rest: str = "") -> None:
        self.log(number).write_text("".join(line + "\n" for line in lines) + rest)

    def lines(self, number: int = 1) -> list[str]:
        return self.log(number).read_text().splitlines()

    def parts(self, *names: str) -> None:
        for name in names:
            (self.path / name).mkdir()


@pytest.fixture
def table(tmp_path: Path) -> _Table:
    return _Table(tmp_path)


def test_an_id_whose_part_is_missing_is_taken_back_once(table: _Table) -> None:
    table.write("1\t202601_1_1_0\ta", "1\t202602_2_2_0\tb")
    table.parts("202601_1_1_0")
    with structlog.testing.capture_logs() as logged:
        assert mend_deduplication_logs(table.folder) == 1
    assert table.lines() == ["1\t202601_1_1_0\ta", "1\t202602_2_2_0\tb", "2\t202602_2_2_0\tb"]
    assert [(line["log_level"], line["table"], line["count"]) for line in logged] == [
        ("info", "shop.rollup6", 1)
    ]
    assert mend_deduplication_logs(table.folder) == 0
    assert len(table.lines()) == 3


@pytest.mark.parametrize(
    "present", ["all_2_2_0", "all_2_2_1", "all_2_2_0_7", "all_1_3_1", "all_2_9_4_12", "all_1_2_1"]
)
def test_a_part_is_there_by_itself_or_inside_a_merged_or_mutated_one(
    table: _Table, present: str
) -> None:
    table.write("1\tall_2_2_0\ta")
    table.parts("all_1_1_0", "all_5_9_1", present)
    assert mend_deduplication_logs(table.folder) == 0
    assert table.lines() == ["1\tall_2_2_0\ta"]


@pytest.mark.parametrize(
    "present",
    [
        "all_1_1_0",
        "all_3_9_1",
        "other_1_3_1",
        "tmp_insert_all_2_2_0",
        "tmp_merge_all_1_3_1",
        "delete_tmp_all_2_2_0",
        "tmp-fetch_all_2_2_0",
        "moving",
        "detached/all_2_2_0",
        "detached/broken-on-start_all_1_3_1",
    ],
)
def test_other_folders_do_not_stand_for_a_part(table: _Table, present: str) -> None:
    table.write("1\tall_2_2_0\ta")
    table.parts(present)
    assert mend_deduplication_logs(table.folder) == 1


def test_a_wide_part_before_a_narrow_one_still_covers(table: _Table) -> None:
    table.write("1\tall_50_50_0\ta", "1\tall_120_120_0\tb")
    table.parts("all_1_100_3", "all_40_41_1", "all_110_115_1")
    assert mend_deduplication_logs(table.folder) == 1
    assert table.lines()[-1] == "2\tall_120_120_0\tb"


def test_the_engines_own_drops_and_repeats_are_followed_over_all_files(table: _Table) -> None:
    table.write("1\tall_1_1_0\tdropped", "1\tall_2_2_0\trepeated", number=9)
    table.write("2\tall_1_1_0\tdropped", "2\tcancel\trepeated", number=10)
    table.write("1\tall_3_3_0\trepeated", "1\tall_4_4_0\tlost", number=11)
    table.parts("all_3_3_0")
    assert mend_deduplication_logs(table.folder) == 1
    assert len(table.lines(9)) == len(table.lines(10)) == 2
    assert table.lines(11)[2:] == ["2\tall_4_4_0\tlost"]


def test_ids_that_left_the_window_are_not_written_about(tmp_path: Path) -> None:
    table = _Table(tmp_path, window=2)
    table.write(*(f"1\tall_{number}_{number}_0\tid{number}" for number in range(1, 6)))
    assert mend_deduplication_logs(table.folder) == 2
    assert table.lines()[5:] == ["2\tall_4_4_0\tid4", "2\tall_5_5_0\tid5"]


def test_without_a_window_in_the_definition_all_ids_count(tmp_path: Path) -> None:
    table = _Table(tmp_path, window=None)
    table.write(*(f"1\tall_{number}_{number}_0\tid{number}" for number in range(1, 6)))
    assert mend_deduplication_logs(table.folder) == 5


@pytest.mark.parametrize("rest", ["1", "1\tall_2_2_0", "1\tall_2_2_0\tb", "\0\0\0"])
def test_a_line_cut_off_by_a_kill_is_removed(table: _Table, rest: str) -> None:
    table.write("1\tall_1_1_0\ta", rest=rest)
    table.parts("all_1_1_0")
    assert mend_deduplication_logs(table.folder) == 0
    assert table.log().read_text() == "1\tall_1_1_0\ta\n"


def test_cut_off_lines_go_from_older_files_too_and_records_follow_whole_lines(
    table: _Table,
) -> None:
    table.write("1\tall_1_1_0\ta", rest="1\tall_2", number=1)
    table.write("1\tall_3_3_0\tc", rest="1\tall_4_4_0\td", number=2)
    assert mend_deduplication_logs(table.folder) == 2
    assert table.log(1).read_text() == "1\tall_1_1_0\ta\n"
    assert table.log(2).read_text() == "1\tall_3_3_0\tc\n2\tall_1_1_0\ta\n2\tall_3_3_0\tc\n"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "rubbish",
        "3\tall_2_2_0\tb",
        "1\tall_2_2_0",
        "1\tall_2_2_0\tb\tc",
        "1\tall_2_2_0\t",
        "1\tall_2_2\tb",
        "1\tmy_part_2_2_0\tb",
        "1\tall_2_2_0\tb\u00e4",
        "2\tall_2_2_0",
    ],
)
def test_a_table_whose_log_is_not_understood_is_left_alone(table: _Table, line: str) -> None:
    table.write("1\tall_1_1_0\ta", line, "1\tall_3_3_0\tc", rest="1\tall")
    before = table.log().read_bytes()
    other = _Table(table.folder, uuid="7" + _UUID[1:])
    other.write("1\tall_1_1_0\ta")
    with structlog.testing.capture_logs() as logged:
        assert mend_deduplication_logs(table.folder) == 1
    assert table.log().read_bytes() == before
    assert [entry["table"] for entry in logged if entry["log_level"] == "warning"] == [
        "shop.rollup6"
    ]
    assert len(other.lines()) == 2


def test_tables_of_another_layout_are_left_alone(table: _Table) -> None:
    table.write("1\tall_1_1_0\ta")
    (table.path / "format_version.txt").write_text("0")
    assert mend_deduplication_logs(table.folder) == 0
    (table.path / "format_version.txt").unlink()
    assert mend_deduplication_logs(table.folder) == 0
    (table.path / "format_version.txt").write_text("1\n")
    stranger = table.path / "deduplication_logs" / "deduplication_log_2.txt.old"
    stranger.touch()
    assert mend_deduplication_logs(table.folder) == 0
    stranger.unlink()
    assert mend_deduplication_logs(table.folder) == 1


def test_a_folder_without_tables_or_logs_is_nothing_to_do(tmp_path: Path) -> None:
    assert mend_deduplication_logs(tmp_path) == 0
    table = _Table(tmp_path)
    assert mend_deduplication_logs(tmp_path) == 0
    (table.path / "deduplication_logs").rmdir()
    assert mend_deduplication_logs(tmp_path) == 0


def test_a_full_window_over_thousands_of_parts_takes_a_moment(tmp_path: Path) -> None:
    table = _Table(tmp_path, window=10_000)
    for file in range(2):
        table.write(
            *(
                f"1\t202601_{block}_{block}_0\t202601_{block:020}_{block:020}"
                for block in range(file * 10_000, file * 10_000 + 10_000)
            ),
            number=file + 1,
        )
    # Two of three blocks in parts merged by tens, the others as they came.
    for block in range(0, 20_000, 15):
        table.parts(f"202601_{block}_{block + 9}_1")
        table.parts(*(f"202601_{own}_{own}_0" for own in range(block + 10, block + 15)))
    started = time.process_time()
    assert mend_deduplication_logs(tmp_path) == 0
    assert time.process_time() - started < 1
