"""Lists of hits read back with the programs' own libraries say the frames that were meant."""

from __future__ import annotations

import csv
import io
from fractions import Fraction
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import av
import pytest

from tests.media_files import constant_rate, write_video
from vsr_edge.errors import UsageError
from vsr_edge.hits.cuts import Hit
from vsr_edge.hits.listed import Listed, listed
from vsr_edge.hits.lists import FORMATS, lists
from vsr_edge.media.start_code import start_timecode
from vsr_edge.types import Video

NTSC = Fraction(30000, 1001)
FOLDER = Path("/videos").absolute()


def video(name: str, rate: float, duration: float = 100.0, sound: int = 1) -> Video:
    return Video(FOLDER / name, "", 1, 1, duration, 1280, 720, 0, "h264", "mov,mp4", rate, sound)


CAMERA = video("cam 1.mp4", 29.97)
DOOR = video("door#2, =old.mkv", 25, sound=0)


def hit(number: int, of: Video, start: float, end: float) -> Hit:
    return Hit(number, of.path, start, end, "a red; car = #1", 0.25, 0.75)


HITS = [hit(1, CAMERA, 65.0, 70.0), hit(2, CAMERA, 10.01, 12.0), hit(3, DOOR, 99.0, 105.0)]


def all_listed(hits: list[Hit] = HITS) -> list[Listed]:
    return listed(hits, {CAMERA.path: CAMERA, DOOR.path: DOOR})


def test_bounds_are_frames_at_the_rate_of_the_video() -> None:
    first, second, third = all_listed()
    assert [one.rate for one in (first, second, third)] == [NTSC, NTSC, Fraction(25)]
    assert (first.first, first.behind) == (1948, 2098)
    assert (second.first, second.behind) == (300, 360)
    # An end behind the video is that of the video.
    assert (third.first, third.behind, third.count) == (2475, 2500, 2500)


def test_csv_comes_back_with_every_bound() -> None:
    (text,) = lists(all_listed(), "csv", "cars").values()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["video"] for row in rows] == [str(one.video) for one in HITS]
    assert rows[0]["start_timecode"] == "00:01:05;00"
    assert Fraction(rows[0]["frame_rate"]) == NTSC
    for row in rows:
        rate = Fraction(row["frame_rate"])
        assert float(row["start"]) == pytest.approx(float(int(row["start_frame"]) / rate), abs=1e-6)
    formula = Hit(1, CAMERA.path, 1.0, 2.0, "=HYPERLINK(1)")
    (text,) = lists(all_listed([formula]), "csv", "x").values()
    assert next(csv.DictReader(io.StringIO(text)))["label"] == "'=HYPERLINK(1)"


def test_a_playlist_names_each_file_with_its_span() -> None:
    odd = Video(**{**_fields(CAMERA), "path": FOLDER / "two\nlines.mp4"})
    hits = [*HITS, hit(4, odd, 1.0, 2.0)]
    (text,) = lists(
        listed(hits, {CAMERA.path: CAMERA, DOOR.path: DOOR, odd.path: odd}), "m3u", "x"
    ).values()
    lines = text.splitlines()
    assert lines[0] == "#EXTM3U"
    files = [line for line in lines if not line.startswith("#")]
    assert files == [str(one.video) for one in HITS] + [odd.path.as_uri()]
    starts = [float(line.partition("=")[2]) for line in lines if "start-time" in line]
    assert starts[0] == pytest.approx(float(1948 / NTSC), abs=1e-6)


def _fields(of: Video) -> dict[str, Any]:
    return {name: getattr(of, name) for name in Video.__slots__}


def test_chapters_are_read_by_ffmpeg(tmp_path: Path) -> None:
    texts = lists(all_listed(), "chapters", "cars")
    assert list(texts) == ["cam_1.mp4.chapters.txt", "door_2_old.mkv.chapters.txt"]
    text = texts["cam_1.mp4.chapters.txt"]
    assert "START=300\nEND=360\ntitle=2 a red\\; car \\= \\#1 (75%)" in text
    path = tmp_path / "chapters.txt"
    path.write_text(text, "utf-8")
    with av.open(str(path), format="ffmetadata") as container:
        if not hasattr(container, "chapters"):
            pytest.skip("this PyAV tells no chapters")
        found = [
            (one["start"] * base, one["end"] * base, one["metadata"])
            for one in container.chapters()
            if (base := Fraction(one["time_base"] or 0))
        ]
    assert found == [
        (300 / NTSC, 360 / NTSC, {"title": "2 a red; car = #1 (75%)"}),
        (1948 / NTSC, 2098 / NTSC, {"title": "1 a red; car = #1 (75%)"}),
    ]


def test_an_edl_is_read_by_opentimelineio() -> None:
    otio = pytest.importorskip("opentimelineio")
    pytest.importorskip("otio_cmx3600_adapter")
    texts = lists(all_listed(), "edl", "cars")
    assert list(texts) == ["cars_29.97.edl", "cars_25.edl"]
    for text, rate, spans in zip(
        texts.values(),
        (NTSC, Fraction(25)),
        ([(1948, 2098), (300, 360)], [(2475, 2500)]),
        strict=True,
    ):
        timeline = otio.adapters.read_from_string(text, "cmx_3600", rate=float(rate))
        clips = (
            list(timeline.find_clips()) if hasattr(timeline, "find_clips") else timeline.each_clip()
        )
        ranges = {
            (one.source_range.start_time.value, one.source_range.end_time_exclusive().value)
            for one in clips
        }
        assert ranges == set(spans)
    assert "FCM: DROP FRAME" in texts["cars_29.97.edl"]
    assert "00:01:05;00 00:01:10;00 01:00:00;00 01:00:05;00" in texts["cars_29.97.edl"]
    assert "V     C" in texts["cars_25.edl"]


def test_opentimelineio_reads_its_own_format() -> None:
    otio = pytest.importorskip("opentimelineio")
    (text,) = lists(all_listed(), "otio", "cars").values()
    timeline = otio.adapters.read_from_string(text, "otio_json")
    pictures, sounds = timeline.tracks
    assert [
        (
            one.media_reference.target_url,
            one.source_range.start_time.value,
            one.source_range.duration.value,
            one.source_range.start_time.rate,
        )
        for one in pictures
    ] == [
        (CAMERA.path.as_uri(), 1948, 150, float(NTSC)),
        (CAMERA.path.as_uri(), 300, 60, float(NTSC)),
        ((FOLDER / "door#2, =old.mkv").as_uri(), 2475, 25, 25.0),
    ]
    assert pictures[0].metadata["vsr-edge"]["match_probability"] == 0.75
    # The door's camera has no sound, and the others keep their places.
    assert [type(one).__name__ for one in sounds] == ["Clip", "Clip", "Gap"]


def test_fcpxml_holds_fractions_that_are_whole_frames() -> None:
    (text,) = lists(all_listed(), "fcpxml", "cars & <trucks>").values()
    root = ElementTree.fromstring(text)
    formats = {one.get("id"): one for one in root.iter("format")}
    assets = {one.get("id"): one for one in root.iter("asset")}
    assert len(assets) == 2
    assert root.find(".//project").get("name") == "cars & <trucks>"  # type: ignore[union-attr]
    place = Fraction(0)
    clips = list(root.iter("asset-clip"))
    for clip, (rate, first) in zip(
        clips, ((NTSC, 1948), (NTSC, 300), (Fraction(25), 2475)), strict=True
    ):
        frame = _seconds(formats[clip.get("format")].get("frameDuration"))
        assert (frame, _seconds(clip.get("start"))) == (1 / rate, first / rate)
        asset = assets[clip.get("ref")]
        assert _seconds(clip.get("start")) + frame <= _seconds(asset.get("duration"))
        assert _seconds(clip.get("offset")) == place
        place += _seconds(clip.get("duration"))
        assert (place * NTSC).denominator == 1
    assert root.find(".//sequence").get("duration") == clips[-1].get("offset") or place > 0  # type: ignore[union-attr]
    sources = [one.get("src") for one in root.iter("media-rep")]
    assert sources == [CAMERA.path.as_uri(), DOOR.path.as_uri()]


def _seconds(text: str | None) -> Fraction:
    assert text is not None
    assert text.endswith("s")
    return Fraction(text[:-1])


@pytest.mark.parametrize("kind", FORMATS)
def test_names_that_are_no_utf8_or_odd_harm_no_list(kind: str) -> None:
    if kind == "otio":
        pytest.importorskip("opentimelineio")
    odd = Video(**{**_fields(CAMERA), "path": FOLDER / "caf\udce9\x1b[31m & <b>\n.mp4"})
    hits = [Hit(1, odd.path, 1.0, 2.0, "line\none \x07 \ud800", None, None)]
    (text,) = lists(listed(hits, {odd.path: odd}), kind, "café\n*").values()
    assert text.encode("utf-8", "surrogateescape")
    assert "\x1b" not in text or kind == "csv"
    if kind == "fcpxml":
        ElementTree.fromstring(text)


def test_a_camera_s_timecode_is_where_its_frames_begin(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mov", constant_rate(50, 25))
    assert start_timecode(path) is None
    with av.open(str(tmp_path / "b.mov"), "w") as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.metadata["timecode"] = "10:23:45:10"
        for number in range(50):
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    assert start_timecode(tmp_path / "b.mov") == "10:23:45:10"
    (one,) = listed([Hit(1, tmp_path / "b.mov", 1.0, 1.5, "x")], {})
    assert (one.first, one.behind) == (25, 38)
    (text,) = lists([one], "edl", "x").values()
    assert "10:23:46:10 10:23:46:23 01:00:00:00" in text


def test_an_unknown_format_names_those_there_are() -> None:
    with pytest.raises(UsageError, match="edl, csv, m3u, otio, fcpxml, chapters"):
        lists(all_listed(), "avid", "x")
