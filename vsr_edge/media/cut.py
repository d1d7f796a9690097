"""Single pictures out of a video, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av import VideoFrame
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from vsr_edge.errors import UnreadableMedia
from vsr_edge.media.decode import read_frames
from vsr_edge.media.index import scan
from vsr_edge.media.plan import VideoPlan, plan_frames
from vsr_edge.media.probe import probe
from vsr_edge.types import Pixels, Sampling, Seconds, Times, Video

# FFmpeg's scale for JPEG, from 1, the best, to 31.
_QUALITY = 5


def thumbnails(path: Path, times: Sequence[Seconds], width: int = 240) -> list[bytes]:
    """The frame nearest to each time, upright, ``width`` pixels wide, as JPEG.

    Raises:
        UnreadableMedia: the file is gone, or a frame cannot be read.
        NoVideoStream: a media file without pictures.
    """
    video = probe(path)
    height = max(2, round(width * video.height / video.width / 2) * 2)
    return [jpeg(picture) for picture in _pictures(video, times, (width, height))]


def picture_at(path: Path, time: Seconds) -> Pixels:
    """The frame nearest to a time, upright, in full size: uint8 [H, W, 3] RGB.

    Raises:
        UnreadableMedia: the file is gone, or no frame near can be read.
        NoVideoStream: a media file without pictures.
    """
    video = probe(path)
    (picture,) = _pictures(video, [time], (video.width, video.height))
    return picture


def _pictures(video: Video, times: Sequence[Seconds], size: tuple[int, int]) -> list[Pixels]:
    """The frames nearest to the times, each decoded once, (width, height) pixels large."""
    path = video.path
    index = scan(path)
    nearest = _nearest(index.times, np.asarray(times, dtype=np.float64))
    chosen = np.unique(nearest)
    plan = VideoPlan(video, Sampling(), plan_frames(index, chosen, fps=1.0), index.damage)
    found: dict[float, Pixels] = {}
    with read_frames(plan, size=size, batch_frames=1) as batches:
        for batch in batches:
            found[float(batch.times[0])] = batch.pixels[0]
    if not found:
        raise UnreadableMedia(path, "not one of the wanted frames can be decoded")
    read = np.array(list(found))
    pictures = list(found.values())
    # A frame that is damaged is replaced by the nearest that could be read.
    return [pictures[int(np.abs(read - index.times[n]).argmin())] for n in nearest]


def _nearest(times: Times, wanted: Times) -> NDArray[np.int64]:
    """For each wanted time the place of the nearest among ``times``, which increase."""
    after = np.clip(np.searchsorted(times, wanted), 1, max(len(times) - 1, 1))
    later = np.minimum(after, len(times) - 1)
    nearer = np.abs(times[later] - wanted) < np.abs(times[after - 1] - wanted)
    return np.where(nearer, later, after - 1).astype(np.int64)


def jpeg(pixels: Pixels) -> bytes:
    """A picture, uint8 [H, W, 3] RGB, as a JPEG file."""
    codec = av.CodecContext.create("mjpeg", "w")
    assert isinstance(codec, VideoCodecContext)
    codec.height, codec.width = pixels.shape[:2]
    # With halved colours FFmpeg up to 7 puts noise into the last column and row of an odd size.
    codec.pix_fmt = "yuvj444p"
    codec.time_base = Fraction(1, 1)
    codec.options = {"qmin": str(_QUALITY), "qmax": str(_QUALITY)}
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    frame.pts = 0
    packets = [*codec.encode(frame), *codec.encode(None)]
    return b"".join(bytes(packet) for packet in packets)
