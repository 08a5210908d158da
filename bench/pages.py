"""The pages in a browser: what the first load weighs, when it shows data, how a series pans."""

import gzip
import statistics
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Final

from playwright.async_api import Browser, Response, async_playwright, expect

from tests.pages.chromium import ARGUMENTS, chromium
from tests.pages.opened import BUILT, CHECKOUT, opened
from tests.weir import Weir

SERIES: Final = CHECKOUT / "frontend" / "dist-bench"
EVENTS: Final = 5_000
LOADS: Final = 10
PAN_MS: Final = 4_000
ASKED_BYTES: Final = 200_000
ASKED_SECONDS: Final = 1.0
ASKED_FRAMES: Final = 50


async def in_a_browser(weir: Weir, folder: Path, say: Callable[[str], None]) -> None:
    """(l) with a dashboard of some thousand events, and a series of 100,000 steps."""
    del folder
    weir.environment["WEIR_PAGES_DIR"] = str(BUILT)
    weir.start_sink()
    await weir.keep(weir.start_quotas)
    await weir.start_api()
    await weir.eventually(weir.decides)
    for first in range(0, EVENTS, 1_000):
        await weir.post(
            "/analytics/events",
            [
                {
                    "event_type": "page_view",
                    "path": f"/page/{number % 40}",
                    "visitor_id": f"v-{number % 900}",
                    "metadata": {"country": "DE", "referrer": f"https://a{number % 9}.example/"},
                }
                for number in range(first, first + 1_000)
            ],
        )
    await weir.eventually(partial(_all_counted, weir))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        await _first_load(weir, browser, say)
        await _panned(browser, say)
        await browser.close()


async def _all_counted(weir: Weir) -> bool:
    return sum((await weir.summary()).values()) == EVENTS


async def _first_load(weir: Weir, browser: Browser, say: Callable[[str], None]) -> None:
    seconds: list[float] = []
    scripts: dict[str, int] = {}
    for _ in range(LOADS):
        # Each of a browser that has nothing yet.
        async with opened(browser, weir) as page:
            loaded: list[Response] = []

            def keep(answer: Response, kept: list[Response] = loaded) -> None:
                kept.append(answer)

            page.on("response", keep)
            began = monotonic()
            await page.goto("/", wait_until="commit")
            await expect(page.locator("[data-tile=views]")).to_have_text(f"{EVENTS:,}")
            seconds.append(monotonic() - began)
            for each in loaded:
                if each.url.endswith(".js"):
                    scripts[each.url] = len(gzip.compress(await each.body(), mtime=0))
    bytes_of_scripts = sum(scripts.values())
    say(
        f"(l) first load of the dashboard: {bytes_of_scripts / 1000:.0f} kB of JavaScript gzipped "
        f"(asked: at most {ASKED_BYTES / 1000:.0f}); data shown after "
        f"{statistics.median(seconds):.2f} s in the middle, {max(seconds):.2f} s at most, of "
        f"{LOADS} (asked: {ASKED_SECONDS:.0f} s)"
    )


async def _panned(browser: Browser, say: Callable[[str], None]) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(SERIES)))
    Thread(target=server.serve_forever, daemon=True).start()
    page = await browser.new_page(viewport={"width": 1440, "height": 900})
    try:
        await page.goto(f"http://127.0.0.1:{server.server_port}/")
        chart = page.get_by_role("img", name="A long series")
        await chart.focus()
        # Half of the series is seen, 50,000 steps.
        await page.keyboard.press("+")
        await page.keyboard.press("+")
        moved: list[float] = await page.evaluate(_PAN, PAN_MS)
    finally:
        await page.close()
        server.shutdown()
    gaps = sorted(later - earlier for earlier, later in pairwise(moved))
    frames = (len(moved) - 1) / (moved[-1] - moved[0]) * 1000
    say(
        f"(l) a series of 100,000 steps and three lines, panned: {frames:.0f} frames/s, 95 of 100 "
        f"within {gaps[int(len(gaps) * 0.95)]:.0f} ms (asked: at least {ASKED_FRAMES} frames/s)"
    )


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # its name there
        pass


_PAN: Final = """
async (duration) => {
  const chart = document.querySelector("[role=img]");
  const over = chart.querySelector(".u-over");
  const { left, width, top } = over.getBoundingClientRect();
  const send = (type, x) => over.dispatchEvent(new PointerEvent(type, {
    bubbles: true, button: 0, pointerId: 1, clientX: left + x, clientY: top + 50,
  }));
  over.setPointerCapture = () => {};
  send("pointerdown", width / 2);
  const moved = [];
  let seen = chart.dataset.seen;
  const began = performance.now();
  return await new Promise((resolve) => {
    const step = (now) => {
      // Only frames in which the chart shows another part are counted.
      if (chart.dataset.seen !== seen) { seen = chart.dataset.seen; moved.push(now); }
      if (now - began > duration) { send("pointerup", 0); resolve(moved); return; }
      send("pointermove", width / 2 + (width / 3) * Math.sin((now - began) / 400));
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  });
}
"""
"""Drags to and fro, once a frame, and returns when the chart moved (ms)."""
