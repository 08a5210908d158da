"""The sites whose pages may send events: which there are, from which origins, and how often."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

from api.identity.authenticator import Uses
from api.identity.rate_limits import RateLimits
from api.identity.screening import is_loopback_origin
from api.problems import Problem
from schemas.explanations import shown
from schemas.sites import Site


class SiteKeys(Protocol):
    """Where sites are looked up, in memory."""

    def find_site(self, site_id: str) -> Site | None:
        """The site, unless it is unknown or revoked. Raises Problem (503) while unknown."""


@dataclass(frozen=True, slots=True)
class DemoSite:
    """The site of a Weir of one machine, there without being created: pages of this machine."""

    site_id: str = "demo"
    name: str = "demo"

    def allows(self, origin: str) -> bool:
        return is_loopback_origin(origin.encode("latin-1", "replace"))


DEMO_SITE: Final = DemoSite()
"""Never limited, as the user `demo` is not."""

AnySite = Site | DemoSite


class Sites:
    """Says which site a page names, and counts its requests."""

    def __init__(self, *, keys: SiteKeys, uses: Uses, limits: RateLimits, local: bool) -> None:
        """`local`: the site `demo` is there."""
        self._keys = keys
        self._uses = uses
        self._limits = limits
        self._local = local

    def find(self, site_id: str) -> AnySite:
        """The site with this id. Raises Problem: 404, or 503 while it cannot be known."""
        if self._local and site_id == DEMO_SITE.site_id:
            return DEMO_SITE
        site = self._keys.find_site(site_id)
        if site is None:
            raise Problem(
                HTTPStatus.NOT_FOUND,
                f"there is no site {shown(site_id)}, or not any more; `weir sites list` lists "
                "those there are",
            )
        return site

    def count(self, site: AnySite) -> dict[str, str]:
        """Counts a request of one of its pages, and returns headers for the answer.

        Raises Problem (429) when it is one too many.
        """
        if isinstance(site, DemoSite):
            return {}
        self._uses.used(site.site_id)
        return self._limits.hit("key", f"site:{site.site_id}")
