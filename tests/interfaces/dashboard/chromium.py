"""A real browser, and what tests look at in it."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# The environment as it was before the tests cleaned it.
PROGRAM: Final = os.environ.get("SQUAD_TEST_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
MISSING: Final = "There is no Chromium: `apt-get install chromium`, or name one in SQUAD_TEST_CHROMIUM."
PATIENCE: Final = 20_000.0  # milliseconds
expect.set_options(timeout=PATIENCE)

# Elements that one can reach and that have no name.
NAMELESS: Final = """() => [...document.querySelectorAll(
    'a, button, input:not([type=hidden]), textarea, select, summary, [tabindex="0"], nav, form[role]')]
  .filter((it) => it.checkVisibility())
  .filter((it) => !(it.getAttribute('aria-label') || document.getElementById(it.getAttribute('aria-labelledby'))
    || it.labels?.length || it.textContent.trim() || it.title))
  .map((it) => it.outerHTML)"""

# Texts whose contrast with what lies behind them is below 4.5.
PALE: Final = """() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.e-]+/g).map(Number);
    return text.startsWith('color') ? [r * 255, g * 255, b * 255, a] : [r, g, b, a];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const ground = (it) => {
    const layers = [];
    for (; it; it = it.parentElement) {
      layers.push(parse(getComputedStyle(it).backgroundColor));
      if (layers.at(-1)[3] === 1) break;
    }
    return layers.reduceRight((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((c) => ((c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return [...document.querySelectorAll('body *')]
    .filter((it) => it.checkVisibility() && !it.closest('.hidden, svg'))
    .filter((it) => [...it.childNodes].some((node) => node.nodeType === 3 && node.nodeValue.trim()))
    .map((it) => {
      const behind = ground(it);
      const text = over(parse(getComputedStyle(it).color), behind);
      const [one, other] = [light(text), light(behind)].sort((a, b) => b - a);
      return [(one + 0.05) / (other + 0.05), it.className || it.tagName, it.textContent.trim().slice(0, 30)];
    })
    .filter(([ratio]) => ratio < 4.5);
}"""


@asynccontextmanager
async def chromium(*more: str) -> AsyncIterator[Browser]:
    """A browser; without one the test is skipped, except where it must run."""
    if PROGRAM is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)  # a developer's machine may have none; CI fails above
    arguments = [*more, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=PROGRAM, args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


class Watched:
    """A page of a context, and what went wrong in it: errors, and what its policy refused."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda said: self.errors.append(said.text) if "Content Security" in said.text else None)

    @classmethod
    async def open(cls, context: BrowserContext, url: str) -> "Watched":
        page = await context.new_page()
        page.set_default_timeout(PATIENCE)
        watched = cls(page)
        await page.goto(url)
        return watched
