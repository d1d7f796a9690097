"""Made-up footage in the space of a bundle's encoder, for archives of any size.

Its vectors have the mean and the covariance of the bundle's background, pictures of all kinds. A
video has scenes, in which they drift; every third is of one of fifty cameras that stand still: near
the camera lies all that it sees. So sentences score as they do with footage, and clips lie together
as closely.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vsr_edge.bundle.model import Bundle
from vsr_edge.store.base import Store
from vsr_edge.types import ClipWindow, FrameFeatures, HalfVectors, Sampling, Vectors, Video

# Clips of a second each in a video, those of a scene, and how many in a row look alike: such share
# the vectors and regions of a frame, which are what an archive has most of.
CLIPS, SCENE, ALIKE = 100, 20, 4
CAMERAS = 50
REGIONS = 9
# What of a clip's place among others is its camera's, its scene's; the rest drifts.
OF_CAMERA, OF_SCENE = 0.6, 0.85
# In this tag of the first of each hundred videos is one per cent of any archive.
ONE_PERCENT = "one-percent"


class Lifelike:
    """Footage by its number: the same number is the same footage."""

    def __init__(self, bundle: Bundle) -> None:
        usual = bundle.background.astype(np.float32)
        self._mean: Vectors = usual.mean(axis=0)
        self._spread = (usual - self._mean) / np.float32(np.sqrt(len(usual) - 1))
        random = np.random.default_rng(0)
        of_space = len(self._spread)
        self._cameras = random.standard_normal((CAMERAS, of_space), np.float32)
        shape = (CLIPS // ALIKE, REGIONS, len(self._mean))
        self._noise = random.standard_normal(shape, np.float32) * np.float32(0.03)

    def vectors(self, number: int) -> HalfVectors:
        """The clips of a video, float16 [CLIPS, D]."""
        random = np.random.default_rng([1, number])
        size = self._cameras.shape[1]
        scenes = random.standard_normal((CLIPS // SCENE, size), np.float32)
        if number % 3 == 0:
            camera = self._cameras[number // 3 % CAMERAS]
            scenes *= np.float32(np.sqrt(1 - OF_CAMERA))
            scenes += np.float32(np.sqrt(OF_CAMERA)) * camera
        drift = np.empty((CLIPS, size), np.float32)
        steps = random.standard_normal((CLIPS, size), np.float32)
        drift[0] = steps[0]
        for place in range(1, CLIPS):
            drift[place] = np.float32(0.95) * drift[place - 1] + np.float32(0.3122) * steps[place]
        latent = np.float32(np.sqrt(OF_SCENE)) * np.repeat(scenes, SCENE, axis=0)
        latent += np.float32(np.sqrt(1 - OF_SCENE)) * drift
        return _unit(self._mean + latent @ self._spread).astype(np.float16)

    def write(self, numbers: Iterable[int], store: Store) -> None:
        """Store videos with all that a search looks at."""
        with store.writer() as writer:
            for number in numbers:
                vectors = self.vectors(number)
                some = vectors[::ALIKE].astype(np.float32)
                regions = _unit(some[:, None] + self._noise).astype(np.float16)
                frames = FrameFeatures(
                    np.arange(CLIPS, dtype=np.float64),
                    np.repeat(vectors[::ALIKE], ALIKE, axis=0),
                    np.repeat(regions, ALIKE, axis=0),
                )
                windows = [ClipWindow(float(i), i + 1.0, i, i) for i in range(CLIPS)]
                video = Video(
                    Path(f"/footage/{number:05}.mp4"), str(number), 1, 1,
                    float(CLIPS), 640, 360, 0, "h264", "mp4", 25.0, 0,
                )  # fmt: skip
                tags = [ONE_PERCENT] if number % 100 == 0 else []
                with writer.begin(video, Sampling(), tags=tags) as entry:
                    entry.add_frames(frames)
                    entry.finish(windows, vectors)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)
