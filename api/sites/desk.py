"""What the edge needs to take events of websites."""

from dataclasses import dataclass

from api.identity.sites import Sites
from api.sites.visitors import Visitors


@dataclass(frozen=True, slots=True)
class SiteDesk:
    """The sites that there are, and the names of those who visit them."""

    known: Sites
    visitors: Visitors
