"""Where one's own billing is."""

from typing import Final

from api.quotas.paths import MINE

BILLING: Final = f"{MINE}/billing"
