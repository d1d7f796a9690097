"""What the system refuses, what is encrypted, what names other files: said so, and no damage."""

from __future__ import annotations

import errno
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.media.reading import fingerprint, read_back
from tests.media_files import constant_rate, write_video
from vsr_edge.errors import MediaUnavailable, UnreadableMedia
from vsr_edge.media import source
from vsr_edge.media.decode import FrameReader
from vsr_edge.media.plan import plan_video
from vsr_edge.types import Sampling

TENTHS = constant_rate(100)


class Flaky:
    """A file whose reads fail beyond a place, as where a share goes away."""

    def __init__(self, file: Any, limit: int, error: int) -> None:
        self._file, self._limit, self._error = file, limit, error

    def read(self, size: int = -1) -> bytes:
        left = self._limit - self._file.tell()
        if left <= 0:
            raise OSError(self._error, os.strerror(self._error))
        found: bytes = self._file.read(min(size, left))
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.fixture
def share(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Set ``error`` to have reads beyond the middle of any file fail."""
    state: dict[str, int] = {}
    opened = source._opened

    def flaky(path: Path) -> Any:
        file = opened(path)
        if "error" not in state:
            return file
        return Flaky(file, path.stat().st_size // 2, state["error"])

    monkeypatch.setattr(source, "_opened", flaky)
    return state


@pytest.mark.parametrize("error", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENXIO])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi", "a.flv"])
def test_a_share_that_goes_away_is_no_damage(
    name: str, error: int, share: dict[str, int], tmp_path: Path
) -> None:
    path = write_video(tmp_path / name, TENTHS, width=640, height=384)
    share["error"] = error
    for look in (fingerprint, lambda one: plan_video(one, Sampling())):
        with pytest.raises(MediaUnavailable, match=os.strerror(error)):
            look(path)
    share.clear()
    plan = plan_video(path, Sampling())
    share["error"] = error
    with pytest.raises(MediaUnavailable), FrameReader(plan, threads=1) as reader:
        list(reader)
    share.clear()
    assert read_back(path).partial is None


def test_want_of_memory_is_said_and_is_no_damage(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", constant_rate(10), width=1920, height=1080)
    code = (
        "import resource, sys, pathlib\n"
        "from vsr_edge.errors import MediaError\n"
        "from vsr_edge.media.decode import FrameReader\n"
        "from vsr_edge.media.plan import plan_video\n"
        "from vsr_edge.types import Sampling\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "plan = plan_video(path, Sampling(fps=10))\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * 4096\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 20),) * 2)\n"
        "try:\n"
        "    list(FrameReader(plan, size=(64, 64), threads=1))\n"
        "except MediaError as error:\n"
        "    print(type(error).__name__, error.reason)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "MediaUnavailable there is not enough memory to read it\n", done.stderr


def common_encryption(path: Path) -> Path:
    """An MP4 of ISO/IEC 23001-7, as far as its header goes, with garbage for pictures."""
    write_video(path, TENTHS)
    content = bytearray(path.read_bytes())
    at = content.index(b"avc1", content.index(b"stsd"))
    (size,) = (int.from_bytes(content[at - 4 : at], "big"),)
    scheme = b"sinf" + (12).to_bytes(4, "big") + b"frmaavc1"
    box = (len(scheme) + 4).to_bytes(4, "big") + scheme
    content[at : at + 4] = b"encv"
    end = at - 4 + size
    content[end:end] = box
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
        place = content.index(kind) - 4
        grown = int.from_bytes(content[place : place + 4], "big") + len(box)
        content[place : place + 4] = grown.to_bytes(4, "big")
    content[at - 4 : at] = (size + len(box)).to_bytes(4, "big")
    start = content.index(b"mdat") + 4
    length = int.from_bytes(content[start - 8 : start - 4], "big") - 8
    content[start : start + length] = secrets.token_bytes(length)
    path.write_bytes(content)
    return path


def scrambled_transport_stream(path: Path) -> Path:
    """As from a receiver without its card: the packets of the programme say "scrambled"."""
    content = bytearray(write_video(path, TENTHS).read_bytes())
    for at in range(0, len(content), 188):
        if (content[at + 1] & 0x1F) << 8 | content[at + 2] == 0x100:
            start = at + 4 + (1 + content[at + 4] if content[at + 3] & 0x20 else 0)
            content[at + 3] |= 0x80
            content[start : at + 188] = secrets.token_bytes(at + 188 - start)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "make", [common_encryption, scrambled_transport_stream], ids=lambda make: make.__name__
)
def test_encrypted_files_are_named_so(make: Any, tmp_path: Path) -> None:
    path = make(tmp_path / ("a.ts" if make is scrambled_transport_stream else "a.mp4"))
    with pytest.raises(UnreadableMedia, match="encrypted"):
        plan_video(path, Sampling())


LISTS = {
    "hls.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na.ts\n#EXT-X-ENDLIST\n",
    "hls.mp4": "\ufeff#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na.ts\n#EXT-X-ENDLIST\n",
    "concat.mp4": "ffconcat version 1.0\nfile a.ts\n",
    "concat.txt": "ffconcat version 1.0\nfile 'a.ts'\n",
    "dash.mpd": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>\n',
    "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\n",
}


@pytest.mark.parametrize("name", LISTS)
def test_files_that_name_others_are_refused(name: str, tmp_path: Path) -> None:
    write_video(tmp_path / "a.ts", TENTHS)
    path = tmp_path / name
    path.write_text(LISTS[name], "utf-8")
    with pytest.raises(UnreadableMedia, match="a playlist, which only names other files"):
        plan_video(path, Sampling())


@pytest.mark.parametrize("filler", [0x00, 0xFF])
@pytest.mark.parametrize("name", ["a.ts", "a.mpg", "a.mp4", "a.mkv", "a.flv", "a.avi", "a.h264"])
def test_room_that_a_recorder_never_used_makes_no_video_partial(
    name: str, filler: int, tmp_path: Path
) -> None:
    rates: dict[str, Any] = {".mpg": {"codec": "mpeg2video", "rate": 10}, ".h264": {"rate": 10}}
    how = rates.get(Path(name).suffix, {})
    path = write_video(tmp_path / name, TENTHS, **how)
    whole = read_back(path)
    path.write_bytes(path.read_bytes() + bytes([filler]) * (9 << 20))
    padded = read_back(path)
    assert padded.partial is None
    assert padded.numbers == whole.numbers
    assert padded.plan.video.duration == pytest.approx(whole.plan.video.duration, abs=0.001)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.ts", "a.flv"])
def test_pictures_that_begin_after_the_sound_make_no_video_partial(
    name: str, tmp_path: Path
) -> None:
    path = write_video(tmp_path / name, TENTHS, start=6.0, audio_seconds=20.0)
    found = read_back(path)
    assert found.partial is None
    assert found.times == pytest.approx([TENTHS[n] for n in found.numbers], abs=0.002)
