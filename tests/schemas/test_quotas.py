"""What lies on Kafka for quotas, at its borders."""

import pytest
from pydantic import ValidationError

from schemas.quotas import Period


@pytest.mark.parametrize("start", ["0", '"0"', "1.5", '"1795000000"', "true"])
def test_a_time_is_never_a_number(start: str) -> None:
    with pytest.raises(ValidationError, match="RFC 3339"):
        Period.model_validate_json(f'{{"start": {start}, "end": "2026-11-24T09:30:00Z"}}')
