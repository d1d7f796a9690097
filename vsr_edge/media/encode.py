"""Decoded frames to a video that players show: H.264 of eight bits, upright, each at its own time.

Colours stay as they are tagged, and those that had none as RGB are tagged BT.709. A picture of an
odd width or height, which such a video cannot have, gets one more column or row, the last one
again.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Any

import av
from av import VideoFrame
from av.container import OutputContainer
from av.filter import Graph
from av.packet import Packet
from av.video.frame import PictureType
from av.video.stream import VideoStream

from vsr_edge.media.opening import OpenVideo, rational
from vsr_edge.media.picture import orientation
from vsr_edge.media.resize import filter_graph, filtered

# The first that this build of FFmpeg has, and what it is told for pictures that look the same.
_ENCODERS = {
    "libx264": {"crf": "18", "preset": "veryfast"},
    "libopenh264": {"rc_mode": "quality", "qmin": "10", "qmax": "24"},
    "mpeg4": {"qmin": "2", "qmax": "4"},
}
# MPEG-4 counts time in at most so many ticks a second; these hold all usual rates exactly.
_MPEG4_BASE = Fraction(1, 60_000)
_DEFAULT_RATE = Fraction(25)
# FFmpeg's number of BT.709 among matrices, primaries and curves alike, and of "not said".
_BT709, _UNSAID = 1, 2
_KEPT_GRAPHS = 4


class PictureWriter:
    """Encodes upright frames into a new stream of ``output``, whose shape is that of ``first``.

    source: where the frames come from, for what is said of their colours and shape. base: what
    times are counted in.
    """

    def __init__(
        self, output: OutputContainer, first: VideoFrame, source: OpenVideo, base: Fraction
    ) -> None:
        self.name = next(name for name in _ENCODERS if name in av.codecs_available)
        self._base = max(base, _MPEG4_BASE) if self.name == "mpeg4" else base
        if self._base.numerator != 1 and self.name == "mpeg4":
            self._base = _MPEG4_BASE
        rate = rational(source.stream.average_rate) or _DEFAULT_RATE
        stream = output.add_stream(self.name, rate=rate)
        assert isinstance(stream, VideoStream)
        self._stream = stream
        degrees, _ = orientation(first)
        turned = degrees in (90, 270)
        self._upright = (first.height, first.width) if turned else (first.width, first.height)
        self._size = (self._upright[0] + 1) // 2 * 2, (self._upright[1] + 1) // 2 * 2
        full_range = first.format.name.startswith("yuvj")
        self._pixels = "yuvj420p" if full_range else "yuv420p"
        codec, was = self._stream.codec_context, source.stream.codec_context
        codec.width, codec.height = self._size
        codec.pix_fmt, codec.time_base = self._pixels, self._base
        codec.options = dict(_ENCODERS[self.name])
        if shape := rational(was.sample_aspect_ratio):
            codec.sample_aspect_ratio = 1 / shape if turned else shape
        self._rgb = first.format.is_rgb or first.format.name == "pal8"
        if self._rgb:
            codec.colorspace = codec.color_primaries = codec.color_trc = _BT709
            codec.color_range = 1
        else:
            codec.colorspace, codec.color_range = was.colorspace, was.color_range
            codec.color_primaries, codec.color_trc = was.color_primaries, was.color_trc
        if first.interlaced_frame and not turned:
            codec.options |= {"flags": "+ildct+ilme"}
        self._graphs = lru_cache(_KEPT_GRAPHS)(self._graph)
        self._lengths: dict[int, int] = {}

    def encode(
        self, frame: VideoFrame, time: float, length: float
    ) -> Iterator[Packet[VideoStream]]:
        """A frame that is shown from ``time`` on, in seconds from the start, for ``length``."""
        degrees, mirrored = orientation(frame)
        plain = not degrees and not mirrored and (frame.width, frame.height) == self._size
        if not plain or frame.format.name != self._pixels:
            key = (frame.width, frame.height, frame.format.name, degrees, mirrored)
            frame = filtered(frame, self._graphs(*key))
        frame.pts, frame.time_base = round(time / self._base), self._base
        # What it was in its own stream would be a command here.
        frame.pict_type = PictureType.NONE
        self._lengths[frame.pts] = max(round((time + length) / self._base) - frame.pts, 1)
        return self._with_lengths(self._stream.encode(frame))

    def finish(self) -> Iterator[Packet[VideoStream]]:
        """What the encoder still holds back."""
        return self._with_lengths(self._stream.encode(None))

    def _with_lengths(self, packets: Any) -> Iterator[Packet[VideoStream]]:
        """Not every encoder passes on how long the last frame lasts."""
        for packet in packets:
            packet.duration = self._lengths.pop(packet.pts, packet.duration or 1)
            yield packet

    def _graph(self, width: int, height: int, pixels: str, degrees: int, mirrored: bool) -> Graph:
        """Turns a frame upright and converts it; of another size than the first, it is fitted."""
        wide, high = self._upright
        filters: dict[str, str] = {}
        if mirrored != (degrees == 180):
            filters["hflip"] = ""
        if degrees == 180:
            filters["vflip"] = ""
        elif degrees:
            filters["transpose"] = "clock" if degrees == 90 else "cclock"
        to_bt709 = ":out_color_matrix=bt709:out_range=tv" if self._rgb else ""
        filters["scale"] = f"{wide}:{high}:force_original_aspect_ratio=decrease{to_bt709}"
        filters["format"] = self._pixels
        filters["pad"] = f"{self._size[0]}:{self._size[1]}"
        more = self._size[0] - wide, self._size[1] - high
        if any(more):
            filters["fillborders"] = f"right={more[0]}:bottom={more[1]}:mode=smear"
        return filter_graph(width, height, av.VideoFormat(pixels), filters)
