"""A browser at a desk: pages that are opened, searches that are typed, frames that are seen."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from tests.media_files import number_of
from tests.server.client import Site

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Route


@dataclass
class Desk:
    """A browser, and who serves it; what it asked for and what went wrong is noted."""

    browser: Browser
    site: Site
    root: Path
    asked: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def _note(self, line: ConsoleMessage) -> None:
        if line.type in ("error", "warning"):
            self.wrong.append(line.text)

    @contextmanager
    def page(self, path: str = "/", width: int = 1440, scheme: Any = "light") -> Iterator[Page]:
        context = self.browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            base_url=f"http://127.0.0.1:{self.site.port}",
        )
        page = context.new_page()
        page.set_default_timeout(90_000)  # of a machine that is busy
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", self._note)
        try:
            page.goto(path)
            yield page
        finally:
            context.close()


def search(page: Page, query: str, *, answered: bool = True, **filters: str) -> None:
    if filters:
        if page.locator("#filters-panel").is_hidden():
            page.get_by_role("button", name="Filters").click()
        for name, value in filters.items():
            page.locator(f"[name={name}]").fill(value)
    page.locator("#query").fill(query)
    page.locator("#query").press("Enter")
    if answered:
        page.locator("#go").wait_for()
        page.locator("#verdict strong").wait_for()


def shown_number(page: Page) -> int:
    """Of the frame that the player shows, from a screenshot."""
    page.wait_for_function(
        "() => { const v = document.querySelector('#video');"
        " return v.readyState >= 2 && !v.seeking"
        " && !document.querySelector('#video-state').textContent }"
    )
    png = page.locator("#video").screenshot()
    with av.open(io.BytesIO(png), "r") as opened:
        pixels = next(opened.decode(video=0)).to_ndarray(format="rgb24")
    size: list[int] = page.evaluate(
        "[...document.querySelectorAll('#video')].flatMap(v => [v.videoWidth, v.videoHeight])"
    )
    height, width = pixels.shape[:2]
    scale = min(width / size[0], height / size[1])
    top, left = (height - size[1] * scale) / 2, (width - size[0] * scale) / 2
    inner = pixels[round(top) : round(height - top), round(left) : round(width - left)]
    return number_of(np.ascontiguousarray(inner))


def shows(page: Page, number: float) -> bool:
    """Whether the player comes to show that frame or a neighbour.

    What is sought is painted later, on a busy machine seconds later, and nothing says when.
    """
    found = []
    for _ in range(100):
        found.append(shown_number(page))
        if abs(found[-1] - number) <= 1:
            return True
        page.wait_for_timeout(100)
    logging.getLogger(__name__).warning("frame %s never came, but %s", number, sorted(set(found)))
    return False


def away_once(page: Page, pattern: str) -> None:
    """Nobody answers the first request for this; the next ones go through."""
    asked: list[Route] = []

    def answer(route: Route) -> None:
        asked.append(route)
        (route.abort if len(asked) == 1 else route.continue_)()

    page.route(pattern, answer)


def position(page: Page) -> float:
    return float(page.evaluate("document.querySelector('#video').currentTime"))


def downloaded(page: Page, button: str) -> tuple[str, bytes]:
    with page.expect_download() as said:
        page.get_by_role("button", name=button, exact=True).click()
    return said.value.suggested_filename, said.value.path().read_bytes()
