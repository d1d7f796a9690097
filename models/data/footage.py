"""Film a composition: photos, panned and zoomed, into a real video file."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.data.composition import Composition, Scene

# The same plan gives the same bytes: one thread, and without x264's macroblock trees, which came
# out differently from run to run.
ENCODER_THREADS = 1
ENCODER = {"preset": "veryfast", "crf": "23", "x264-params": "mbtree=0"}
KEYFRAME_SECONDS = 2


def film(
    path: Path, composition: Composition, photo: Callable[[int], Image.Image], side: int
) -> None:
    """Write a composition as H.264 in MP4, ``side`` × ``side`` pixels.

    ``photo`` opens a photo by its number; each is opened once.
    """
    opened = {scene.photo: photo(scene.photo).convert("RGB") for scene in composition.scenes}
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=composition.rate)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        stream.gop_size = KEYFRAME_SECONDS * composition.rate
        stream.codec_context.thread_count = ENCODER_THREADS
        stream.codec_context.options = ENCODER
        step = Fraction(1, composition.rate)
        stream.codec_context.time_base = step
        for number in range(round(composition.duration * composition.rate)):
            pixels = picture(composition, float(number * step), opened, side)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, step
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def picture(
    composition: Composition, time: float, photos: dict[int, Image.Image], side: int
) -> NDArray[np.uint8]:
    """The frame at a time in seconds: uint8 [side, side, 3], RGB."""
    shown = composition.shown(time)
    if len(shown) == 1 and shown[0][1] == 1.0:
        return view(photos[shown[0][0].photo], shown[0][0], time, side)
    mixed = np.zeros((side, side, 3), np.float32)
    for scene, weight in shown:
        mixed += weight * view(photos[scene.photo], scene, time, side).astype(np.float32)
    return mixed.round().astype(np.uint8)


def view(photo: Image.Image, scene: Scene, time: float, side: int) -> NDArray[np.uint8]:
    """The part of the photo that its scene shows at a time, stretched to a square."""
    left, top, right, bottom = scene.view(time)
    width, height = photo.size
    box = (left * width, top * height, right * width, bottom * height)
    pixels = np.asarray(photo.resize((side, side), Image.Resampling.BILINEAR, box=box))
    return np.ascontiguousarray(pixels[:, ::-1]) if scene.mirrored else pixels
