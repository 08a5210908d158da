"""What operators may put in the place of Weir's own: what is wrong with it is said, all at once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.meters import InvalidMeters, read_meters
from schemas.plans import InvalidPlans, read_catalogue
from schemas.prices import InvalidPrices, read_prices

Reader = tuple[Callable[[Path], object], type[Exception], str]
READERS: list[Reader] = [
    (read_catalogue, InvalidPlans, "WEIR_PLANS_FILE"),
    (read_prices, InvalidPrices, "WEIR_PRICES_FILE"),
    (read_meters, InvalidMeters, "WEIR_METERS_FILE"),
]
each_reader = pytest.mark.parametrize(("read", "invalid", "setting"), READERS)


@each_reader
def test_a_file_that_cannot_be_read_is_named_with_its_setting(
    tmp_path: Path, read: Callable[[Path], object], invalid: type[Exception], setting: str
) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(invalid, match=setting) as raised:
            read(path)
        assert str(raised.value).startswith(f"{path}: cannot be read (")


@each_reader
@pytest.mark.parametrize("content", [b"[plans\n", b"\xff", b"a = 1\na = 2\n"])
def test_what_is_no_toml_is_said_to_be_none(
    tmp_path: Path,
    read: Callable[[Path], object],
    invalid: type[Exception],
    setting: str,
    content: bytes,
) -> None:
    file = tmp_path / "file.toml"
    file.write_bytes(content)
    with pytest.raises(invalid) as raised:
        read(file)
    assert str(raised.value).startswith(f"{file}: is not TOML: ")


@each_reader
def test_every_problem_is_a_line(
    tmp_path: Path, read: Callable[[Path], object], invalid: type[Exception], setting: str
) -> None:
    file = tmp_path / "file.toml"
    file.write_text('no_such_key = 1\nnor_this = 1.5\n[another]\ntitle = "x"\n')
    with pytest.raises(invalid) as raised:
        read(file)
    lines = str(raised.value).splitlines()
    assert all(line.startswith(f"{file}: ") for line in lines)
    said = {line.removeprefix(f"{file}: ").partition(": ")[0] for line in lines}
    assert {"no_such_key", "nor_this", "another"} <= said
