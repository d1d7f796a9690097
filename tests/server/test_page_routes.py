"""What the page asks for beside searches: lists, cuts, relevance, receipts, what is kept."""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.client import Site, serving
from tests.server.test_media import ids, numbers
from vsr_edge import open_archive
from vsr_edge.hits.receipt import read_receipt, with_receipt
from vsr_edge.hits.saved import saved_search
from vsr_edge.query import SearchOptions
from vsr_edge.search.candidates import Asked
from vsr_edge.server.access import AccessFile
from vsr_edge.server.page_routes import FOLDER, PAGES
from vsr_edge.watch.alerts import alerts_of
from vsr_edge.watch.fired import KEPT, keep_fired, keep_standing, last_fired, standing_alerts

BICYCLE = "a bicycle leaning against a wall"


@pytest.fixture
def own(own_archive: Path) -> Iterator[Site]:
    with serving(own_archive) as site:
        yield site


def test_pages_hold_no_script_or_style_but_files_of_ours(site: Site) -> None:
    for path in (*PAGES, "/login"):
        answer = site.get(path)
        assert answer.status == 200
        page = answer.body.decode("utf-8")
        assert "default-src 'none'" in answer.header("Content-Security-Policy")
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
        for source in re.findall(r'(?:src|href)="([^"#]+)"', page):
            assert source.startswith("/"), source
            assert site.get(source).status == 200, source
        assert not re.search(r"<script(?![^>]*src=)", page)
    for file in FOLDER.iterdir():
        text = file.read_text("utf-8")
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), file.name
        assert ".innerHTML" not in text


def test_the_head_of_a_page_is_that_of_the_whole(site: Site) -> None:
    for path in (*PAGES, "/login", "/docs", "/page/page.css", "/page/none.js"):
        head, whole = site.ask("HEAD", path), site.get(path)
        assert (head.status, head.body) == (whole.status, b""), path
        assert head.header("content-type") == whole.header("content-type")
        assert int(head.header("content-length")) == len(whole.body)


def test_files_of_the_page_are_those_and_no_others(site: Site) -> None:
    style = site.get("/page/page.css")
    assert style.header("Content-Type").startswith("text/css")
    again = site.get("/page/page.css", If_None_Match=style.header("ETag"))
    assert (again.status, again.body) == (304, b"")
    for name in ("frame.html", "texts.toml", "..%2fguard.py", "__init__.py", "page.css%00"):
        assert site.get(f"/page/{name}").status == 404, name


def test_every_word_that_scripts_say_is_written_down_and_said() -> None:
    import tomllib

    told = tomllib.loads((FOLDER / "texts.toml").read_text("utf-8"))
    scripts = "".join(file.read_text("utf-8") for file in FOLDER.glob("*.js"))
    templates = "".join(file.read_text("utf-8") for file in FOLDER.glob("*.html"))
    quoted = set(re.findall(r"[\"'`](\w+)[\"'`]", scripts))
    said = set(re.findall(r"words\(\"(\w+)\"", scripts))
    assert said <= told["script"].keys()
    # Names that are put together: of a part, of a job's state.
    made = {name for name in told["script"] if name.startswith(("part_", "job_"))}
    keys = set(re.findall(r"(\w+): \"\w+\"", scripts))
    values = set(re.findall(r"\w+: \"(\w+)\"", scripts))
    assert told["script"].keys() - quoted - made - keys - values == set()
    titled = {f"{name}_title" for name in (*PAGES.values(), "login")} | set(PAGES.values())
    assert told["page"].keys() - set(re.findall(r"t\.(\w+)", templates)) - titled == set()


def test_without_a_log_in_there_is_a_page_to_log_in_and_nothing_else(
    own_archive: Path,
) -> None:
    access = AccessFile(own_archive)
    access.add_user("anna", "correct horse", ["search"])
    _, token = access.add_token("door", ["search"])
    with serving(own_archive) as site:
        for path in PAGES:
            answer = site.get(path)
            assert (answer.status, answer.header("Location")) == (303, f"/login?next={path}")
            head = site.ask("HEAD", path)
            assert (head.status, head.header("Location")) == (303, f"/login?next={path}")
            assert site.get(path, Authorization=f"Bearer {token}").status == 200
        assert site.get("/login").status == 200
        assert site.get("/page/session").status == 401
        answer = site.post("/v1/login", {"name": "anna", "password": "correct horse"})
        cookie = answer.header("set-cookie").partition(";")[0]
        known = site.get("/page/session", Cookie=cookie)
        assert known.document["session"] == answer.document
        assert site.get("/", Cookie=cookie).status == 200
        # What changes things needs the token of the page.
        asked = {"hits": [{"video": 1, "start": 0, "end": 1}], "format": "csv"}
        assert site.post("/v1/list", asked, Cookie=cookie).status == 403
        csrf = {"X_CSRF_Token": answer.document["csrf"]}
        assert site.post("/v1/list", asked, Cookie=cookie, **csrf).status == 200
        cut = site.post("/v1/cut", {"hits": asked["hits"]}, Cookie=cookie, **csrf)
        assert cut.document["kind"] == "OutOfScope"


def test_hits_become_the_list_that_is_asked_for(site: Site) -> None:
    names = ids(site)
    hits = [
        {"video": names["numbers.mkv"], "start": 1, "end": 2, "label": "=squares", "score": 0.5},
        {"video": names["carphone_pristine.mp4"], "start": 1, "end": 2, "match_probability": 0.9},
    ]
    found = site.post("/v1/list", {"hits": hits, "format": "csv", "title": "two"})
    assert found.header("Content-Type").startswith("text/csv")
    assert found.header("Content-Disposition") == "attachment; filename*=utf-8''two.csv"
    rows = found.body.decode("utf-8").splitlines()
    assert len(rows) == 3
    assert "'=squares" in rows[1]
    # Of two frame rates: two files.
    packed = site.post("/v1/list", {"hits": hits, "format": "edl", "pad": 1})
    assert packed.header("Content-Type") == "application/zip"
    with zipfile.ZipFile(io.BytesIO(packed.body)) as lists:
        assert len(lists.namelist()) == 2
        assert all(lists.read(name).startswith(b"TITLE: hits") for name in lists.namelist())


@pytest.mark.parametrize(
    "wrong",
    [
        {"hits": []},
        {"hits": [{"video": 999, "start": 0, "end": 1}]},
        {"hits": [{"video": 1, "start": 2, "end": 1}]},
        {"hits": [{"video": 1, "start": 0, "end": 1}], "pad": -1},
        {"hits": [{"video": 1, "start": 0, "end": 1}], "format": "exe"},
        {"hits": [{"video": 1, "start": 0, "end": 1}], "out": "/etc"},
    ],
)
def test_what_cannot_be_listed_or_cut_is_refused(site: Site, wrong: dict[str, Any]) -> None:
    answer = site.post("/v1/list", {"format": "csv"} | wrong)
    assert answer.status in (400, 422), answer.body
    answer = site.post("/v1/cut", wrong)
    assert answer.status in (400, 404, 422), answer.body


def test_hits_are_cut_to_their_frames(site: Site) -> None:
    names = ids(site)
    hits: list[dict[str, Any]] = [
        {"video": names["numbers.mkv"], "start": 2, "end": 3},
        {"video": names["old.avi"], "start": 1, "end": 1.5},
    ]
    answer = site.post("/v1/cut", {"hits": hits})
    assert answer.status == 200, answer.body
    with zipfile.ZipFile(io.BytesIO(answer.body)) as clips:
        contents = [clips.read(name) for name in sorted(clips.namelist())]
    shown = []
    for content in contents:
        shown.append(sorted(set(numbers(content))))
    assert shown[0] == list(range(20, 30))
    assert shown[1] == list(range(10, 15))
    for long in ([hits[0] | {"end": 301}], [hits[0] | {"end": 152}] * 2):
        assert site.post("/v1/cut", {"hits": long, "pad": 1}).status == 422


def test_relevance_is_that_of_each_frame_beside_the_archive(
    site: Site, served_archive: Path
) -> None:
    video = ids(site)["bikes.mp4"]
    found = site.post(f"/v1/videos/{video}/relevance", {"query": BICYCLE}).document
    with open_archive(served_archive, threads=1) as archive:
        frames = archive.encoded_store().frames(video)
        vector = Asked(archive.store, archive.bundle, BICYCLE, SearchOptions()).vector
        scores = frames.vectors.astype("float32") @ vector
    assert found["times"] == pytest.approx(frames.times, abs=1e-3)
    assert max(range(len(scores)), key=lambda i: found["above"][i]) == scores.argmax()
    assert found["above"][int(scores.argmax())] > 1
    assert site.post("/v1/videos/999/relevance", {"query": BICYCLE}).status == 404
    assert site.post(f"/v1/videos/{video}/relevance", {}).status == 400


def test_a_receipt_is_that_of_the_command_line(site: Site, tmp_path: Path) -> None:
    answer = site.post("/v1/receipt", {"query": BICYCLE, "video": ["bikes.mp4"]})
    file = tmp_path / "receipt.json"
    file.write_bytes(answer.body)
    receipt = read_receipt(file)
    assert receipt["options"]["max_ms"] is None
    assert receipt["searched"]["videos"] == 1
    assert receipt["answer"]["verdict"] == "match"
    refused = site.post("/v1/receipt", {"query": BICYCLE, "not": "a wall"})
    assert (refused.status, refused.document["kind"]) == (400, "UsageError")


def test_a_search_that_had_no_time_has_no_receipt(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*asked: Any, most_ms: float, **said: Any) -> Any:
        made = with_receipt(*asked, most_ms=most_ms, **said)
        assert most_ms <= 1000
        time.sleep(most_ms / 1000)
        return made

    monkeypatch.setattr(site.served.searches, "seconds", 1.0)
    monkeypatch.setattr("vsr_edge.server.kept_routes.with_receipt", slow)
    answer = site.post("/v1/receipt", {"query": BICYCLE})
    assert (answer.status, answer.document["kind"]) == (503, "OutOfTime")


def test_searches_are_saved_asked_and_forgotten(own: Site, own_archive: Path) -> None:
    video = ids(own)["bikes.mp4"]
    search: dict[str, Any] = {
        "query": "a bicycle",
        "good": [{"video": video, "start": 7.0, "end": 9.0}],
    }
    search |= {"like": {"video": video, "at": 8.0}, "not": "a man"}
    search |= {"video": ["bikes*", "old.avi"], "max_duration": "1h", "tags": ["-made"]}
    saved = own.post("/v1/saved", {"name": "bikes", "search": search})
    assert saved.status == 201, saved.body
    (row,) = own.get("/v1/saved").document["saved"]
    assert row["name"] == "bikes"
    assert row["search"] == search | {"weight": 0.5}
    assert row["footage"] == "video bikes*, old.avi; max-duration 1h; tags -made"
    found = own.search(**row["search"]).document
    assert {one["video_id"] for one in found["moments"]} == {video}
    query = saved_search(own_archive, "bikes").query
    assert query is not None
    assert query.text == "a bicycle"
    for name in ("../x", "", "a/b"):
        refused = own.post("/v1/saved", {"name": name, "search": search})
        assert refused.status == 400, name
    for wrong in ({"after": "rubbish"}, {"video": ["nowhere"]}, {"then": ["a dog"]}):
        refused = own.post("/v1/saved", {"name": "wrong", "search": search | wrong})
        assert refused.status == 400, wrong
    assert own.ask("DELETE", "/v1/saved/bikes").document["forgotten"] == ["bikes"]
    assert own.ask("DELETE", "/v1/saved/bikes").status == 400
    assert own.get("/v1/saved").document["saved"] == []


def test_the_last_alerts_are_kept_and_those_that_stand(own: Site, own_archive: Path) -> None:
    assert own.get("/v1/alerts").document == {
        "schema": "vsr-edge/served-alerts/1",
        "standing": [],
        "alerts": [],
    }
    keep_standing(own_archive, alerts_of(["dock=a person"], "2/day", "22:00-06:00", ["*.mkv"]))
    (stands,) = own.get("/v1/alerts").document["standing"]
    assert stands == {
        "name": "dock",
        "query": "a person",
        "a_day": 2.0,
        "since": "22:00",
        "until": "06:00",
        "videos": ["*.mkv"],
    }
    for some in range(0, 3 * KEPT, 100):
        keep_fired(own_archive, [f'{{"id": "{n}"}}' for n in range(some, some + 100)])
    with (own_archive / "alerts-fired.jsonl").open("a") as file:
        file.write('{"id": "torn')
    last = last_fired(own_archive)
    assert [one["id"] for one in last[:2]] == [str(3 * KEPT - 1), str(3 * KEPT - 2)]
    assert len(last) == KEPT
    # What is no alert of this version is passed over.
    assert own.get("/v1/alerts").document["alerts"] == []
    standing = own_archive / "alerts-standing.json"
    kept = json.loads(standing.read_text())
    standing.write_text(json.dumps([{"name": "of another version"}, *kept]))
    assert own.get("/v1/alerts").document["standing"] == [stands]
    standing.write_text("{")
    assert standing_alerts(own_archive) == []
