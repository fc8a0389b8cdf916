"""The page in a real Chromium: what it loads, what it says without scripts, whether it can be read and reached."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seewhy.exports import html

sync_api = pytest.importorskip("playwright.sync_api")

#: For every piece of text on the page, its contrast with what is behind it (WCAG 2.2, relative luminance).
CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (value) => value <= 10.3 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = rgba(getComputedStyle(element).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const text = texts.currentNode.data.trim();
    if (!text || !element.checkVisibility() || element.closest("script, style, title, desc")) continue;
    const style = getComputedStyle(element);
    const front = rgba(element instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [luminance(front), luminance(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push([ratio, `${element.tagName}.${element.getAttribute("class")}: ${text.slice(0, 40)}`]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def chromium() -> Iterator["sync_api.Browser"]:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("Chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def path(rich, tmp_path_factory) -> Path:
    return html.write(rich, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture
def opened(chromium, path):
    """Opens the rich report as a file; the page has `said` and `asked`: what it logged, and what it requested."""
    contexts = []

    def open_with(**settings) -> "sync_api.Page":
        contexts.append(chromium.new_context(**settings))
        page = contexts[-1].new_page()
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_with
    for context in contexts:
        context.close()


def test_the_page_asks_nothing_of_the_network_and_has_no_complaint(opened):
    page = opened()
    assert page.said == []
    assert [url for url in page.asked if not url.startswith("data:")] == [page.url]
    assert (
        page.evaluate("performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length") == 0
    )
    assert page.evaluate("window.harmed") is None


def test_without_javascript_the_verdict_the_charts_and_the_pictures_are_there(opened):
    page = opened(java_script_enabled=False)
    assert page.locator("h1").inner_text() == "Right on 70.2\u00a0% of 1,000 test images"
    assert page.locator("article").count() == 8
    picture = np.asarray(Image.open(io.BytesIO(page.locator("svg.picture:visible").first.screenshot())))
    assert picture.shape[0] > 40
    assert picture.std() > 20
    assert page.locator(".bars .dot:visible").first.bounding_box()["width"] > 5
    assert page.locator("button").is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_from_what_is_behind_it(opened, scheme):
    page = opened(color_scheme=scheme)
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 300
    assert [text for ratio, text in contrasts if ratio < 4.5] == []


def test_dark_is_dark_and_paper_is_white(opened):
    page = opened(color_scheme="dark")
    shade = "getComputedStyle(document.documentElement).backgroundColor"
    assert page.evaluate(shade) == "rgb(24, 23, 20)"
    page.emulate_media(media="print")
    assert page.evaluate(shade) == "rgb(255, 255, 255)"


def test_the_keyboard_reaches_the_findings_and_opens_their_details(opened):
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.open")


def test_a_phone_shows_it_without_scrolling_sideways(opened):
    page = opened(viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.evaluate("[...document.querySelectorAll('.scrolls')].some(e => e.tabIndex === 0)")


def test_marks_are_large_enough_to_hit(opened):
    boxes = opened().evaluate("[...document.querySelectorAll('.mark')].map(e => e.getBoundingClientRect().toJSON())")
    assert min(min(box["width"], box["height"]) for box in boxes) >= 24


def test_print_opens_what_is_folded(opened):
    page = opened()
    folded = page.locator("article details:not(.data) dl").first
    assert folded.is_hidden()
    page.emulate_media(media="print")
    assert folded.bounding_box()["height"] > 20


def test_copy_says_that_it_copied(opened):
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert "--seed 3" in page.evaluate("navigator.clipboard.readText()")
