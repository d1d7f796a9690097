"""What a probe says of a file, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.media.reading import fingerprint
from tests.media_files import (
    constant_rate,
    flipped,
    write_sound,
    write_sound_with_cover,
    write_unseekable,
    write_video,
)
from vsr_edge.errors import MediaError, NoVideoStream, UnreadableMedia
from vsr_edge.media.plan import plan_video
from vsr_edge.media.probe import probe
from vsr_edge.types import Sampling

TIMES = constant_rate(30)
# From the first frame to the end of the last, which is shown for a 25th of a second.
LENGTH = 2.94


def test_a_probe_describes_the_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.mp4", TIMES, audio_seconds=1.0)
    monkeypatch.chdir(tmp_path)
    video, _ = probe(Path("a.mp4"))
    assert video.path == path
    assert (video.width, video.height, video.rotation) == (160, 96, 0)
    assert video.codec == "h264"
    assert "mp4" in video.container
    assert video.audio_streams == 1
    assert video.duration == pytest.approx(LENGTH, abs=0.002)
    assert video.size_bytes == path.stat().st_size
    assert video.modified_ns == path.stat().st_mtime_ns
    assert video.frame_rate == pytest.approx(30 / LENGTH, abs=0.01)


def test_a_missing_duration_is_measured(tmp_path: Path) -> None:
    path = write_unseekable(tmp_path / "a.mkv", TIMES, "matroska")
    assert probe(path)[0].duration == pytest.approx(LENGTH, abs=0.002)


def test_the_fingerprint_survives_a_rename_and_tells_a_change(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", TIMES)
    before = fingerprint(path)
    path = path.rename(tmp_path / "b.mp4")
    assert fingerprint(path) == before
    assert fingerprint(flipped(path, 0.5, 0.6, 1)) != before


def test_a_plan_keeps_a_fingerprint_that_is_known(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", TIMES)
    plan = plan_video(path, Sampling(), known_fingerprint="known")
    assert plan.video.fingerprint == "known"
    assert plan.video.path == path


@pytest.mark.parametrize("name", ["sound.wav", "sound.m4a", "sound.mp3"])
def test_sound_alone_is_no_video(name: str, tmp_path: Path) -> None:
    codec = {".wav": "pcm_s16le", ".m4a": "aac", ".mp3": "libmp3lame"}[Path(name).suffix]
    with pytest.raises(NoVideoStream, match="no video"):
        probe(write_sound(tmp_path / name, codec))


def test_cover_art_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(NoVideoStream):
        probe(write_sound_with_cover(tmp_path / "song.mp3"))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"Not a video, but a letter.\n" * 200, "not a media file"),
        ("letter.txt", b"Dear reader,\n" * 200, "text"),
        ("zeros.mkv", bytes(4096), "not a media file"),
    ],
)
def test_what_is_no_media_file_is_refused_with_a_reason(
    name: str, content: bytes, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnreadableMedia, match=reason) as caught:
        probe(path)
    assert caught.value.path == path


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableMedia, match="no such file") as caught:
        plan_video(tmp_path / "none.mp4", Sampling())
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    with pytest.raises(MediaError, match="a folder"):
        probe(tmp_path)


def test_a_playlist_reaches_no_network(tmp_path: Path) -> None:
    path = tmp_path / "list.m3u8"
    path.write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(MediaError, match="playlist"):
        plan_video(path, Sampling())
