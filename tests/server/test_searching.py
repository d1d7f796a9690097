"""What is served is what the archive answers, turn by turn, and no more at once than may be."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.server.client import TIMEOUT, Site, serving
from vsr_edge import open_archive
from vsr_edge.answer import Turn
from vsr_edge.documents import SearchDocument
from vsr_edge.media.cut import picture_at
from vsr_edge.media.picture import jpeg
from vsr_edge.query import Place, Query, SearchOptions
from vsr_edge.server.asking import Search, SearchRequest


def comparable(document: dict[str, Any]) -> dict[str, Any]:
    """Without what differs from one run to the next, and without ids."""
    kept = {name: value for name, value in document.items() if name != "timing_ms"}
    kept["turns"] = [{**turn, "latency_ms": 0} for turn in document["turns"]]
    kept["moments"] = [
        {name: value for name, value in one.items() if name != "video_id"}
        for one in document["moments"]
    ]
    return kept


def answered(folder: Path, query: str | Query, trace: bool = False, **options: Any) -> Any:
    with open_archive(folder, threads=1) as archive:
        found = archive.search(query, **options)
        return comparable(SearchDocument.of(found, archive, trace=trace).model_dump(by_alias=True))


@pytest.mark.parametrize(
    ("asked", "options"),
    [
        ({"query": "a bicycle leaning against a wall"}, {}),
        ({"query": "an elephant in a river", "trace": True, "top_k": 3}, {"top_k": 3}),
        ({"query": "a man", "one_shot": True, "video": ["*.mp4"]}, {"one_shot": True}),
        ({"query": "a bicycle", "then": ["a wall"], "within": "1m"}, {"then": ["a wall"]}),
        ({"query": "a bicycle", "max_turns": 1, "candidates": 4, "rocchio": True}, {}),
    ],
)
def test_an_answer_is_that_of_the_archive(
    site: Site, served_archive: Path, asked: dict[str, Any], options: dict[str, Any]
) -> None:
    if "within" in asked:
        options |= {"within": 60.0}
    if "video" in asked:
        options |= {"video": asked["video"]}
    for name in ("max_turns", "candidates", "rocchio"):
        if name in asked:
            options |= {name: asked[name]}
    answer = site.search(**asked)
    assert answer.status == 200, answer.body
    trace = asked.get("trace", False)
    assert comparable(answer.document) == answered(served_archive, asked["query"], trace, **options)


def test_a_moment_has_the_id_by_which_its_video_is_asked_for(site: Site) -> None:
    first = site.search(query="a bicycle leaning against a wall").document["moments"][0]
    known = site.get(f"/v1/videos/{first['video_id']}").document["video"]
    assert known["video"] == first["video"]


def test_filters_narrow_a_search(site: Site) -> None:
    found = site.search(query="white blocks", tags=["made"], one_shot=True).document
    assert found["moments"]
    ids = {one["id"] for one in site.get("/v1/videos?tag=made").document["videos"]}
    assert {one["video_id"] for one in found["moments"]} <= ids
    assert site.search(query="a man", after="3000-01-01").document["moments"] == []


def form(photo: bytes, request: dict[str, Any] | None = None) -> tuple[bytes, str]:
    parts = [b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n' + photo]
    if request is not None:
        said = json.dumps(request).encode()
        parts.append(b'--x\r\nContent-Disposition: form-data; name="request"\r\n\r\n' + said)
    return b"\r\n".join([*parts, b"--x--\r\n"]), "multipart/form-data; boundary=x"


def test_a_photo_finds_what_looks_like_it(
    site: Site, served_archive: Path, demo_clips: list[Path], tmp_path: Path
) -> None:
    photo = jpeg(picture_at(demo_clips[0], 8.0, 320))
    (tmp_path / "photo.jpg").write_bytes(photo)
    body, content = form(photo, {"top_k": 2})
    found = site.post("/v1/search", body, Content_Type=content)
    wanted = answered(served_archive, Query(like=tmp_path / "photo.jpg"), top_k=2)
    assert found.status == 200, found.body
    got = comparable(found.document)
    assert got.pop("query") == "like a picture"
    del wanted["query"]
    assert got == wanted


def test_a_moment_finds_what_looks_like_it(site: Site, served_archive: Path) -> None:
    video = site.search(query="a bicycle").document["moments"][0]
    found = site.search(like={"video": video["video_id"], "at": 2.0}, top_k=3).document
    wanted = answered(served_archive, Query(like=Place(video["video"], 2.0, 2.0)), top_k=3)
    assert comparable(found) == wanted


def test_judged_moments_are_not_shown_again(site: Site) -> None:
    first = site.search(query="a bicycle").document["moments"][0]
    span = {"video": first["video_id"], "start": first["start"], "end": first["end"]}
    again = site.search(query="a bicycle", bad=[span]).document["moments"]
    assert all(
        (one["video_id"], one["start"]) != (first["video_id"], first["start"]) for one in again
    )


def events(body: bytes) -> list[tuple[str, Any]]:
    found = []
    for block in body.decode("ascii").strip().split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_turns_come_one_by_one_before_the_answer(site: Site) -> None:
    asked = {"query": "an elephant in a river", "candidates": 2, "max_turns": 3}
    told = site.post("/v1/search", asked, Accept="text/event-stream")
    assert told.header("content-type").startswith("text/event-stream")
    *turns, (last, answer) = events(told.body)
    assert last == "answer"
    assert {name for name, _ in turns} == {"turn"}
    assert len(turns) > 1
    assert [turn["turn"] for _, turn in turns] == [turn["turn"] for turn in answer["turns"]]
    assert comparable(answer) == comparable(site.post("/v1/search", asked).document)


def test_the_loop_tells_of_a_turn_before_the_next_begins(served_archive: Path) -> None:
    with open_archive(served_archive, threads=1) as archive:
        told: list[Turn] = []

        def stop(turn: Turn) -> None:
            told.append(turn)
            raise InterruptedError

        with pytest.raises(InterruptedError):
            archive.search("an elephant in a river", candidates=2, on_turn=stop)
        assert [turn.turn for turn in told] == [1]
        assert told[0].then == "not sure: the query is refined"


def test_an_error_before_the_first_turn_is_one_like_any_other(site: Site) -> None:
    asked = {"query": "a man", "video": ["nothing is called so"]}
    refused = site.post("/v1/search", asked, Accept="text/event-stream")
    assert refused.status == 400
    assert refused.document["schema"] == "vsr-edge/error/1"
    assert "no indexed video matches" in refused.document["message"]


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({}, 400, "nothing is asked for"),
        ({"query": " "}, 400, "the query is empty"),
        ({"query": "a man", "nonsense": 1}, 422, "nonsense"),
        ({"query": "a man", "top_k": 0}, 422, "top_k"),
        ({"query": "a man", "after": "some day"}, 400, "after"),
        ({"query": "x" * 1001}, 422, "query"),
        ({"like": {"video": 999, "at": 1}}, 400, "there is no video 999"),
        ({"query": "a man", "min_score": 2}, 400, "min_score"),
        ({"query": "look at /etc/a b.jpg"}, 400, "names a file"),
        ({"query": "a man", "heads": "none"}, 422, "heads"),
    ],
)
def test_what_cannot_be_asked_is_said(
    site: Site, asked: dict[str, Any], status: int, said: str
) -> None:
    refused = site.search(**asked)
    assert (refused.status, refused.document["exit_code"]) == (status, 2)
    assert said in refused.document["message"]


def test_a_request_has_no_more_time_than_is_left(served_archive: Path) -> None:
    with open_archive(served_archive) as archive:
        asked = Search(SearchRequest(query="a man", max_ms=9000), None)
        assert asked.options(archive, 0.5).max_ms == 500
        assert asked.options(archive, 60).max_ms == 9000
        universal = Search(SearchRequest(query="a man", heads="universal"), None)
        assert universal.options(archive, 1).heads == "universal"
        parts = Search(SearchRequest(query="a man", then=["a dog"]), None)
        assert parts.options(archive, 0.5).max_ms == 500
        default = replace(asked.options(archive, 60), then=(), also=(), without=())
        assert default == SearchOptions(max_ms=9000)


def test_who_asks_when_all_are_busy_is_told_when_to_come_back(served_archive: Path) -> None:
    with serving(served_archive, workers=1, queue=1) as site:
        let_go, inside = threading.Event(), threading.Semaphore(0)
        opened = site.served.opened

        def slow() -> Any:
            inside.release()
            assert let_go.wait(TIMEOUT)
            return opened()

        site.served.opened = slow  # type: ignore[method-assign]
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda: answers.append(site.search(query="a man").status))
            for _ in range(2)
        ]
        try:
            for thread in threads:
                thread.start()
            assert inside.acquire(timeout=TIMEOUT)
            while site.served.searches.inside < 2:
                pass
            refused = site.search(query="a man")
            assert refused.status == 429
            assert int(refused.header("Retry-After")) >= 1
            assert refused.document["kind"] == "Busy"
            # What waits and what is turned away keep nothing else from being answered.
            assert site.get("/healthz").status == 200
        finally:
            let_go.set()
            for thread in threads:
                thread.join(TIMEOUT)
        assert answers == [200, 200]


def test_who_left_is_not_served_on(served_archive: Path) -> None:
    with serving(served_archive, workers=1, queue=4) as site:
        let_go, begun = threading.Event(), threading.Semaphore(0)
        opened = site.served.opened

        def slow() -> Any:
            begun.release()
            assert let_go.wait(TIMEOUT)
            return opened()

        site.served.opened = slow  # type: ignore[method-assign]
        body = json.dumps({"query": "a man"}).encode()
        head = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        request = f"POST /v1/search HTTP/1.1\r\n{head}\r\n\r\n".encode() + body
        with site.connected() as running, site.connected() as waiting:
            running.sendall(request)
            assert begun.acquire(timeout=TIMEOUT)
            waiting.sendall(request)
            while site.served.searches.inside < 2:
                pass
        while site.served.searches.inside > 1:  # who waited and left is out
            pass
        let_go.set()
        while site.served.searches.inside:
            pass
        assert not begun.acquire(blocking=False)
        site.served.opened = opened  # type: ignore[method-assign]
        assert "match" not in site.get("/metrics").body.decode().replace("no_match", "")


def test_who_left_is_no_error_of_the_server(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    let_go, opened = threading.Event(), site.served.opened

    def slow() -> Any:
        assert let_go.wait(TIMEOUT)
        return opened()

    monkeypatch.setattr(site.served, "opened", slow)
    with site.connected() as leaving:
        leaving.sendall(b"GET /v1/videos/1/frame?t=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while not site.served.pictures.inside:
            pass
    let_go.set()
    while 'status="499"' not in site.get("/metrics").body.decode():
        pass
    assert "unexpected" not in caplog.text
