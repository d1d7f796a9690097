"""The page in a browser: a real server process, a real archive, Debian's or anybody's Chromium."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import av
import numpy as np
import pytest

from tests.evaluation.test_report import BROWSERS
from tests.media_files import constant_rate, number_of, write_video
from tests.server.client import serving
from tests.server.conftest import BROWSER, NASTY, RATE
from tests.server.desk import Desk, away_once, downloaded, position, search, shown_number, shows
from vsr_edge import open_archive
from vsr_edge.documents import AlertDocument
from vsr_edge.hits.receipt import read_receipt
from vsr_edge.server.access import AccessFile
from vsr_edge.watch.fired import keep_fired

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"none of {', '.join(BROWSERS)} is here")
PASSWORD = "correct horse"
REFUSED = re.compile("401|403|ERR_FAILED")
BICYCLE = "a bicycle leaning against a wall"


def test_a_hit_is_played_from_its_second_and_goes_by_the_basket_to_the_editor(desk: Desk) -> None:
    with desk.page() as page:
        search(page, "a white square on the left", video="film.mp4")
        with page.expect_request("**/relevance"):
            page.locator(".picture:not([aria-label*=' 0:00.0 to'])").first.click()
        shown_number(page)
        start = position(page)
        assert start > 0
        assert shows(page, start * RATE)
        assert page.locator("#relevance .curve").get_attribute("d")
        width = float(page.locator("#relevance .moment").get_attribute("width") or 0)
        assert 0 < width < 1000
        page.keyboard.press("l")
        page.wait_for_function("t => document.querySelector('#video').currentTime > t", arg=start)
        assert shows(page, (start + 5) * RATE)
        page.keyboard.press("a")
        page.keyboard.press("Escape")
        page.locator("#open-basket").click()
        assert page.locator("#basket-hits li").count() == 1
        name, edl = downloaded(page, "EDL")
        assert name.endswith(".edl")
        assert b"* FROM CLIP NAME: film.mp4" in edl
        first = edl.split(b"  C        ")[1].split()[0].decode()
        minutes, seconds, frames = map(int, first.split(":")[1:])
        assert abs((minutes * 60 + seconds) * RATE + frames - start * RATE) <= 1
        name, csv = downloaded(page, "CSV")
        assert csv.startswith(b"number,video,start")
        name, packed = downloaded(page, "Cut clips")
        with zipfile.ZipFile(io.BytesIO(packed)) as clips:
            (clip,) = clips.namelist()
            content = clips.read(clip)
        with av.open(io.BytesIO(content), "r") as opened:
            frame = next(opened.decode(video=0)).to_ndarray(format="rgb24")
        assert abs(number_of(np.asarray(frame, np.uint8)) - start * RATE) <= 1


def test_what_no_browser_plays_is_played_from_the_right_frame_too(desk: Desk) -> None:
    with desk.page() as page:
        for name in ("numbers.mkv", "old.avi"):
            search(page, "a white square", video=name)
            page.locator(".hit .picture").first.click()
            assert shows(page, position(page) * 10)
            before = position(page)
            for _ in range(2):
                page.keyboard.press("ArrowRight")
            page.wait_for_function(
                "t => document.querySelector('#video').currentTime > t + 1", arg=before
            )
            assert shows(page, position(page) * 10)
            page.keyboard.press("Escape")


def test_the_turns_of_the_loop_are_shown_as_they_come(desk: Desk) -> None:
    with desk.page() as page:
        page.evaluate(
            "() => { window.seen = []; new MutationObserver(() => window.seen.push(["
            " document.querySelectorAll('#turns li:not(.asking)').length,"
            " document.querySelector('#verdict').textContent ])).observe("
            " document.querySelector('#answer'), {childList: true, subtree: true}); }"
        )
        search(page, "an elephant in a river", candidates="2")
        seen: list[tuple[int, str]] = page.evaluate("window.seen")
        turns = max(count for count, _ in seen)
        assert turns == 3
        assert {count for count, verdict in seen if not verdict} >= {1, 2, 3}
        text = page.locator("#turns").inner_text()
        assert "Looked at 2 moments" in text
        assert "not sure" in text
        assert "8 soft tokens" in text
        assert "towards" in text
        assert "Not found" in page.locator("#verdict").inner_text()
        assert page.locator(".hit .tag").first.inner_text() == "a guess"
        # Whoever hears the page is told.
        assert "moments." in page.locator("#said").inner_text()


def test_it_is_used_by_keyboard_alone(desk: Desk) -> None:
    with desk.page() as page:
        page.keyboard.press("Tab")  # from the box that has the focus, and back
        page.keyboard.press("/")
        page.keyboard.type(BICYCLE)
        page.keyboard.press("Enter")
        page.locator("#verdict strong").wait_for()
        page.keyboard.press("ArrowDown")
        focused = "document.activeElement.getAttribute('aria-label')"
        first = page.evaluate(focused)
        assert first.startswith("Play bikes.mp4, ")
        assert "likely" in first
        page.keyboard.press("ArrowRight")
        assert page.evaluate(focused) != first
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("a")
        assert page.locator("#basket-count").inner_text() == "1"
        assert page.evaluate(focused) == first
        page.keyboard.press("Enter")
        shown = page.locator("#player")
        assert shown.is_visible()
        page.keyboard.press("n")
        page.keyboard.press("p")
        page.keyboard.press("Escape")
        assert shown.is_hidden()
        assert page.evaluate(focused) == first
        page.keyboard.press("?")
        assert page.get_by_role("heading", name="Keys").is_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "query"


def test_what_is_judged_feeds_the_loop_and_more_is_found_like_a_moment(desk: Desk) -> None:
    with desk.page() as page:
        search(page, "a street")
        page.get_by_role("button", name="This", exact=True).nth(0).click()
        page.get_by_role("button", name="Not this").nth(1).click()
        assert "1 right, 1 wrong" in page.locator("#judged").inner_text()
        with page.expect_request("**/v1/search") as said:
            page.get_by_role("button", name="Search again with that").click()
        asked: Any = said.value.post_data_json
        assert (len(asked["good"]), len(asked["bad"])) == (1, 1)
        page.locator("#verdict strong").wait_for()
        with page.expect_request("**/v1/search") as said:
            page.get_by_role("button", name="More like this").first.click()
        like: Any = said.value.post_data_json
        assert like["like"]["video"] > 0
        page.get_by_text("Ordered by likeness.", exact=True).wait_for()
        assert "like" in page.locator("#chips").inner_text()
        page.go_back()
        page.wait_for_function("document.querySelector('#query').value === 'a street'")


def test_a_photo_parts_and_filters_are_asked_for(desk: Desk, demo_clips: list[Path]) -> None:
    with desk.page() as page, open_archive(threads=1) as any_archive:
        from vsr_edge.media.picture import jpeg

        photo = jpeg(any_archive.frame(demo_clips[0], 9.0))
        file = {"name": "street.jpg", "mimeType": "image/jpeg", "buffer": photo}
        page.locator("#photo").set_input_files(file)  # type: ignore[arg-type]
        page.get_by_text("Ordered by likeness.", exact=True).wait_for()
        assert "bikes.mp4" in page.locator(".hit").first.inner_text()
        page.get_by_role("button", name="Take out: like the photo").click()
        page.get_by_role("button", name="Then, without").click()
        page.get_by_role("button", name="+ then").click()
        page.keyboard.type("a bicycle")
        search(page, "a street", video="bikes.mp4", max_duration="1h", within="20s")
        assert "Read as" in page.locator("#notices").inner_text()
        assert page.locator(".hit").count() > 0
        page.reload()
        page.locator("#verdict strong").wait_for()
        asked = ("#query", "#parts input", "[name=video]", "[name=within]")
        kept = [page.locator(name).input_value() for name in asked]
        assert kept == ["a street", "a bicycle", "bikes.mp4", "20s"]


def test_what_cannot_be_asked_is_said_in_place_of_an_answer(desk: Desk) -> None:
    with desk.page() as page:
        page.get_by_role("button", name="Search", exact=True).click()
        assert "Say in a few words" in page.locator("#notice").inner_text()
        assert page.locator("#answer").is_hidden()
        search(page, "a street")
        assert page.locator("#save").is_visible()
        search(page, "a street", answered=False, video="nosuch.mp4")
        page.locator("#notice").get_by_text("nosuch.mp4").wait_for()
        page.locator("#go").wait_for()
        # What was found before is not shown as the answer to this.
        for gone in ("#turns li", ".hit", "#save:visible", "#receipt:visible"):
            assert page.locator(gone).count() == 0, gone
        # The browser notes what was refused.
        assert "400" in desk.wrong.pop()


def test_an_address_is_asked_for_as_it_stands(desk: Desk) -> None:
    named = ["[b,x]ikes.mp4"]  # its comma parts no names
    with desk.page("/#100%") as page:
        assert page.evaluate("document.activeElement.id") == "query"
        page.goto(f"/#{quote(json.dumps({'query': 'a street', 'video': named}))}")
        page.locator("#verdict strong").wait_for()
        search(page, "a wall")
        assert page.locator(".hit").count() > 0
        assert json.loads(unquote(page.url.partition("#")[2]))["video"] == named
        # And so does what is typed: quotes hold a name together.
        search(page, "a brick wall", video='"[b,x]ikes.mp4" , old.avi, "[b"",]ikes.mp4"')
        asked = json.loads(unquote(page.url.partition("#")[2]))
        assert asked["video"] == [*named, "old.avi", '[b",]ikes.mp4']


def test_a_slider_that_is_dragged_asks_once_for_what_is_not_made_yet(desk: Desk) -> None:
    with desk.page() as page:
        search(page, "a white square", video="old.avi")
        page.locator(".hit .picture").first.click()
        shown_number(page)
        before = len(desk.asked)
        # As if nothing were made yet.
        page.evaluate(
            "() => { const slider = document.querySelector('#position');"
            " const video = document.querySelector('#video');"
            " Object.defineProperty(video, 'buffered', {value: {length: 0}, configurable: true});"
            " for (const at of [0.4, 0.8, 1.6]) {"
            "  slider.value = at; slider.dispatchEvent(new Event('input')); }"
            " slider.dispatchEvent(new Event('change')); delete video.buffered; }"
        )
        page.wait_for_function("() => document.querySelector('#video').currentTime > 1.5")
        assert shows(page, 16)
        made = [url for url in desk.asked[before:] if not url.startswith("blob:")]
        assert [url.partition("?")[2] for url in made] == ["from=1.600"]


def test_whoever_is_faster_than_the_script_is_answered_too(desk: Desk) -> None:
    with desk.page("/?query=a+street") as page:
        page.locator("#verdict strong").wait_for()
        assert page.locator("#query").input_value() == "a street"
        assert "?" not in page.url


def test_searches_are_kept_and_receipts_hold(desk: Desk, tmp_path: Path) -> None:
    with desk.page() as page:
        search(page, BICYCLE, video="bikes*", max_duration="1h")
        name, receipt = downloaded(page, "Receipt")
        assert name == "receipt.json"
        (tmp_path / name).write_bytes(receipt)
        held = read_receipt(tmp_path / name)
        assert (held["query"], held["searched"]["videos"]) == (BICYCLE, 1)
        page.once("dialog", lambda dialog: dialog.accept("bicycle"))
        page.get_by_role("button", name="Save").click()
        page.locator("#notice").get_by_text("Saved as bicycle").wait_for()
        page.goto("/standing")
        page.get_by_text("video bikes*; max-duration 1h").wait_for()
        page.get_by_role("link", name="Run").click()
        page.locator("#verdict strong").wait_for()
        assert page.locator("#query").input_value() == BICYCLE
        assert page.locator("[name=video]").input_value() == "bikes*"
        assert page.locator("[name=max_duration]").input_value() == "1h"
        page.goto("/standing")
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Forget: bicycle").click()
        page.get_by_text("No search is saved.").wait_for()


def test_videos_alerts_and_jobs_have_their_pages(desk: Desk) -> None:
    with desk.page("/videos") as page:
        page.get_by_text("7 of 7 shown").wait_for()
        assert page.get_by_text(NASTY, exact=True).is_visible()
        page.locator("#name").fill("bikes*")
        page.locator("#name").press("Enter")
        page.get_by_text("1 of 1 shown").wait_for()
        # A comma is of the name: there is none that is called so.
        with page.expect_request("**/v1/videos?*") as narrowed:
            page.locator("#name").fill("bikes*, film*")
            page.locator("#name").press("Enter")
        assert parse_qs(urlsplit(narrowed.value.url).query)["video"] == ["bikes*, film*"]
        page.get_by_text("0 of 0 shown").wait_for()
        page.goto("/jobs")
        write_video(desk.root / "new.mp4", constant_rate(20, RATE))
        page.locator("#path").fill(str(desk.root))
        page.get_by_role("button", name="Index").click()
        page.get_by_text("1 indexed, 0 known, 0 failed").wait_for()
        page.locator("#path").fill("/etc")
        with page.expect_response("**/v1/index") as refused:
            page.get_by_role("button", name="Index").click()
        assert refused.value.status == 403
        page.get_by_text("outside of the folders").wait_for()
        # The browser notes what was refused, as it should.
        assert "403" in desk.wrong.pop()


def test_alerts_that_fired_are_shown_with_their_pictures(desk: Desk) -> None:
    film = desk.site.get("/v1/videos?video=film.mp4").document["videos"][0]["video"]
    about = {"id": "1", "alert": "squares", "query": "a square", "video": film, "score": 2.5}
    about |= {"start": 4.0, "end": 6.0, "threshold": 1.0, "extrapolated": False, "past_hours": 1.0}
    about |= {"probability": 0.5, "recorded_at": "2026-03-03T22:00:00Z", "recorded_from": "name"}
    told = AlertDocument.model_validate(about).model_dump_json(by_alias=True)
    keep_fired(desk.root.parent / "archive", [told, told])
    with desk.page("/standing") as page:
        page.locator("#alerts .hit").wait_for()
        assert page.locator("#alerts .hit").count() == 1
        page.locator("#alerts .picture").click()
        assert shows(page, 4.0 * RATE)


@pytest.mark.parametrize("width", [390, 1440])
def test_pages_fit_and_have_no_serious_violation_for_whom_they_are_read_to(
    desk: Desk, width: int
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    axe = Axe()

    def check(page: Page, what: str) -> None:
        page.wait_for_timeout(300)  # until what fades in is there
        found = axe.run(page).response["violations"]
        serious = [
            (one["id"], [node["html"][:200] for node in one["nodes"]])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == [], what
        assert page.evaluate("document.documentElement.scrollWidth") <= width, what

    scheme, others = ("dark", ("/login",)) if width == 1440 else ("light", ("/standing", "/jobs"))
    with desk.page("/videos", width, scheme) as page:
        page.locator(".hit").first.wait_for()
        check(page, "videos")
        for path in others:
            page.goto(path)
            check(page, path)
        page.goto("/")
        page.get_by_role("button", name="Then, without").click()
        page.get_by_role("button", name="+ without").click()
        search(page, BICYCLE, after="1970-01-01")
        page.get_by_role("button", name="Add to the basket").first.click()
        check(page, "search")
        if width == 390:
            page.locator("#open-basket").click()
            check(page, "basket")
            page.keyboard.press("Escape")
        page.locator(".picture").first.click()
        shown_number(page)
        check(page, "player")


def test_whoever_must_log_in_sees_nothing_before(
    own_archive: Path, browser: Browser, desk: Desk
) -> None:
    AccessFile(own_archive).add_user("anna", PASSWORD, ["search", "media"])
    with serving(own_archive) as site:
        locked = Desk(browser, site, desk.root)
        with locked.page("/videos") as page:
            assert page.url.endswith("/login?next=/videos")
            page.get_by_label("Name").fill("anna")
            page.get_by_label("Password").fill("wrong horse")
            page.get_by_role("button", name="Log in").click()
            page.get_by_text("No user has this name and password.").wait_for()
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Log in").click()
            page.get_by_text("6 of 6 shown").wait_for()
            page.get_by_role("link", name="Search", exact=True).click()
            search(page, BICYCLE)
            assert page.locator(".hit").count() > 0
            # Another tab logs in anew, and the server is away for a moment.
            again = {"name": "anna", "password": PASSWORD}
            assert page.request.post("/v1/login", data=again).ok
            search(page, BICYCLE)
            away_once(page, "**/page/session")
            page.reload()
            page.locator("#verdict strong").wait_for()
            page.get_by_role("button", name="Log out").click()
            page.wait_for_url("**/login")
            page.goto("/")
            assert "/login" in page.url
        assert [line for line in locked.wrong if not REFUSED.search(line)] == []


def test_nothing_of_a_query_stands_in_the_servers_log(desk: Desk) -> None:
    with desk.page() as page:
        search(page, "a zebra crossing")
        page.locator(".picture").first.click()
        shown_number(page)
    log = (desk.root.parent / "log").read_text("utf-8")
    assert "/v1/search" in log
    assert "zebra" not in log
    assert json.loads(log.splitlines()[-1])["path"]
