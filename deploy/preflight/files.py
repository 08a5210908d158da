"""Files and folders that processes read: plans, meters, pages, the place of pictures."""

from collections.abc import Sequence
from typing import Final

from api.pages.settings import PagesSettings
from deploy.preflight.checks import Check, Problem
from schemas.media import MediaNotUsable, MediaSettings, check_media
from schemas.meters import InvalidMeters, MetersSettings, read_meters
from schemas.plans import InvalidPlans, PlansSettings, read_catalogue


async def _plans(settings: PlansSettings) -> Sequence[Problem]:
    try:
        read_catalogue(settings.plans_path)
    except InvalidPlans as error:
        return _lines(error)
    return ()


async def _meters(settings: MetersSettings) -> Sequence[Problem]:
    try:
        read_meters(settings.meters_path)
    except InvalidMeters as error:
        return _lines(error)
    return ()


async def _media(settings: MediaSettings) -> Sequence[Problem]:
    try:
        check_media(settings)
    except MediaNotUsable as error:
        return _lines(error)
    return ()


async def _pages(settings: PagesSettings) -> Sequence[Problem]:
    if settings.pages_folder is None:
        return ()
    # Half a second: only for who serves pages.
    from api.pages.files import PagesNotBuilt, read_pages

    try:
        read_pages(settings.pages_folder)
    except PagesNotBuilt as error:
        return _lines(error)
    return ()


def _lines(error: Exception) -> list[Problem]:
    return [Problem(line) for line in str(error).splitlines()]


PLANS: Final = Check(PlansSettings, _plans)
METERS: Final = Check(MetersSettings, _meters)
MEDIA: Final = Check(MediaSettings, _media)
PAGES: Final = Check(PagesSettings, _pages)
