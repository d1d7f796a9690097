"""A cut holds the frames and the sound of its span, whatever the file is made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest

from tests.media_files import (
    constant_rate,
    is_upright,
    number_of,
    write_turned,
    write_video,
)
from vsr_edge.media.picture import Converter
from vsr_edge.media.trim import Trimmed, trim

SECONDS = 6.0
TIMES = constant_rate(60)
# Frames come and go at any pace, and one is shown for two seconds.
UNEVEN = [0.0, *np.cumsum([0.04, 0.1, 0.02, 0.15, 0.07] * 10).tolist(), 5.8]
GRID = constant_rate(75, 12.5)
CLICKS = (0.3, 1.5, 2.0, 2.7, 4.5, 5.5)
SPANS = ((0.0, 0.7), (1.23, 3.31), (4.4, 99.0))
SOUND: dict[str, Any] = {"audio_seconds": SECONDS, "clicks": CLICKS, "audio_rate": 48_000}


class Kind(NamedTuple):
    suffix: str
    write: Callable[[Path], Path]
    times: list[float] = TIMES
    upright: bool = True


def _of(*, times: list[float] = TIMES, **how: Any) -> Callable[[Path], Path]:
    return lambda path: write_video(path, times, **how)


KINDS = {
    "mp4": Kind(".mp4", _of(**SOUND)),
    "b-frames": Kind(".mp4", _of(b_frames=3, keyframe_interval=25, **SOUND)),
    "vfr": Kind(".mkv", _of(times=UNEVEN, audio_codec="flac", **SOUND), UNEVEN),
    "rotated": Kind(".mp4", lambda path: write_turned(path, TIMES, 90)),
    "mirrored": Kind(".mp4", lambda path: write_turned(path, TIMES, 180, mirrored=True)),
    "offset": Kind(".ts", _of(start=7.5, b_frames=2, **SOUND)),
    "odd": Kind(
        ".mkv",
        _of(width=161, height=97, pixel_format="yuv444p", audio_codec="ac3", **SOUND),
    ),
    "mkv": Kind(".mkv", _of(codec="mpeg4", rate=10, audio_codec="eac3", **SOUND)),
    "webm": Kind(
        ".webm",
        _of(codec="libvpx", options={"deadline": "realtime"}, audio_codec="libopus", **SOUND),
    ),
    "ts": Kind(
        ".ts",
        _of(times=GRID, codec="mpeg2video", b_frames=2, rate=25, audio_codec="mp2", **SOUND),
        GRID,
    ),
    "gif": Kind(".gif", _of(codec="gif", pixel_format="rgb8", rate=10)),
    "avi": Kind(".avi", _of(codec="mpeg4", rate=10, b_frames=2, audio_codec="mp2", **SOUND)),
    "mov": Kind(
        ".mov", _of(codec="mjpeg", pixel_format="yuvj420p", audio_codec="pcm_s16le", **SOUND)
    ),
    "10 bit": Kind(".mkv", _of(pixel_format="yuv420p10le", audio_codec="libmp3lame", **SOUND)),
}

# Where the encoder was told to begin anew.
KEYFRAMES = {"mp4": range(0, 60, 10), "b-frames": range(0, 60, 25), "offset": range(0, 60, 10)}


class Seen(NamedTuple):
    """What a player shows and plays: numbers in the frames, their times, and when it clicks."""

    numbers: list[int]
    times: list[float]
    clicks: list[float]
    upright: bool
    size: tuple[int, int]
    codec: str
    pixels: str


def seen(path: Path) -> Seen:
    """Decode all of a file, with no code of the package but for what turns pictures upright."""
    numbers, times, upright = [], [], True
    size, pixels = (0, 0), ""
    convert = Converter(None)
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context.name
        for frame in container.decode(video=0):
            picture = convert(frame)
            numbers.append(number_of(picture))
            times.append(float((frame.pts or 0) * (frame.time_base or 0)))
            upright = upright and is_upright(picture)
            size, pixels = (picture.shape[1], picture.shape[0]), frame.format.name
    return Seen(numbers, times, heard(path), upright, size, codec, pixels)


def heard(path: Path) -> list[float]:
    """When clicks begin, by the time stamps of the decoded sound."""
    found: list[float] = []
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return found
        for frame in container.decode(audio=0):
            samples = np.abs(frame.to_ndarray().astype(np.float64)).reshape(-1)
            if not frame.format.is_planar:
                samples = samples.reshape(-1, len(frame.layout.channels)).max(axis=1)
            loud = np.flatnonzero(samples > 0.2 * (1 if "flt" in frame.format.name else 2**15))
            for at in loud / frame.sample_rate + float((frame.pts or 0) * (frame.time_base or 0)):
                if not found or at - found[-1] > 0.1:
                    found.append(float(at))
    return found


def shown(times: list[float], start: float, end: float) -> list[int]:
    """Which frames are on screen from ``start`` to ``end``."""
    ends = [*times[1:], np.inf]
    return [n for n, time in enumerate(times) if time < end - 0.002 and ends[n] > start + 0.002]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("kinds")
    return {name: kind.write(folder / f"{name}{kind.suffix}") for name, kind in KINDS.items()}


@pytest.mark.parametrize("span", SPANS, ids=str)
@pytest.mark.parametrize("name", KINDS)
def test_a_cut_holds_the_frames_and_the_sound_of_its_span(
    name: str, span: tuple[float, float], files: dict[str, Path], tmp_path: Path
) -> None:
    kind = KINDS[name]
    times = kind.times
    done = trim(files[name], *span, tmp_path / "cut.mp4")
    cut = seen(done.path)
    assert cut.numbers == shown(times, *span)
    assert done.frames == len(cut.numbers)
    assert (cut.upright, cut.codec) == (True, "h264")
    assert cut.pixels in ("yuv420p", "yuvj420p")
    # Bounds are within a frame of what was asked for, and frames keep their distances.
    assert cut.times[0] == pytest.approx(0.0, abs=0.001)
    expected = [max(times[number] - done.start, 0.0) for number in cut.numbers]
    assert cut.times == pytest.approx(expected, abs=0.006)
    assert span[0] - 0.5 <= done.start <= span[0] + 0.001
    assert_in_sync(files[name], cut, done)


def assert_in_sync(source: Path, cut: Seen, done: Trimmed) -> None:
    """Clicks are heard as in the source, at most 20 ms off."""
    if not done.audio_streams:
        assert cut.clicks == []
        return
    expected = [at - done.start for at in CLICKS if done.start + 0.02 < at < done.end - 0.02]
    assert expected
    inside = [at for at in cut.clicks if 0.02 < at < done.end - done.start - 0.02]
    assert inside == pytest.approx(expected, abs=0.02), (source, cut.clicks)


@pytest.mark.skipif(int(av.__version__.split(".")[0]) < 15, reason="PyAV copies from 15 on")
@pytest.mark.parametrize("span", SPANS, ids=str)
@pytest.mark.parametrize("name", [name for name in KINDS if name != "avi"])
def test_a_copy_has_the_bounds_that_it_says(
    name: str, span: tuple[float, float], files: dict[str, Path], tmp_path: Path
) -> None:
    kind = KINDS[name]
    done = trim(files[name], *span, tmp_path / f"cut{kind.suffix}", copy=True)
    cut = seen(done.path)
    first, *_, last = shown(kind.times, *span)
    assert cut.numbers == list(range(cut.numbers[0], cut.numbers[-1] + 1))
    assert (cut.numbers[0] <= first, cut.numbers[-1] >= last) == (True, True)
    assert done.start == pytest.approx(kind.times[cut.numbers[0]], abs=0.006)
    if cut.numbers[-1] + 1 < len(kind.times):
        # Not every container says how long its last frame lasts.
        assert kind.times[cut.numbers[-1]] < done.end < kind.times[cut.numbers[-1] + 1] + 0.006
    else:
        assert kind.times[-1] < done.end < kind.times[-1] + 0.3
    if name in KEYFRAMES:
        assert cut.numbers[0] == max(n for n in KEYFRAMES[name] if n <= first)
    assert (done.frames, cut.upright) == (len(cut.numbers), True)
    begins = cut.times[0]
    assert_in_sync(files[name], cut._replace(clicks=[at - begins for at in cut.clicks]), done)
