"""Posts and credits in a real browser, made by real workers with the stub that needs no key."""

from typing import Final
from uuid import uuid4

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.pages.opened import NARROW, credentials_of, opened
from tests.weir import Json, Weir

pytestmark = [pytest.mark.services, pytest.mark.timeout(280)]

GENERATOR: Final = "/social-generator"


def a_user() -> str:
    return f"user-{uuid4().hex[:12]}"


async def asked(weir: Weir, user: str, method: str, path: str, document: Json = None) -> Json:
    """What the API answers this user."""
    async with weir.session.request(
        method, weir.url + path, json=document, headers=credentials_of(weir, user)
    ) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def spend(weir: Weir, user: str, count: int) -> None:
    await asked(weir, user, "POST", "/api/user/plan", {"count": count, "reason": "for a test"})


def credits_button(page: Page, words: str) -> Locator:
    return page.get_by_role("banner").get_by_role("button", name=words)


async def test_a_post_is_generated_seen_and_paid_for(shown: Weir, browser: Browser) -> None:
    user = a_user()
    async with opened(browser, shown, user=user) as page:
        await page.goto(GENERATOR)
        await expect(credits_button(page, "100 credits")).to_be_visible()
        await page.get_by_label("What is the post about?").fill("Our new espresso blend is here")
        await page.get_by_label("Platform").select_option("x")
        await page.get_by_role("button", name="Generate for 1 credit").click()
        picture = page.get_by_role("img", name="Picture for")
        await expect(picture.first).to_be_visible()
        await expect(page.get_by_role("region", name="Post for X").first).to_be_visible()
        await page.wait_for_function(
            "() => [...document.querySelectorAll('main img')].some((each) => each.naturalWidth > 0)"
        )
        natural = await picture.first.evaluate("each => each.naturalWidth")
        assert natural > 0
        await expect(credits_button(page, "99 credits")).to_be_visible()
        plan = await asked(shown, user, "GET", "/api/user/plan")
        assert plan["remaining"] == 99

        # The file is the picture, and the history has the post.
        async with page.expect_download() as saving:
            await page.get_by_role("link", name="Download picture").click()
        assert (await (await saving.value).path()).read_bytes()[:4] == b"\x89PNG"
        history = page.get_by_role("region", name="Your posts")
        await expect(history.get_by_role("listitem")).to_have_count(1)

        async def stored() -> bool:
            posts = await asked(shown, user, "GET", "/social/posts")
            return len(posts["items"]) == 1

        await shown.eventually(stored)


async def test_below_a_tenth_the_credits_are_red_with_an_icon_and_words(
    shown: Weir, browser: Browser
) -> None:
    user = a_user()
    await spend(shown, user, 90)
    async with opened(browser, shown, user=user) as page:
        await page.goto("/plan")
        ten = credits_button(page, "10 credits")
        await expect(ten).to_be_visible()
        ink = await ten.evaluate("each => getComputedStyle(each.querySelector('span')).color")
        await spend(shown, user, 1)
        await page.reload()
        nine = credits_button(page, "Only 9 credits left")
        await expect(nine).to_be_visible()
        await expect(nine.locator("svg")).to_be_visible()
        red = await nine.evaluate("each => getComputedStyle(each.querySelector('span')).color")
        assert red == "rgb(179, 32, 31)"
        assert red != ink
        await page.set_viewport_size({"width": NARROW, "height": 740})
        short = credits_button(page, "9 left")
        await expect(short).to_be_visible()
        await expect(short.locator("svg")).to_be_visible()


async def test_at_none_the_generator_explains_itself(shown: Weir, browser: Browser) -> None:
    user = a_user()
    await spend(shown, user, 100)
    async with opened(browser, shown, user=user) as page:
        await page.goto(GENERATOR)
        await expect(credits_button(page, "No credits left")).to_be_visible()
        await expect(page.get_by_text("Your credits are used up")).to_be_visible()
        button = page.get_by_role("button", name="Generate for 1 credit")
        await expect(button).to_be_disabled()
        described = await button.get_attribute("aria-describedby")
        assert described
        explained = page.locator(f"[id='{described.split()[-1]}']")
        await expect(explained).to_contain_text("New ones come on")
        await page.get_by_role("main").get_by_role("link", name="See plans").click()
        await expect(page).to_have_url(f"{shown.url}/plan")
        await expect(page.get_by_role("heading", name="Pro")).to_be_visible()


async def test_credits_that_end_between_looking_and_asking_are_explained(
    shown: Weir, browser: Browser
) -> None:
    user = a_user()
    expected = ("status of 403",)
    async with opened(browser, shown, user=user, expected=expected) as page:
        await page.goto(GENERATOR)
        await expect(credits_button(page, "100 credits")).to_be_visible()
        # Elsewhere, all at once.
        await spend(shown, user, 100)
        await page.get_by_label("What is the post about?").fill("Too late")
        await page.get_by_role("button", name="Generate for 1 credit").click()
        await expect(page.get_by_text("Your credits are used up")).to_be_visible()
        await expect(page.get_by_label("What is the post about?")).to_have_value("Too late")


async def test_what_one_writes_is_text_and_breaks_no_layout(shown: Weir, browser: Browser) -> None:
    user = a_user()
    prompts = [
        "<script>document.title='owned'</script><img src=x onerror=alert(1)>",
        "\u202eevil\u2066 \U0001f469\u200d\U0001f4bb مرحبا",
        "w" * 5000,
    ]
    async with opened(browser, shown, user=user, width=NARROW, height=740) as page:
        await page.goto(GENERATOR)
        for number, prompt in enumerate(prompts, 1):
            await page.get_by_label("What is the post about?").fill(prompt)
            await page.get_by_role("button", name="Generate for 1 credit").click()
            history = page.get_by_role("region", name="Your posts")
            await expect(history.get_by_role("listitem")).to_have_count(number)
            await expect(page.get_by_role("img", name="Picture for").first).to_be_visible()
            assert await page.evaluate("document.documentElement.scrollWidth") <= NARROW
        assert await page.title() == "Social posts · Weir"
