"""Identity on one machine: local unless something else is set, with a secret that is made once."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.local.identity import (
    GivenIdentity,
    identity_made_here,
    local_identity,
    local_visitor_secret,
)
from deploy.secret_files import NotASecret, read_or_create_secret


def given(folder: Path, **values: str) -> GivenIdentity:
    empty = {"auth": "", "jwt_secret": "", "jwks_url": "", "visitor_secret": ""}
    return GivenIdentity.model_validate({**empty, "data_dir": folder, **values})


def test_it_is_local_with_a_secret_of_its_own_that_stays(tmp_path: Path) -> None:
    first = local_identity(given(tmp_path))
    assert first["WEIR_AUTH"] == "local"
    assert len(first["WEIR_JWT_SECRET"]) == 64
    assert local_identity(given(tmp_path)) == first
    assert stat.S_IMODE((tmp_path / "jwt-secret").stat().st_mode) == 0o600


def test_what_is_set_is_left_as_it_is(tmp_path: Path) -> None:
    assert local_identity(given(tmp_path, jwt_secret="s" * 32)) == {"WEIR_AUTH": "local"}
    assert local_identity(given(tmp_path, jwks_url="https://login.example.com/keys")) == {
        "WEIR_AUTH": "local"
    }
    assert local_identity(given(tmp_path, auth="required", jwt_secret="s" * 32)) == {}
    assert not (tmp_path / "jwt-secret").exists()
    assert list(local_identity(given(tmp_path, auth="required"))) == ["WEIR_JWT_SECRET"]


def test_visitors_keep_their_names_by_a_secret_that_stays(tmp_path: Path) -> None:
    first = local_visitor_secret(given(tmp_path))
    assert len(first["WEIR_VISITOR_SECRET"]) == 64
    assert local_visitor_secret(given(tmp_path)) == first
    assert stat.S_IMODE((tmp_path / "visitor-secret").stat().st_mode) == 0o600
    assert first["WEIR_VISITOR_SECRET"] not in local_identity(given(tmp_path)).values()
    assert local_visitor_secret(given(tmp_path, visitor_secret="s" * 32)) == {}
    (tmp_path / "visitor-secret").write_text("none")
    with pytest.raises(NotASecret, match="visitor-secret"):
        local_visitor_secret(given(tmp_path))


def test_many_that_start_together_use_one_secret(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "secret"
    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(lambda _: read_or_create_secret(file), range(64)))
    assert len(made) == 1
    assert [each.name for each in file.parent.iterdir()] == ["secret"]


@pytest.mark.parametrize("content", ["", "secret", "00" * 31, "zz" * 32])
def test_a_file_that_holds_no_secret_is_not_replaced(tmp_path: Path, content: str) -> None:
    file = tmp_path / "jwt-secret"
    file.write_text(content)
    with pytest.raises(NotASecret, match="jwt-secret"):
        local_identity(given(tmp_path))
    assert file.read_text() == content


def test_a_check_takes_a_machine_on_which_weir_up_has_been_as_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WEIR_AUTH", "WEIR_JWT_SECRET", "WEIR_JWKS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WEIR_DATA_DIR", str(tmp_path))
    assert identity_made_here() == {}
    local_identity(given(tmp_path))
    assert identity_made_here() == {"WEIR_AUTH": "local"}
    monkeypatch.setenv("WEIR_JWKS_URL", "https://login.example.com/keys")
    assert identity_made_here() == {}
