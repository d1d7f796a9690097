"""The features that composed footage would have, without filming it: what training reads.

Each photo is encoded once in several random views. A scene then goes from one of its photo's views
to another, as the filmed one pans and zooms; transitions mix features as they would mix pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.data.composition import WHOLE, Composition, Scene, random_crop
from vsr_edge.bundle.model import Bundle

Half: TypeAlias = NDArray[np.float16]
BATCH = 32


@dataclass(frozen=True, slots=True, eq=False)
class PhotoViews:
    """Encoded views of n photos: unit vectors float16 [n, V, D] and regions [n, V, R, D].

    Of the V views the first half is plain and the second mirrored. The last photo is black.
    """

    vectors: Half
    regions: Half

    def __len__(self) -> int:
        return len(self.vectors) - 1


def encode_views(
    photos: NDArray[np.uint8], bundle: Bundle, random: np.random.Generator, *, views: int
) -> PhotoViews:
    """Encode ``views`` random crops of each photo uint8 [n, H, W, 3], half of them mirrored; the
    first is the whole photo.
    """
    if views < 2 or views % 2:
        raise ValueError(f"views are in pairs, plain and mirrored: not {views}")
    black = np.zeros_like(photos[:1])
    pictures = _views(np.concatenate([photos, black]), random, views, bundle.image_side)
    return encoded(pictures, bundle, views)


def encoded(pictures: Iterator[NDArray[np.uint8]], bundle: Bundle, views: int) -> PhotoViews:
    """Encode what the views of photos, one photo after the other, look like: uint8 [S, S, 3]."""
    vectors, regions = [], []
    while batch := list(islice(pictures, BATCH)):
        some, cells = bundle.encode_frames(np.stack(batch))
        assert cells is not None
        vectors.append(some.astype(np.float16))
        regions.append(cells.astype(np.float16))
    return PhotoViews(
        *(
            flat.reshape(-1, views, *flat.shape[1:])
            for flat in map(np.concatenate, (vectors, regions))
        )
    )


def _views(
    photos: NDArray[np.uint8], random: np.random.Generator, views: int, side: int
) -> Iterator[NDArray[np.uint8]]:
    for photo in photos:
        image = Image.fromarray(photo)
        width, height = image.size
        for view in range(views):
            left, top, right, bottom = WHOLE if view == 0 else random_crop(random)
            box = (left * width, top * height, right * width, bottom * height)
            pixels = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, box=box))
            yield pixels if view < views // 2 else pixels[:, ::-1]


@dataclass(frozen=True, slots=True, eq=False)
class ComposedFrames:
    """Frames of a composition at ``times`` float64 [n]: vectors float32 [n, D], regions float32
    [n, R, D], all of unit length, and the number of the scene that is due, int [n].
    """

    times: NDArray[np.float64]
    vectors: NDArray[np.float32]
    regions: NDArray[np.float32]
    scenes: NDArray[np.intp]


def compose_frames(
    composition: Composition, views: PhotoViews, random: np.random.Generator, *, fps: float = 1.0
) -> ComposedFrames:
    """The features of a composition sampled at ``fps``, from time 0 on."""
    times = np.arange(0.0, composition.duration, 1.0 / fps)
    number = {id(scene): place for place, scene in enumerate(composition.scenes)}
    ends = [_two_views(scene, views, random) for scene in composition.scenes]
    black = len(views)
    vectors = np.zeros((len(times), views.vectors.shape[-1]), np.float32)
    regions = np.zeros((len(times), *views.regions.shape[2:]), np.float32)
    for row, time in enumerate(times):
        left = 1.0
        for scene, weight in composition.shown(float(time)):
            left -= weight
            share = scene.progress(float(time))
            for view, part in zip(ends[number[id(scene)]], (1 - share, share), strict=True):
                vectors[row] += weight * part * views.vectors[scene.photo, view]
                regions[row] += weight * part * views.regions[scene.photo, view]
        vectors[row] += left * views.vectors[black, 0]
        regions[row] += left * views.regions[black, 0]
    starts = [scene.start for scene in composition.scenes]
    return ComposedFrames(
        times,
        _unit(vectors),
        _unit(regions),
        np.searchsorted(starts, times, "right") - 1,
    )


def _two_views(scene: Scene, views: PhotoViews, random: np.random.Generator) -> tuple[int, int]:
    half = views.vectors.shape[1] // 2
    first, last = random.integers(half, size=2) + (half if scene.mirrored else 0)
    return int(first), int(last)


def _unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(values / np.maximum(length, 1e-12), np.float32)
