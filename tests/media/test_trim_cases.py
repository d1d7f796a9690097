"""What a cut does with damage, joints, colours, several sounds, and a system that refuses."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from tests.media.test_trim import heard, seen
from tests.media_files import constant_rate, flipped, joined, truncated, write_video
from vsr_edge.errors import MediaError, UsageError
from vsr_edge.media import encode
from vsr_edge.media.trim import trim

copies = pytest.mark.skipif(int(av.__version__.split(".")[0]) < 15, reason="PyAV copies from 15 on")
CLICKS = (0.3, 1.5, 2.5, 4.5)


def clicking(path: Path, seconds: float = 6.0, **how: object) -> Path:
    return write_video(
        path,
        constant_rate(int(seconds * 10)),
        audio_seconds=seconds,
        audio_rate=48_000,
        clicks=CLICKS,
        **how,  # type: ignore[arg-type]
    )


def test_nothing_is_overwritten_unless_that_is_said(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", constant_rate(20))
    target = tmp_path / "b.mp4"
    target.write_text("mine")
    with pytest.raises(UsageError, match=r"exists already.*--force"):
        trim(path, 0.0, 1.0, target)
    assert target.read_text() == "mine"
    trim(path, 0.0, 1.0, target, force=True)
    assert seen(target).numbers == list(range(10))
    with pytest.raises(UsageError, match="the video itself"):
        trim(path, 0.0, 1.0, path, force=True)
    assert seen(path).numbers == list(range(20))


def test_a_span_behind_the_end_is_an_error_that_says_the_end(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", constant_rate(20))
    with pytest.raises(MediaError, match=r"ends at 1\.940"):
        trim(path, 2.5, 4.0, tmp_path / "b.mp4")
    with pytest.raises(UsageError, match="cannot be"):
        trim(path, 1.0, 1.0, tmp_path / "b.mp4")
    with pytest.raises(MediaError, match="no such file"):
        trim(tmp_path / "gone.mp4", 0.0, 1.0, tmp_path / "b.mp4")
    assert [one.name for one in tmp_path.iterdir()] == ["a.mp4"]


def test_a_span_shorter_than_a_frame_is_one_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", constant_rate(20))
    done = trim(path, 1.02, 1.03, tmp_path / "b.mp4")
    assert seen(done.path).numbers == [10]
    assert (done.start, done.end) == pytest.approx((1.0, 1.1))


def test_a_frame_that_is_shown_for_long_is_cut_where_it_was_asked_for(tmp_path: Path) -> None:
    slides = write_video(
        tmp_path / "b.mkv",
        [0.0, 3.0, 6.0],
        audio_seconds=6.0,
        audio_rate=48_000,
        clicks=CLICKS,
        audio_codec="flac",
    )
    done = trim(slides, 1.0, 4.0, tmp_path / "c.mp4")
    cut = seen(done.path)
    assert (done.start, done.end) == (1.0, 4.0)
    assert cut.numbers == [0, 1]
    assert cut.times == pytest.approx([0.0, 2.0], abs=0.001)
    assert cut.clicks == pytest.approx([0.5, 1.5], abs=0.02)


def test_what_is_damaged_in_the_middle_is_left_out_and_said(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.ts", constant_rate(60), container="mpegts")
    flipped(path, 0.4, 0.6, 300)
    done = trim(path, 0.5, 5.5, tmp_path / "b.mp4")
    cut = seen(done.path)
    assert cut.numbers[0] == 5
    assert cut.numbers[-1] == 54
    assert len(cut.numbers) < 50
    assert done.frames == len(cut.numbers)
    # What is left keeps its place in time.
    assert cut.times[-1] == pytest.approx(4.9, abs=0.006)


def test_of_a_file_that_was_cut_short_the_part_that_is_there_is_cut(tmp_path: Path) -> None:
    path = truncated(clicking(tmp_path / "a.mkv"), 0.7)
    done = trim(path, 1.0, 99.0, tmp_path / "b.mp4")
    cut = seen(done.path)
    assert cut.numbers[0] == 10
    assert 25 < cut.numbers[-1] < 59
    assert cut.clicks[0] == pytest.approx(0.5, abs=0.02)


def test_across_joined_recordings_pictures_and_sound_go_on_together(tmp_path: Path) -> None:
    parts = [clicking(tmp_path / f"{n}.ts", 3.0, start=50.0 - n * 50) for n in (0, 1)]
    path = joined(tmp_path / "a.ts", parts)
    done = trim(path, 1.0, 5.0, tmp_path / "b.mp4")
    cut = seen(done.path)
    assert cut.numbers == [*range(10, 30), *range(20)]
    assert cut.times == pytest.approx(constant_rate(40), abs=0.01)
    clicks = [at for at in cut.clicks if at > 0.02]
    assert clicks == pytest.approx([0.5, 1.5, 2.3, 3.5], abs=0.02)


@copies
def test_a_joint_is_not_copied_across(tmp_path: Path) -> None:
    parts = [clicking(tmp_path / f"{n}.ts", 3.0) for n in (0, 1)]
    path = joined(tmp_path / "a.ts", parts)
    with pytest.raises(MediaError, match=r"joint.*without --copy"):
        trim(path, 1.0, 5.0, tmp_path / "b.ts", copy=True)
    done = trim(path, 4.05, 4.55, tmp_path / "b.ts", copy=True)
    assert seen(done.path).numbers == [*range(10, 16)]
    assert (done.start, done.end) == pytest.approx((4.0, 4.6), abs=0.01)
    assert not (tmp_path / ".vsr-edge").exists()


@copies
def test_where_keyframes_are_not_known_nothing_is_copied(tmp_path: Path) -> None:
    path = clicking(tmp_path / "a.avi", codec="mpeg4", rate=10, b_frames=2, audio_codec="mp2")
    with pytest.raises(MediaError, match="without --copy"):
        trim(path, 1.0, 5.0, tmp_path / "b.mkv", copy=True)
    assert not list(tmp_path.glob("*b.mkv*"))


@copies
def test_what_a_container_cannot_hold_is_an_error_that_names_one_that_can(tmp_path: Path) -> None:
    path = clicking(tmp_path / "a.mp4")
    with pytest.raises(MediaError, match=r"do not fit.*\.mkv"):
        trim(path, 1.0, 2.0, tmp_path / "b.webm", copy=True)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.mp4"]


def test_far_into_a_file_sound_is_found_by_seeking_and_fits(tmp_path: Path) -> None:
    for suffix, codec in ((".mp4", "aac"), (".mkv", "libmp3lame"), (".ts", "mp2")):
        path = write_video(
            tmp_path / f"a{suffix}",
            constant_rate(300),
            audio_seconds=30.0,
            audio_rate=48_000,
            audio_codec=codec,
            clicks=[20.5, 22.25, 24.0],
            width=64,
            height=48,
        )
        done = trim(path, 20.0, 25.0, tmp_path / f"b{suffix}.mp4")
        assert heard(done.path) == pytest.approx([0.5, 2.25, 4.0], abs=0.02), suffix


def _with_sounds(path: Path, sounds: dict[str, tuple[str, str, int, float]]) -> Path:
    """Language → codec, layout, rate, and when it clicks."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=10)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        tracks = []
        for language, (codec, layout, rate, at) in sounds.items():
            track = output.add_stream(codec, rate=rate)
            assert isinstance(track, AudioStream)
            track.codec_context.layout = layout
            track.metadata["language"] = language
            tracks.append((track, layout, rate, at))
        for number in range(30):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 99, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        for track, layout, rate, at in tracks:
            samples = np.zeros((len(av.AudioLayout(layout).channels), 3 * rate), np.float32)
            samples[:, int(at * rate) : int((at + 0.01) * rate)] = 0.9
            sound = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
            sound.sample_rate, sound.pts, sound.time_base = rate, 0, Fraction(1, rate)
            output.mux(track.encode(sound))
            output.mux(track.encode(None))
    return path


def test_every_sound_is_kept_with_its_language_layout_and_time(tmp_path: Path) -> None:
    path = _with_sounds(
        tmp_path / "a.mkv",
        {
            "eng": ("flac", "stereo", 44_100, 1.5),
            "fin": ("ac3", "5.1", 48_000, 1.7),
            "ger": ("flac", "mono", 37_000, 1.9),  # AAC knows no such rate
        },
    )
    done = trim(path, 1.0, 2.5, tmp_path / "b.mp4")
    assert done.audio_streams == 3
    with av.open(str(done.path)) as container:
        found = [
            (one.metadata["language"], one.layout.nb_channels, one.rate)
            for one in container.streams.audio
        ]
    assert found == [("eng", 2, 44_100), ("fin", 6, 48_000), ("ger", 1, 48_000)]
    for number, at in enumerate((0.5, 0.7, 0.9)):
        with av.open(str(done.path)) as container:
            loud = [
                float((frame.pts or 0) * (frame.time_base or 0))
                + np.flatnonzero(samples > 0.3)[0] / frame.rate
                for frame in container.decode(audio=number)
                if (samples := np.abs(frame.to_ndarray()).max(axis=0)).max() > 0.3
            ]
        assert loud[0] == pytest.approx(at, abs=0.02)


@pytest.mark.parametrize(
    ("pixels", "options", "tags"),
    [
        ("yuv420p", {}, (2, 0)),
        (
            "yuv422p10le",
            {"colorprim": "bt709", "transfer": "bt709", "colormatrix": "bt709"},
            (1, 1),
        ),
        ("yuvj420p", {"colormatrix": "bt470bg", "range": "pc"}, (5, 2)),
        (
            "yuv420p10le",
            {"colormatrix": "bt2020nc", "transfer": "smpte2084", "range": "tv"},
            (9, 1),
        ),
    ],
)
def test_colours_stay_what_they_are(
    pixels: str, options: dict[str, str], tags: tuple[int, int], tmp_path: Path
) -> None:
    path = write_video(
        tmp_path / "a.mkv",
        constant_rate(20),
        pixel_format=pixels,
        options={"x264-params": ":".join(f"{key}={value}" for key, value in options.items())},
    )
    done = trim(path, 0.5, 1.5, tmp_path / "b.mp4")
    luma = []
    for file, number in ((path, 5), (done.path, 0)):
        with av.open(str(file)) as container:
            frames = list(container.decode(video=0))
            codec = container.streams.video[0].codec_context
            said = (int(codec.colorspace), int(codec.color_range))
            depth = 4 if "10le" in frames[0].format.name else 1
            kind = np.uint16 if depth == 4 else np.uint8
            plane = np.frombuffer(bytes(frames[number].planes[0]), kind)
            luma.append(plane.reshape(96, -1)[:, :160].astype(float) / depth)
    assert said[0] == tags[0]
    assert tags[1] == 0 or said[1] == tags[1]
    assert np.abs(luma[0] - luma[1]).mean() < 3


def test_without_libx264_mpeg4_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "_ENCODERS", {"mpeg4": encode._ENCODERS["mpeg4"]})
    path = clicking(tmp_path / "a.ts", b_frames=2)
    done = trim(path, 1.0, 3.0, tmp_path / "b.mp4")
    cut = seen(done.path)
    assert (cut.codec, cut.numbers) == ("mpeg4", list(range(10, 30)))
    assert cut.times == pytest.approx(constant_rate(20), abs=0.001)
    assert "there is no libx264" in done.notes[0]


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    path = clicking(tmp_path / "a.mp4")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            trim(path, 0.0, 5.0, tmp_path / "b.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [one.name for one in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_half(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mp4", constant_rate(400), width=640, height=480, keyframe_interval=50
    )
    target = tmp_path / "out"
    target.mkdir()
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from pathlib import Path; from vsr_edge.media.trim import trim;"
        f"trim(Path({str(path)!r}), 0, 40, Path({str(target / 'b.mp4')!r}))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not list(target.iterdir()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        process.wait(60)
    assert process.returncode != 0
    assert list(target.iterdir()) == []
