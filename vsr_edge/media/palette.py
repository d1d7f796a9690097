"""Pictures in few colours, chosen for each by FFmpeg."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from av import VideoFormat, VideoFrame
from av.filter import Graph

from vsr_edge.types import Pixels

_GIVEN = "rgb24"
_TICK = Fraction(1, 25)


def paletted(pixels: Pixels) -> tuple[Pixels, Pixels]:
    """A picture uint8 [H, W, 3] RGB in at most 256 colours, the error diffused.

    Returns the number of each pixel's colour, uint8 [H, W], and what the numbers stand for, uint8
    [256, 3] RGB.
    """
    height, width = pixels.shape[:2]
    graph = Graph()
    if hasattr(graph, "threads"):
        graph.threads = 1
    source = graph.add_buffer(
        width=width, height=height, format=VideoFormat(_GIVEN), time_base=_TICK
    )
    twice = graph.add("split")
    choose = graph.add("palettegen", "max_colors=256:reserve_transparent=0")
    use = graph.add("paletteuse", "dither=sierra2_4a")
    end = graph.add("buffersink")
    source.link_to(twice, 0, 0)
    twice.link_to(choose, 0, 0)
    twice.link_to(use, 1, 0)
    choose.link_to(use, 0, 1)
    use.link_to(end, 0, 0)
    graph.configure()
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=_GIVEN)
    frame.pts, frame.time_base = 0, _TICK
    graph.vpush(frame)
    graph.vpush(None)  # the colours are chosen at the end
    numbers, palette = graph.vpull().to_ndarray()
    return numbers, palette[:, 1:]  # it is ARGB
