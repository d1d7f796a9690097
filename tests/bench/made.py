"""Archives of made-up footage, with all that a search looks at: vectors, clips, regions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vsr_edge import open_archive
from vsr_edge.media.plan import clip_windows
from vsr_edge.store import open_store
from vsr_edge.types import FrameFeatures, Sampling, Video

# A video of so many frames has 199 clips.
FRAMES = 401


def drifting(folder: Path, videos: int, *, with_regions: int = 1) -> int:
    """An archive of so many videos whose vectors drift as those of real footage do; its clips.

    One in ``with_regions`` of the videos has regions.
    """
    random = np.random.default_rng(0)
    with open_archive(folder) as archive:
        bundle_id, dim = archive.bundle.encoders_id, archive.bundle.dim
    with (
        open_store(folder, bundle_id=bundle_id, dim=dim, create=True) as store,
        store.writer() as writer,
    ):
        for number in range(videos):
            times = np.arange(FRAMES, dtype=np.float64)
            walk = np.cumsum(random.normal(0, 0.1, (FRAMES, dim)), 0) + random.normal(0, 1, dim)
            vectors = (walk / np.linalg.norm(walk, axis=1, keepdims=True)).astype(np.float16)
            video = Video(
                Path(f"/footage/{number}.mp4"), str(number), 1, 1, float(FRAMES), 640, 360, 0,
                "h264", "mp4", 25.0, 0,
            )  # fmt: skip
            windows = clip_windows(times, float(FRAMES))
            cells = None
            if number % with_regions == 0:
                noisy = np.repeat(vectors[:, None].astype(np.float32), 9, 1)
                noisy += random.normal(0, 0.05, noisy.shape)
                noisy /= np.linalg.norm(noisy, axis=-1, keepdims=True)
                cells = noisy.astype(np.float16)
            with writer.begin(video, Sampling()) as target:
                target.add_frames(FrameFeatures(times, vectors, cells))
                target.finish(windows, vectors[[w.first for w in windows]])
    with open_store(folder) as store:
        return store.stats().clips
