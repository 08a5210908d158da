"""What a replay takes from the environment."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from schemas.settings import Settings


class ReplaySettings(Settings):
    """Where the Weir of this machine is, and where it keeps its files."""

    api_port: Annotated[int, Field(alias="WEIR_API_PORT", ge=1, le=65535)] = 8000
    data_dir: Annotated[Path, Field(alias="WEIR_DATA_DIR")] = Path(".weir")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def visitor_key_file(self) -> Path:
        return self.data_dir / "visitor-key"
