"""Frames, clips and streams of videos by id: the right pictures, and only what was indexed."""

from __future__ import annotations

import io
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.media_files import number_of
from tests.server.client import TIMEOUT, Answer, Site, serving
from tests.server.conftest import NASTY
from vsr_edge import open_archive
from vsr_edge.media.fragments import Fragments
from vsr_edge.media.picture import picture_of


def ids(site: Site) -> dict[str, int]:
    listed = site.get("/v1/videos").document["videos"]
    return {Path(one["video"]).name: one["id"] for one in listed}


def numbers(content: bytes) -> list[int]:
    """What the frames of a video show."""
    with av.open(io.BytesIO(content), "r") as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [number_of(np.asarray(pixels, np.uint8)) for pixels in shown]


def test_videos_are_listed_a_page_at_a_time(site: Site) -> None:
    whole = site.get("/v1/videos")
    assert whole.document["schema"] == "vsr-edge/videos/1"
    count = len(whole.document["videos"])
    assert whole.header("X-Total-Count") == str(count)
    second = site.get("/v1/videos?offset=1&limit=2")
    assert second.document["videos"] == whole.document["videos"][1:3]
    assert second.header("X-Total-Count") == str(count)
    assert len(site.get("/v1/videos?video=*.mkv&tag=made").document["videos"]) == 1


def test_a_frame_is_the_one_of_its_time(site: Site) -> None:
    video = ids(site)["numbers.mkv"]
    for time in (0.0, 3.1, 500.0):
        answer = site.get(f"/v1/videos/{video}/frame?t={time}")
        assert answer.header("content-type") == "image/jpeg"
        shown = number_of(picture_of(answer.body, Path("frame")))
        assert shown == min(round(time * 10), 59)
    again = site.get(f"/v1/videos/{video}/frame?t=500.0", If_None_Match=answer.header("ETag"))
    assert (again.status, again.body) == (304, b"")


def test_a_clip_holds_the_frames_of_its_span(site: Site) -> None:
    names = ids(site)
    answer = site.get(f"/v1/videos/{names[NASTY]}/clip?from=1.0&to=1.5")
    assert answer.status == 200, answer.body
    assert numbers(answer.body) == [10, 11, 12, 13, 14]
    named = answer.header("content-disposition")
    assert named.startswith("attachment")
    assert not set(named.partition("filename")[2]) & set("<>&'\\")
    assert site.get(f"/v1/videos/{names[NASTY]}/clip?from=900&to=901").status == 422


@pytest.mark.parametrize("span", ["from=2&to=1", "from=1&to=1", "from=0&to=301", "from=nan&to=1"])
def test_a_span_that_cannot_be_cut_is_refused(site: Site, span: str) -> None:
    assert site.get(f"/v1/videos/1/clip?{span}").status == 422


def test_clips_leave_nothing_behind(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    video = ids(site)["numbers.mkv"]
    assert site.get(f"/v1/videos/{video}/clip?from=0&to=0.5").status == 200
    assert site.get(f"/v1/videos/{video}/clip?from=900&to=901").status == 422
    with site.connected() as leaving:
        leaving.sendall(
            f"GET /v1/videos/{video}/clip?from=0&to=5 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        )
    while site.served.clips.inside or any(tmp_path.iterdir()):
        pass


def test_what_browsers_play_is_sent_as_it_is_and_in_parts(site: Site, footage: Path) -> None:
    content = (footage / NASTY).read_bytes()
    path = f"/v1/videos/{ids(site)[NASTY]}/stream"
    whole = site.get(path)
    assert (whole.status, whole.body) == (200, content)
    assert whole.header("Accept-Ranges") == "bytes"
    assert whole.header("Content-Type") == "video/mp4"
    size = len(content)
    for asked, first, last in (
        ("bytes=0-0", 0, 0),
        ("bytes=100-199", 100, 199),
        (f"bytes={size - 10}-", size - 10, size - 1),
        ("bytes=-10", size - 10, size - 1),
        (f"bytes=5-{10**15}", 5, size - 1),
    ):
        part = site.get(path, Range=asked)
        assert (part.status, part.body) == (206, content[first : last + 1]), asked
        assert part.header("Content-Range") == f"bytes {first}-{last}/{size}"


@pytest.mark.parametrize(
    ("name", "start", "copied", "first"),
    [("numbers.mkv", 0, "yes", 0), ("numbers.mkv", 3.5, "yes", 30), ("old.avi", 1, "no", 10)],
)
def test_what_they_do_not_play_is_made_playable_on_the_way(
    site: Site, name: str, start: float, copied: str, first: int
) -> None:
    if copied == "yes" and int(av.__version__.split(".")[0]) < 15:
        pytest.skip("PyAV 14 copies no stream of H.264 that can be decoded")
    answer = site.get(f"/v1/videos/{ids(site)[name]}/stream?from={start}")
    assert answer.status == 200, answer.body
    assert answer.header("X-Video-Copied") == copied
    assert float(answer.header("X-Video-Start")) == pytest.approx(first / 10, abs=0.01)
    count = {"numbers.mkv": 60, "old.avi": 40}[name]
    shown = numbers(answer.body)
    # MPEG-4 at a constant rate shows a frame for several ticks.
    assert sorted(set(shown)) == list(range(first, count))
    with av.open(io.BytesIO(answer.body), "r") as container:
        assert container.streams.video[0].codec_context.name.endswith("h264")
    assert answer.body.count(b"moof") > 1


def test_beyond_its_end_there_is_no_stream(site: Site) -> None:
    refused = site.get(f"/v1/videos/{ids(site)['old.avi']}/stream?from=900")
    assert (refused.status, refused.document["kind"]) == (422, "MediaError")


def test_only_so_many_are_transcoded_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()

    def waiting(*_: Any) -> None:
        assert let_go.wait(TIMEOUT)

    monkeypatch.setattr("vsr_edge.server.media_routes.write_fragments", waiting)
    path = f"/v1/videos/{ids(site)['old.avi']}/stream"
    threads = [threading.Thread(target=site.get, args=(path,)) for _ in range(2)]
    try:
        for thread in threads:
            thread.start()
        while site.served.streams.inside < 2:
            pass
        refused = site.get(path)
        assert (refused.status, refused.document["kind"]) == (429, "Busy")
    finally:
        let_go.set()
        for thread in threads:
            thread.join(TIMEOUT)
    assert site.served.streams.inside == 0


def endless(_: Path, start: float, seconds: float, sink: Any, begin: Any, threads: int) -> None:
    """In place of what transcodes: a video that does not end."""
    assert threads
    begin(Fragments(start, seconds, False))
    while True:
        sink.write(bytes(1 << 16))


def test_a_viewer_that_left_ends_the_transcoding(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vsr_edge.server.media_routes.write_fragments", endless)
    with site.connected() as viewer:
        path = f"/v1/videos/{ids(site)['old.avi']}/stream"
        viewer.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert viewer.recv(100).startswith(b"HTTP/1.1 200")
        assert site.served.streams.inside == 1
    while site.served.streams.inside:
        pass


def of_all_media(site: Site, video: int) -> list[Answer]:
    paths = ("frame?t=1", "clip?from=0&to=1", "stream")
    return [site.get(f"/v1/videos/{video}/{path}") for path in paths]


def test_only_what_was_indexed_is_given_away(
    tmp_path: Path, own_archive: Path, footage: Path
) -> None:
    path = Path(shutil.copy(footage / "numbers.mkv", tmp_path / "mine.mp4"))
    with open_archive(own_archive) as archive:
        archive.index(path)
    with serving(own_archive) as site:
        video = ids(site)["mine.mp4"]
        secret = tmp_path / "secret"
        secret.write_bytes(b"secret" * 1000)
        path.unlink()
        path.symlink_to(secret)
        for answer in of_all_media(site, video):
            assert (answer.status, answer.document["kind"]) == (410, "VideoGone")
            assert b"secret" not in answer.body.replace(os.fsencode(secret), b"")
        path.unlink()
        for answer in of_all_media(site, video):
            assert answer.status == 410
            assert "the file is gone" in answer.document["message"]
        assert site.get(f"/v1/videos/{video}").document["video"]["missing"]


def test_a_video_that_is_not_there_is_none(site: Site) -> None:
    for answer in [site.get("/v1/videos/9999"), *of_all_media(site, 9999)]:
        assert (answer.status, answer.document["kind"]) == (404, "NotFound")


def test_of_media_the_head_may_be_asked_for_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch, footage: Path
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing is cut or transcoded to be counted")

    monkeypatch.setattr("vsr_edge.server.media_routes.trim", never)
    monkeypatch.setattr("vsr_edge.server.media_routes.write_fragments", never)
    names = ids(site)
    for name, path, kind in (
        ("numbers.mkv", "frame?t=1", "image/jpeg"),
        ("numbers.mkv", "clip?from=0&to=1", "video/mp4"),
        (NASTY, "stream", "video/mp4"),
        ("old.avi", "stream", "video/mp4"),
    ):
        answer = site.ask(
            "HEAD", f"/v1/videos/{names[name]}/{path}", headers={"Range": "bytes=0-1"}
        )
        assert (answer.status, answer.body) == (200, b""), path
        assert answer.header("content-type") == kind
        if name == NASTY:
            assert int(answer.header("content-length")) == (footage / NASTY).stat().st_size
            assert answer.header("accept-ranges") == "bytes"
    for path in ("frame?t=1", "clip?from=0&to=1", "stream"):
        assert site.ask("HEAD", f"/v1/videos/9999/{path}").status == 404
