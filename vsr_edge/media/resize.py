"""Pictures made smaller or larger by FFmpeg's swscale, whose filters widen when they shrink.

It is given red, green and blue as if they were the planes of a picture without subsampling, so
nothing is converted, and every colour is filtered alike. Through a filter graph, because only there
the cubic's shape can be said, and that rounding is to be exact and the same on every processor.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
from av import VideoFormat, VideoFrame
from av.filter import Graph
from numpy.typing import NDArray

from vsr_edge.types import Pixels

Filter: TypeAlias = Literal["bilinear", "bicubic"]

_PLANES = "yuv444p"
# Keys' cubic with a = −1/2, which is Pillow's; swscale's own is steeper.
_FLAGS = {
    "bilinear": "flags=bilinear+accurate_rnd+bitexact",
    "bicubic": "flags=bicubic+accurate_rnd+bitexact:param0=0:param1=0.5",
}
# Beyond 63 (bicubic) and 127 times (bilinear) swscale has no filter, and FFmpeg 7 ends the process;
# long before that its weights are coarse.
_STEEPEST, _SHRUNK = 32, 16
# So many shapes of pictures stay set up in each thread. Without `threads` every graph of PyAV 14
# starts as many threads as there are processors.
_KEPT = 4 if hasattr(Graph, "threads") else 1
_TICK = Fraction(1, 25)


def resize(picture: Pixels, side: int, kind: Filter) -> Pixels:
    """A picture uint8 [H, W, 3], of any strides, stretched → its planes uint8 [3, side, side]."""
    for axis in (0, 1):
        if picture.shape[axis] > _STEEPEST * side:
            picture = _means(picture, axis, _SHRUNK * side)
    height, width, _ = picture.shape
    frame = VideoFrame(width, height, _PLANES)
    for channel, plane in enumerate(_planes(frame)):
        plane[:] = picture[:, :, channel]
    return np.stack(_planes(filtered(frame, _GRAPHS.of(width, height, side, kind))))


def filter_graph(width: int, height: int, pixels: VideoFormat, filters: Mapping[str, str]) -> Graph:
    """A chain of FFmpeg's filters, by name with what each is told, in one thread."""
    graph = Graph()
    if hasattr(graph, "threads"):
        graph.threads = 1
    source = graph.add_buffer(width=width, height=height, format=pixels, time_base=_TICK)
    chain = [graph.add(name, told) for name, told in filters.items()]
    graph.link_nodes(source, *chain, graph.add("buffersink")).configure()
    return graph


def filtered(frame: VideoFrame, graph: Graph) -> VideoFrame:
    """A frame by itself through a graph of its shape."""
    frame.pts, frame.time_base = 0, _TICK
    graph.vpush(frame)
    return graph.vpull()


class _Graphs(threading.local):
    """Each thread's own graphs, the latest for each shape: no two threads may use one."""

    def __init__(self) -> None:
        self.of = lru_cache(_KEPT)(_scaler)


def _scaler(width: int, height: int, side: int, kind: Filter) -> Graph:
    scale = f"{side}:{side}:{_FLAGS[kind]}"
    return filter_graph(width, height, VideoFormat(_PLANES), {"scale": scale})


_GRAPHS = _Graphs()


def _planes(frame: VideoFrame) -> list[Pixels]:
    """The planes of a frame as arrays [H, W] that share its memory."""
    planes: list[Any] = list(frame.planes)
    return [
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
        for plane in planes
    ]


def _means(picture: Pixels, axis: int, count: int) -> Pixels:
    """Means over ``count`` stretches of an axis, all about as long."""
    edges = np.linspace(0, picture.shape[axis], count + 1).astype(int)
    sums: NDArray[np.int64] = np.add.reduceat(picture, edges[:-1], axis, np.int64)
    lengths = np.diff(edges).reshape([-1 if a == axis else 1 for a in range(3)])
    return np.rint(sums / lengths).astype(np.uint8)
