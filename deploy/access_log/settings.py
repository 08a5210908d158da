"""What a replay takes from the environment."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from deploy.edge_client import EdgeSettings


class ReplaySettings(EdgeSettings):
    """Where Weir is and who asks it, and where this machine keeps its files."""

    data_dir: Annotated[Path, Field(alias="WEIR_DATA_DIR")] = Path(".weir")

    @property
    def visitor_key_file(self) -> Path:
        return self.data_dir / "visitor-key"
