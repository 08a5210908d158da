"""An id that can be nobody's is refused before anything is asked, and is not repeated."""

import pytest
import typer

from deploy.commands.forget import forget


@pytest.mark.parametrize(
    "user", ["", "ann\nbob", "ann\x7f", "ann-" * 65], ids=["empty", "line", "delete", "too long"]
)
def test_what_can_be_nobodys_id_is_refused_without_naming_it(user: str) -> None:
    with pytest.raises(typer.BadParameter, match="1 to 256 characters") as refused:
        forget(user, yes=True)
    assert "ann" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
