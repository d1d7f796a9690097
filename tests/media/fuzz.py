"""Mutate small files of many kinds and read them: ``python -m tests.media.fuzz FOLDER COUNT
[SEED]``.

Prints how many ended in which way, as JSON. Each must end in frames, or in a typed error with a
reason.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from tests.media_files import (
    constant_rate,
    write_sound_with_cover,
    write_turned,
    write_unseekable,
    write_video,
)
from vsr_edge.errors import MediaError
from vsr_edge.media.decode import FrameReader
from vsr_edge.media.plan import clip_windows, plan_video
from vsr_edge.types import Sampling

TIMES = constant_rate(40)
NAMES = (".mp4", ".mkv", ".avi", ".ts", ".txt", "")


def originals(folder: Path) -> list[Path]:
    quick = {"deadline": "realtime", "cpu-used": "8"}
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    return [
        write_video(folder / "a.mp4", TIMES, b_frames=2, audio_seconds=2.0),
        write_video(folder / "fragments.mp4", TIMES, container_options=fragments),
        write_video(folder / "a.mkv", TIMES, b_frames=2, audio_seconds=2.0),
        write_video(folder / "a.ts", TIMES, b_frames=2),
        write_video(folder / "mpeg2.ts", constant_rate(60, 25), codec="mpeg2video", rate=25),
        write_video(folder / "a.webm", TIMES, codec="libvpx", options=quick),
        write_video(folder / "vp9.webm", TIMES, codec="libvpx-vp9", options=quick),
        write_video(folder / "a.avi", TIMES, codec="mpeg4", rate=10, b_frames=2),
        write_video(folder / "jpeg.avi", TIMES, codec="mjpeg", pixel_format="yuvj420p", rate=10),
        write_video(folder / "a.gif", TIMES, codec="gif", pixel_format="rgb8", rate=10),
        write_video(folder / "a.h264", TIMES, container="h264", b_frames=2),
        write_turned(folder / "turned.mp4", TIMES, 90),
        write_unseekable(folder / "stream.mkv", TIMES, "matroska"),
        write_sound_with_cover(folder / "song.mp3"),
    ]


def mutate(content: bytes, random: np.random.Generator) -> bytes:
    """Bytes replaced anywhere or in the head, a part cut out, or the end cut off."""
    mutated = bytearray(content)
    kind = int(random.integers(5))
    if kind in (0, 1, 4):
        reach = min(len(mutated), 2000) if kind == 1 else len(mutated)
        for at in random.integers(0, reach, int(random.choice([1, 5, 30, 200]))):
            mutated[at] = int(random.integers(256))
    if kind in (2, 4):
        del mutated[int(len(mutated) * random.random()) :]
    if kind == 3:
        at = int(random.integers(len(mutated)))
        del mutated[at : at + int(random.integers(1, 3000))]
    return bytes(mutated)


def outcome(path: Path) -> str:
    try:
        plan = plan_video(path, Sampling())
        with FrameReader(plan, size=(64, 64), threads=2) as reader:
            times = np.concatenate([batch.times for batch in reader])
    except MediaError as error:
        if not error.reason:
            raise
        return type(error).__name__
    duration = plan.video.duration
    assert np.isfinite(times).all()
    assert (np.diff(times) > 0).all()
    assert 0 <= times[0] <= times[-1] <= duration + 1e-6
    windows = clip_windows(times, duration)
    assert windows[0].first == 0
    assert windows[-1].last == len(times) - 1
    return "partial" if reader.partial else "ok"


def main() -> None:
    folder, count, *seed = sys.argv[1:]
    random = np.random.default_rng(int(seed[0]) if seed else 7)
    contents = [(path.suffix, path.read_bytes()) for path in originals(Path(folder))]
    outcomes: Counter[str] = Counter()
    for number in range(int(count)):
        suffix, content = contents[number % len(contents)]
        suffix = suffix if random.random() < 0.8 else str(random.choice(NAMES))
        path = Path(folder) / f"mutated-{number}{suffix}"
        path.write_bytes(mutate(content, random))
        # The last line of a crash or a hang names the file.
        sys.stderr.write(f"{path}\n")
        sys.stderr.flush()
        outcomes[outcome(path)] += 1
        path.unlink()
    sys.stdout.write(json.dumps(outcomes) + "\n")


if __name__ == "__main__":
    main()
