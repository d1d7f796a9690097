"""The page of hits: it opens anywhere, needs nothing, and says what the answer says."""

from __future__ import annotations

import base64
import re
import shutil
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluation.test_report import BROWSERS, QUIET
from tests.hits.pictures import number_at, opened
from tests.media_files import number_of
from vsr_edge.answer import Candidate, Moment, SearchResult, Turn, Verdict
from vsr_edge.archive import Archive
from vsr_edge.errors import printable
from vsr_edge.hits.hits_page import hits_page
from vsr_edge.hits.in_words import verdict_in_words
from vsr_edge.hits.thumbnails import Thumbnail, thumbnails_of

PICTURES = re.compile(r'src="data:image/jpeg;base64,([^"]+)"')


class Read(HTMLParser):
    """The page as its reader sees it: text, links, and every tag with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def found(query: str, video: Path, decision: str = "match", **changes: object) -> SearchResult:
    verdict = {
        "match": Verdict("match", 0.9, 0.3),
        "no_match": Verdict("no_match", None, 0.3),
        "unverified": Verdict("unverified"),
    }[decision]
    likely = {"match": 0.9, "no_match": 0.1, "unverified": None}[decision]
    moment = replace(Moment(1, video, 1.0, 75.5, 0.4, likely), **changes)  # type: ignore[arg-type]
    turn = Turn(1, "retrieve", (Candidate(video, 1.0, 2.0, 0.4, likely),), 3.0, then="the end")
    return SearchResult(query, verdict, (moment,), (turn,), {"total": 3.0}, "none", ("A notice.",))


def test_each_picture_is_of_its_moment(archive: Archive, answer: SearchResult) -> None:
    page = hits_page(answer, thumbnails_of(archive, answer.moments))
    shown = [number_of(opened(base64.b64decode(data))) for data in PICTURES.findall(page)]
    assert shown == [number_at(m.video, m.shown_at) for m in answer.moments]
    links = [a["href"] for tag, a in Read(page).tags if tag == "a"]
    for moment in answer.moments:
        assert f"{moment.video.as_uri()}#t={moment.start:.3f},{moment.end:.3f}" in links


def test_it_says_what_was_decided_and_how_sure_that_is() -> None:
    text = Read(hits_page(found("a dog", Path("/v/a.mp4")), [Thumbnail(b"x")])).text
    for said in (
        "a dog",
        "the first moment is right with a probability of 90%",
        "90%",
        "A notice.",
    ):
        assert said in text
    assert "0:01.0–1:15.5" in text
    assert "a guess" not in text
    assert "Retrieve, 1 new candidates" in text
    assert "the end" in text
    none = found("a dog", Path("/v/a.mp4"), "no_match")
    assert "a guess" in Read(hits_page(none, [Thumbnail(b"x")])).text
    unverified = found("a dog", Path("/v/a.mp4"), "unverified")
    text = Read(hits_page(unverified, [Thumbnail(b"x")])).text
    assert "score 0.400" in text
    assert "%" not in text.split("How it was found")[0].split("}")[-1]


def test_what_is_gone_or_changed_is_said() -> None:
    page = hits_page(found("a", Path("/v/a.mp4"), missing=True), [Thumbnail(None, "it is gone")])
    assert "no picture: it is gone" in page
    assert "<img" not in page
    page = hits_page(found("a", Path("/v/a.mp4"), recorded_at=0.0), [Thumbnail(b"x", "changed")])
    assert "changed" in page
    assert re.search(r"recorded (1970-01-01|1969-12-31) \d\d:\d\d:00", page)
    assert "recorded" not in hits_page(
        found("a", Path("/v/a.mp4"), recorded_at=1e30), [Thumbnail(b"x")]
    )


def test_an_answer_of_nothing_is_a_page_too() -> None:
    nothing = replace(found("a dog", Path("/v/a.mp4")), moments=())
    assert verdict_in_words(nothing) in hits_page(nothing, [])


NAMES = st.text(st.characters(exclude_categories=()), min_size=1).filter(
    lambda name: "/" not in name and "\0" not in name and name not in {".", ".."}
)


@given(st.text(), NAMES)
def test_whatever_stands_in_queries_and_names_is_text(query: str, name: str) -> None:
    try:
        video = Path("/v", name)
        video.as_uri()
    except UnicodeEncodeError:  # no name that a file can have
        return
    page = hits_page(found(query, video), [Thumbnail(b"x")])
    page.encode("utf-8")
    usual = Read(hits_page(found("q", Path("/v/n")), [Thumbnail(b"x")]))
    read = Read(page)
    assert [(tag, sorted(a)) for tag, a in read.tags] == [(t, sorted(a)) for t, a in usual.tags]
    title = re.search(r"<h1>(.*?)</h1>", page, re.DOTALL)
    assert title is not None
    assert unescape(title[1]) == printable(query)


def test_a_name_that_is_no_utf8_keeps_its_bytes_in_the_link() -> None:
    page = hits_page(found("q", Path("/v/caf\udce9 #1?.mp4")), [Thumbnail(b"x")])
    assert 'href="file:///v/caf%E9%20%231%3F.mp4#t=' in page
    assert "caf\\udce9 #1?.mp4" in page


def luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(2 * one for one in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_text_stands_out_from_its_ground_light_and_dark() -> None:
    page = hits_page(found("q", Path("/v/a.mp4")), [Thumbnail(b"x")])
    schemes = [dict(re.findall(r"--(\w+): (#\w+)", line)) for line in page.split(":root")[1:3]]
    assert schemes[0] != schemes[1]
    for colours in schemes:
        light = {name: luminance(colour) for name, colour in colours.items()}
        pairs = [
            (t, g) for t in ("ink", "soft", "link", "mark", "guess") for g in ("ground", "card")
        ]
        for text, ground in [*pairs, ("ink", "line")]:
            low, high = sorted((light[text], light[ground]))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)  # WCAG AA


def test_a_browser_shows_all_of_it(archive: Archive, answer: SearchResult, tmp_path: Path) -> None:
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    from playwright.sync_api import sync_playwright

    file = tmp_path / "hits.html"
    long = replace(answer, query="bl" + "o" * 150 + "cks & " * 30)
    file.write_text(hits_page(long, thumbnails_of(archive, answer.moments)), "utf-8")
    trouble: list[str] = []
    fetched: list[str] = []
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=list(QUIET))
        grounds = set()
        for scheme in ("light", "dark"):
            page = opened.new_page(color_scheme=scheme)
            page.on("console", lambda message: trouble.append(message.text))
            page.on("pageerror", lambda error: trouble.append(str(error)))
            page.on("request", lambda request: fetched.append(request.url))
            page.goto(file.as_uri())
            grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            page.locator("summary").press("Enter")
            assert page.locator("ol.turns").is_visible()
            for width in (1280, 390):
                page.set_viewport_size({"width": width, "height": 900})
                assert page.evaluate("document.documentElement.scrollWidth") <= width
            images = page.evaluate("[...document.images].map(i => [i.alt, i.naturalWidth])")
            assert all(alt and wide > 0 for alt, wide in images)
            assert len(images) == len(answer.moments)
        opened.close()
    assert trouble == []
    assert [url for url in fetched if not url.startswith(("data:", "file:"))] == []
    assert len(grounds) == 2
