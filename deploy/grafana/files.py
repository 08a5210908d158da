"""Where each dashboard lies as the JSON that Grafana loads, and what must be in it."""

import json
from pathlib import Path
from typing import Final

from deploy.grafana.boards import DASHBOARDS
from deploy.grafana.panels import model

FOLDER: Final = Path(__file__).parent / "dashboards"


def contents() -> dict[Path, str]:
    """The text of every file."""
    return {
        FOLDER / f"{each.uid}.json": json.dumps(model(each), indent=2) + "\n" for each in DASHBOARDS
    }
