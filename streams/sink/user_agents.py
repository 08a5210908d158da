"""What a user agent is: a bot or not, on what kind of device, which browser, which system.

Two kept lists decide. A bot is what `is-bot` or `ua-parser` calls one; what that misses is in
docs/adr/0009-dependencies.md. Browser and system are what `ua-parser` says. Pure for given
versions of the two.
"""

import re
from functools import cache, lru_cache
from typing import Final, NamedTuple

from is_bot import Bots
from ua_parser import Domain, Resolver
from ua_parser.loaders import load_builtins
from ua_parser.regex import Resolver as RegexResolver

MAX_USER_AGENT_CHARACTERS: Final = 512
"""What lies behind is cut before anything is asked or remembered."""
CACHED_USER_AGENTS: Final = 10_000


class Client(NamedTuple):
    """What sent the request; '' where the user agent does not say.

    `device` is '' without a user agent, else desktop, mobile, tablet, tv, console or other.
    """

    bot: bool
    device: str
    browser: str
    os: str


NO_CLIENT: Final = Client(bot=False, device="", browser="", os="")

# Names of devices and browsers that hold a word of the bot list: all of them people's.
# The model of an Android device stands behind the version ("M bot 60", "Discovery", "Cubot").
_NO_EVIDENCE: Final = re.compile(
    r"(?<=android )(?P<version>[\d.]+; ?(?:[a-z]{2}[-_][a-z]{2}; ?)?)[^;)]*"
    r"|webappmanager|\.catcher[\d.]*|sogoumobilebrowser|sogoumse",
    re.IGNORECASE,
)

# In the order asked: the first that is found decides.
_DEVICES: Final = (
    ("console", re.compile(r"playstation|xbox|nintendo")),
    (
        "tv",
        re.compile(
            r"\btv\b|smart[-_]?tv|web0s|hbbtv|apple ?tv|tvos|google ?tv|\bdtv|roku|bravia|netcast"
            r"|viera|vidaa|crkey|chromecast|\baft[a-z]"
        ),
    ),
    # An Android browser on a phone says "Mobile"; one that does not is on a tablet.
    (
        "tablet",
        re.compile(r"ipad|apad|tablet|kindle|playbook|\bkf[a-z]{3,}|\A(?!.*mobile).*android", re.S),
    ),
    (
        "mobile",
        re.compile(
            r"iphone|ipod|mobile|android|windows (?:phone|ce)|blackberry|\bbb10|opera mini"
            r"|symbian|series ?[346]0|midp|kaios"
        ),
    ),
    ("desktop", re.compile(r"windows|macintosh|mac os x|x11|\bcros\b|linux|bsd")),
)
_MOBILE_SYSTEMS: Final = frozenset({"iOS", "Android", "WatchOS"})

# The device is a column of its own, so one browser is one name on all of them.
_SAME_BROWSER: Final = {
    "Chrome Mobile": "Chrome",
    "Chrome Mobile iOS": "Chrome",
    "Chrome Mobile WebView": "Android WebView",
    "DuckDuckGo Mobile": "DuckDuckGo",
    "Edge Mobile": "Edge",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "IE Mobile": "IE",
    "Mobile Safari": "Safari",
    "Mobile Safari UI/WKWebView": "iOS WebView",
    "Opera Mobile": "Opera",
}
_SAME_SYSTEM: Final = {"Mac OS X": "macOS"}
# The parser takes some names from the user agent itself: only what looks like one is a value.
_NAME: Final = re.compile(r"[^\W\d_][\w .+()'&-]{0,49}")


@lru_cache(maxsize=CACHED_USER_AGENTS)
def client_of(user_agent: str) -> Client:
    """What the user agent says, of at most MAX_USER_AGENT_CHARACTERS; 0.4 ms the first time."""
    if user_agent.strip() in ("", "-"):
        return NO_CLIENT
    evidence = _NO_EVIDENCE.sub(r"\g<version>", user_agent)
    parsed = _parser()(evidence, Domain.ALL)
    system = "" if parsed.os is None else parsed.os.family
    browser = "" if parsed.user_agent is None else parsed.user_agent.family
    spider = parsed.device is not None and parsed.device.family == "Spider"
    return Client(
        bot=spider or _bots().is_bot(evidence),
        device=_device(user_agent.lower(), system),
        browser=_name(_SAME_BROWSER.get(browser, browser)),
        os=_name(_SAME_SYSTEM.get(system, system)),
    )


def _device(lower: str, system: str) -> str:
    for device, pattern in _DEVICES:
        if pattern.search(lower) is not None:
            return device
    return "mobile" if system in _MOBILE_SYSTEMS else "other"


def _name(family: str) -> str:
    return family if family != "Other" and _NAME.fullmatch(family) is not None else ""


@cache
def _bots() -> Bots:
    return Bots()


@cache
def _parser() -> Resolver:
    # Compiles 1,400 patterns, 0.1 s: not at import.
    return RegexResolver(load_builtins())
