"""Signing in at an identity provider, in a real browser: there and back, refused, ended."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy
from typing import Final
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Request, expect

from tests.api.identity.credentials import bearer
from tests.api.requests import EVENTS, JSON, ask
from tests.pages.identity_provider import (
    AUDIENCE,
    CLIENT,
    IdentityProvider,
    challenge_of,
    serving,
)
from tests.pages.opened import BUILT, opened
from tests.services import Services
from tests.weir import Weir, throwaway_weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]

UNAUTHORIZED: Final = "status of 401"
FORBIDDEN: Final = "status of 403"
FAILED: Final = "Signing in did not work"
PLAN: Final = "/plan?x=1#y"
FILTERED: Final = "/?range=24h&bots=include&path=%2Fpricing"
SPOIL_TOKEN: Final = """() => {
  for (const [key, text] of Object.entries(sessionStorage)) {
    const kept = JSON.parse(text);
    if (kept.access_token) {
      kept.access_token += "x";
      sessionStorage.setItem(key, JSON.stringify(kept));
    }
  }
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running() -> AsyncIterator[IdentityProvider]:
    async with serving(IdentityProvider()) as provider:
        yield provider


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def weir(
    services: Services, tmp_path_factory: pytest.TempPathFactory, running: IdentityProvider
) -> AsyncIterator[Weir]:
    """A Weir with pages, one event, and that provider."""
    async with throwaway_weir(services, tmp_path_factory.mktemp("sign-in")) as weir:
        weir.environment |= {
            "WEIR_PAGES_DIR": str(BUILT),
            "WEIR_AUTH": "required",
            "WEIR_JWT_SECRET": "",
            "WEIR_JWT_AUDIENCE": AUDIENCE,
            "WEIR_JWT_ISSUER": running.url,
            "WEIR_JWKS_URL": running.jwks_url,
            "WEIR_OIDC_AUTHORITY": running.url,
            "WEIR_OIDC_CLIENT_ID": CLIENT,
        }
        weir.start_sink()
        await weir.keep(weir.start_quotas)
        await weir.start_api()
        admin = bearer(running.access_token(sub="root", roles=["admin"]))

        async def decides() -> bool:
            return (await ask(weir, "GET", "/api/user/plan", headers=admin)).status == 200

        await weir.eventually(decides)
        await send_page_view(weir, running)

        async def stored() -> bool:
            return b"/pricing" in (await ask(weir, "GET", EVENTS, headers=admin)).body

        await weir.eventually(stored)
        yield weir


async def send_page_view(weir: Weir, provider: IdentityProvider) -> None:
    event = json.dumps({"event_type": "page_view", "path": "/pricing"}).encode()
    producer = bearer(provider.access_token(sub="shop", roles=["producer"]))
    assert (await ask(weir, "POST", EVENTS, event, {**producer, **JSON})).status == 202


@pytest.fixture(name="provider")
def own_provider(weir: Weir, running: IdentityProvider) -> IdentityProvider:
    """The provider as it is at first, with a user whom no other test has."""
    running.forget()
    running.pages = weir.url
    running.user = f"user-{uuid4().hex[:8]}"
    return running


class Visit:
    """A page that is open, and everything that it asked for."""

    def __init__(self, page: Page, weir: Weir) -> None:
        self.page = page
        self._weir = weir
        self.requests: list[Request] = []
        page.on("request", self._asks)

    def _asks(self, request: Request) -> None:
        self.requests.append(request)

    @property
    def place(self) -> str:
        assert self.page.url.startswith(self._weir.url), self.page.url
        return self.page.url.removeprefix(self._weir.url)

    async def go(self, place: str) -> None:
        await self.page.goto(place, wait_until="commit")

    async def sees(self, text: str) -> None:
        await expect(self.page.get_by_text(text, exact=True).first).to_be_visible()

    async def sees_plan(self) -> None:
        """The plan, with what only the API says to who is signed in."""
        await expect(self.page.get_by_role("heading", level=1, name="Plan")).to_be_visible()
        await expect(self.page.get_by_role("progressbar").first).to_be_visible()

    async def kept(self) -> tuple[str, str]:
        """What the tab keeps, and what the browser does: as JSON."""
        return (
            await self.page.evaluate("JSON.stringify(sessionStorage)"),
            await self.page.evaluate("JSON.stringify(localStorage)"),
        )

    def tokens_sent(self) -> list[str]:
        """The tokens that the API got, in order, each once."""
        sent = [
            each.headers["authorization"].removeprefix("Bearer ")
            for each in self.requests
            if each.url.startswith(self._weir.url) and "authorization" in each.headers
        ]
        return list(dict.fromkeys(sent))


@asynccontextmanager
async def visit(browser: Browser, weir: Weir, *expected: str) -> AsyncIterator[Visit]:
    async with opened(browser, weir, expected=expected) as page:
        yield Visit(page, weir)


async def test_who_is_not_signed_in_is_sent_to_the_provider_and_back_to_the_same_place(
    browser: Browser, weir: Weir, provider: IdentityProvider
) -> None:
    provider.knows = False
    async with visit(browser, weir) as tab:
        await tab.go(PLAN)
        button = tab.page.get_by_role("button", name=f"Sign in as {provider.user}")
        await expect(button).to_be_visible()
        # Nothing of the API was asked for but how one signs in.
        assert tab.tokens_sent() == []
        await button.click()
        await tab.sees_plan()
        assert tab.place == PLAN
        [asked] = provider.authorized
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert tab.tokens_sent() == provider.tokens


async def test_the_provider_takes_no_code_without_its_verifier(
    weir: Weir, provider: IdentityProvider
) -> None:
    """Else the tests here would show nothing about PKCE."""
    verifier = "v" * 43
    asked = {
        "client_id": CLIENT,
        "redirect_uri": f"{weir.url}/signed-in",
        "response_type": "code",
        "scope": "openid",
        "state": "state",
        "code_challenge": challenge_of(verifier),
        "code_challenge_method": "S256",
    }
    for given in ({}, {"code_verifier": ""}, {"code_verifier": "w" * 43}):
        assert await exchanged(weir, provider, asked, given) == 400
    assert await exchanged(weir, provider, asked, {"code_verifier": verifier}) == 200
    for method in ("plain", ""):
        unguarded = {**asked, "code_challenge_method": method}
        async with weir.session.get(f"{provider.url}/authorize", params=unguarded) as answer:
            assert answer.status == 400


async def exchanged(
    weir: Weir, provider: IdentityProvider, asked: dict[str, str], given: dict[str, str]
) -> int:
    """The status of a code's exchange for tokens."""
    async with weir.session.get(
        f"{provider.url}/authorize", params=asked, allow_redirects=False
    ) as answer:
        [code] = parse_qs(urlsplit(answer.headers["Location"]).query)["code"]
    form = {
        "grant_type": "authorization_code",
        "client_id": CLIENT,
        "code": code,
        "redirect_uri": asked["redirect_uri"],
        **given,
    }
    async with weir.session.post(f"{provider.url}/token", data=form) as answer:
        return answer.status


async def test_the_token_stands_in_no_url_and_stays_in_the_tab(
    browser: Browser, weir: Weir, provider: IdentityProvider
) -> None:
    async with visit(browser, weir) as tab:
        await tab.go(FILTERED)
        await tab.sees("/pricing")
        [token] = provider.tokens
        addresses = [each.url for each in tab.requests]
        headers = [each.headers.get("referer", "") for each in tab.requests]
        assert not any(token in each for each in [*addresses, *headers])
        in_tab, in_browser = await tab.kept()
        assert token in in_tab
        assert token not in in_browser
        assert "code_verifier" not in in_browser
        assert await tab.page.context.cookies(weir.url) == []
        # Another tab of the same browser signs in by itself.
        assert len(provider.authorized) == 1
        other = await tab.page.context.new_page()
        await other.goto(f"{weir.url}/plan")
        await expect(other.get_by_role("progressbar").first).to_be_visible()
        assert len(provider.authorized) == 2


async def test_who_is_signed_in_stays_so_when_the_page_is_loaded_again(
    browser: Browser, weir: Weir, provider: IdentityProvider
) -> None:
    async with visit(browser, weir) as tab:
        await tab.go(PLAN)
        await tab.sees_plan()
        await tab.page.reload()
        await tab.sees_plan()
        assert (tab.place, len(provider.authorized)) == (PLAN, 1)


async def test_a_token_that_expired_leads_to_the_provider_and_back_with_all_filters(
    browser: Browser, weir: Weir, provider: IdentityProvider
) -> None:
    provider.lifetime = 1
    async with visit(browser, weir, UNAUTHORIZED) as tab:
        await tab.go(FILTERED)
        await tab.sees("/pricing")
        provider.lifetime = 300
        [first] = provider.tokens

        async def refused() -> bool:
            answer = await ask(weir, "GET", "/api/user/plan", headers=bearer(first))
            return answer.status == 401

        # The API allows clocks to differ by 10 s.
        await weir.eventually(refused, within=30)
        # An event comes by the stream that is open, so the page asks for all numbers again.
        await send_page_view(weir, provider)
        await weir.eventually(lambda: signed_in(provider, 2))
        await tab.sees("/pricing")
        assert tab.place == FILTERED
        assert tab.tokens_sent() == provider.tokens
        assert len(provider.authorized) == 2


async def signed_in(provider: IdentityProvider, times: int) -> bool:
    return len(provider.tokens) == times


async def renewed(provider: IdentityProvider, times: int) -> bool:
    """At least: a page that is slow to show something renews meanwhile."""
    return len(provider.tokens) > times


async def test_an_expired_token_is_not_even_sent_when_the_page_is_opened(
    browser: Browser, weir: Weir, provider: IdentityProvider
) -> None:
    provider.lifetime = 1
    async with visit(browser, weir) as tab:
        await tab.go(FILTERED)
        await tab.sees("/pricing")
        provider.lifetime = 300
        await tab.page.wait_for_function(
            """() => Object.values(sessionStorage).some(
                 (each) => JSON.parse(each).expires_at < Date.now() / 1000)"""
        )
        await tab.page.reload()
        await weir.eventually(lambda: signed_in(provider, 2))
        await tab.sees("/pricing")
        assert tab.place == FILTERED


async def test_a_refused_token_leads_to_the_provider_once_and_back_with_all_filters(
    browser: Browser, weir: Weir, provider: IdentityProvider
) -> None:
    async with visit(browser, weir, UNAUTHORIZED) as tab:
        await tab.go(FILTERED)
        await tab.sees("/pricing")
        await tab.page.evaluate(SPOIL_TOKEN)
        await tab.page.reload()
        await weir.eventually(lambda: signed_in(provider, 2))
        await tab.sees("/pricing")
        assert tab.place == FILTERED
        first, second = provider.tokens
        assert tab.tokens_sent() == [first, f"{first}x", second]
        assert len(provider.authorized) == 2


async def test_a_provider_whose_tokens_weir_never_takes_is_asked_once(
    browser: Browser, weir: Weir, provider: IdentityProvider
) -> None:
    """Else the browser would go to and fro for ever."""
    provider.audience = "another API"
    async with visit(browser, weir, UNAUTHORIZED) as tab:
        await tab.go(PLAN)
        await tab.sees(FAILED)
        assert (tab.place, len(provider.authorized)) == (PLAN, 1)
        await expect(tab.page.get_by_role("alert")).to_contain_text("does not take the token")
        in_tab, _ = await tab.kept()
        assert provider.tokens[0] not in in_tab
        provider.audience = AUDIENCE
        await tab.page.get_by_role("button", name="Try again").click()
        await tab.sees_plan()
        assert tab.place == PLAN


async def test_what_the_provider_answers_instead_of_a_code_is_shown(
    browser: Browser, weir: Weir, provider: IdentityProvider
) -> None:
    provider.answers = "access_denied"
    async with visit(browser, weir) as tab:
        await tab.go(PLAN)
        await tab.sees(FAILED)
        await expect(tab.page.get_by_role("alert")).to_contain_text("as the test wants")
        assert (tab.place, len(provider.authorized)) == (PLAN, 1)
        provider.answers = None
        await tab.page.get_by_role("button", name="Try again").click()
        await tab.sees_plan()
        assert tab.place == PLAN


async def test_what_somebody_else_wrote_into_an_answer_is_not_shown(
    browser: Browser, weir: Weir, provider: IdentityProvider
) -> None:
    async with visit(browser, weir) as tab:
        await tab.go("/signed-in?error=x&error_description=Call+this+number&state=guessed")
        await tab.sees(FAILED)
        await expect(tab.page.get_by_text("number")).to_have_count(0)
        assert (tab.place, provider.authorized) == ("/", [])


@pytest.mark.parametrize(
    "answer",
    ["", "?code=used&state=unknown", "?code=used", "?state=unknown", "?code=used&state="],
)
async def test_an_answer_that_was_not_waited_for_leads_to_the_provider(
    browser: Browser, weir: Weir, provider: IdentityProvider, answer: str
) -> None:
    async with visit(browser, weir) as tab:
        await tab.go(f"/signed-in{answer}")
        await tab.sees("/pricing")
        assert (tab.place, len(provider.tokens)) == ("/", 1)


async def test_an_answer_is_used_once(
    browser: Browser, weir: Weir, provider: IdentityProvider
) -> None:
    async with visit(browser, weir) as tab:
        await tab.go(PLAN)
        await tab.sees_plan()
        [answer] = [each.url for each in tab.requests if "/signed-in?" in each.url]
        assert "code" in parse_qs(urlsplit(answer).query)
        # Who is signed in stays so; the code is not even sent again.
        await tab.page.goto(answer)
        await tab.sees("/pricing")
        assert (tab.place, len(provider.tokens), len(provider.authorized)) == ("/", 1, 1)


async def test_a_code_that_the_provider_does_not_take_is_shown_and_not_tried_again(
    browser: Browser, weir: Weir, provider: IdentityProvider
) -> None:
    provider.takes_codes = False
    async with visit(browser, weir, "status of 400") as tab:
        await tab.go(PLAN)
        await tab.sees(FAILED)
        await expect(tab.page.get_by_role("alert")).to_contain_text("invalid_grant")
        assert (tab.place, len(provider.authorized)) == (PLAN, 1)


async def test_a_provider_that_is_away_is_named_and_tried_again_by_hand(
    browser: Browser, weir: Weir, provider: IdentityProvider
) -> None:
    async with visit(browser, weir, "Failed to load resource") as tab:
        await tab.page.route(f"{provider.url}/**", lambda route: route.abort())
        await tab.go(PLAN)
        await tab.sees(FAILED)
        await expect(tab.page.get_by_role("alert")).to_contain_text("cannot be reached")
        await tab.page.unroute_all()
        await tab.page.get_by_role("button", name="Try again").click()
        await tab.sees_plan()
        assert tab.place == PLAN


async def test_with_refresh_tokens_one_stays_signed_in_without_leaving_the_page(
    browser: Browser, weir: Weir, provider: IdentityProvider
) -> None:
    provider.refreshes, provider.lifetime = True, 3
    async with visit(browser, weir) as tab:
        await tab.go(PLAN)
        await tab.sees_plan()
        await weir.eventually(lambda: renewed(provider, 2))
        await tab.page.get_by_role("link", name="Dashboard").click()
        await tab.sees("/pricing")
        assert len(provider.authorized) == 1
        first, *later = tab.tokens_sent()
        assert first == provider.tokens[0]
        assert later
        assert set(later) <= set(provider.tokens[1:])


async def test_with_refresh_tokens_a_refused_token_is_renewed_without_leaving_the_page(
    browser: Browser, weir: Weir, provider: IdentityProvider
) -> None:
    provider.refreshes = True
    async with visit(browser, weir, UNAUTHORIZED) as tab:
        await tab.go(FILTERED)
        await tab.sees("/pricing")
        await tab.page.evaluate(SPOIL_TOKEN)
        await tab.page.reload()

        async def asked_again() -> bool:
            first, *renewed = provider.tokens
            return len(renewed) == 1 and tab.tokens_sent() == [first, f"{first}x", *renewed]

        await weir.eventually(asked_again)
        await tab.sees("/pricing")
        assert (tab.place, len(provider.authorized)) == (FILTERED, 1)


async def test_a_prompt_is_there_for_its_user_and_not_for_the_next_one(
    browser: Browser, weir: Weir, provider: IdentityProvider
) -> None:
    provider.knows = False
    async with visit(browser, weir, UNAUTHORIZED) as tab:
        prompt = tab.page.get_by_role("textbox", name="What is the post about?")
        await tab.go("/social-generator")
        await tab.page.get_by_role("button", name=f"Sign in as {provider.user}").click()
        await prompt.fill("Our secret espresso")
        # The provider still knows them, and sends them back at once.
        await tab.page.evaluate(SPOIL_TOKEN)
        await tab.page.reload()
        await weir.eventually(lambda: signed_in(provider, 2))
        await expect(prompt).to_have_value("Our secret espresso")
        await tab.page.get_by_role("button", name="Sign out").click()
        button = tab.page.get_by_role("button", name=f"Sign in as {provider.user}")
        await expect(button).to_be_visible()
        provider.user = f"{provider.user}-colleague"
        await tab.go(weir.url + "/social-generator")
        await tab.page.get_by_role("button", name=f"Sign in as {provider.user}").click()
        await expect(prompt).to_have_value("")
        in_tab, _ = await tab.kept()
        assert "secret" not in in_tab


async def test_signing_out_ends_it_here_and_at_the_provider(
    browser: Browser, weir: Weir, provider: IdentityProvider
) -> None:
    provider.knows = False
    async with visit(browser, weir) as tab:
        button = tab.page.get_by_role("button", name=f"Sign in as {provider.user}")
        await tab.go("/plan")
        await button.click()
        await tab.sees_plan()
        await tab.page.get_by_role("button", name="Sign out").click()
        # The start page leads to the provider, who asks again.
        await expect(button).to_be_visible()
        await tab.page.go_back()
        await expect(button).to_be_visible()
        await tab.go(weir.url + "/signed-in")
        await expect(button).to_be_visible()
        assert len(provider.tokens) == 1


async def test_signing_out_ends_it_where_the_provider_has_no_page_for_it(
    browser: Browser, weir: Weir, provider: IdentityProvider
) -> None:
    """It would know the user, and sign them in again at once."""
    provider.ends = False
    async with visit(browser, weir) as tab:
        await tab.go("/plan")
        await tab.sees_plan()
        await tab.page.get_by_role("button", name="Sign out").click()
        await tab.sees("You are signed out")
        in_tab, _ = await tab.kept()
        assert provider.tokens[0] not in in_tab
        assert len(provider.authorized) == 1
        await tab.page.get_by_role("button", name="Sign in").click()
        await tab.sees_plan()
        assert len(provider.authorized) == 2


async def test_who_is_no_analyst_is_told_so_and_uses_the_rest(
    browser: Browser, weir: Weir, provider: IdentityProvider
) -> None:
    provider.roles = ()
    async with visit(browser, weir, FORBIDDEN) as tab:
        await tab.go("/")
        await tab.sees("You may not see this")
        await expect(tab.page.get_by_role("navigation")).to_be_visible()
        assert len(provider.authorized) == 1
        await tab.page.get_by_role("link", name="Plan").click()
        await tab.sees_plan()
        await expect(tab.page.get_by_text("You may not see this")).to_have_count(0)


async def test_where_no_provider_is_set_nobody_can_sign_in_and_it_says_why(
    browser: Browser, weir: Weir, provider: IdentityProvider
) -> None:
    alone = copy(weir)
    await alone.start_api({"WEIR_OIDC_AUTHORITY": "", "WEIR_OIDC_CLIENT_ID": ""})
    async with visit(browser, alone) as tab:
        await tab.go(PLAN)
        await tab.sees("Nobody can sign in here yet")
        await expect(tab.page.get_by_text("WEIR_OIDC_AUTHORITY")).to_be_visible()
        assert (tab.place, provider.authorized) == (PLAN, [])
