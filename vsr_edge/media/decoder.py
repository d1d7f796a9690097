"""Run FFmpeg's decoder over the packets that a plan names, and no others."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import av
from av import VideoFrame
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from vsr_edge.media.packets import PacketReader
from vsr_edge.media.plan import FramePlan

# A stream that fails on this many packets in a row is given up, with what was read so far.
MAX_FAILURES_IN_A_ROW = 1000

# Here a frame that is no reference can be told from its own packet: leaving it out harms no other.
_SKIPS_NON_REFERENCES = frozenset({"h264", "mpeg2video", "mpeg4"})


class PlannedDecoder:
    """Iterates over the decoded frames of a plan's runs, each with its stamp, in order of output.

    ``failures`` counts the packets that the decoder refused; ``given_up`` says that it was stopped.
    """

    def __init__(
        self, plan: FramePlan, codec: VideoCodecContext, packets: PacketReader, threads: int
    ) -> None:
        codec.thread_type = "AUTO"
        codec.thread_count = threads
        self.failures = 0
        self.given_up = False
        self._plan = plan
        self._codec = codec
        self._packets = packets
        self._in_a_row = 0
        self._count = -1
        self._skips = not plan.counted and codec.name in _SKIPS_NON_REFERENCES
        self._wanted = frozenset(plan.stamps.tolist()) if self._skips else frozenset()
        self._fully = self._fully_before = True

    def __iter__(self) -> Iterator[tuple[int, VideoFrame]]:
        runs = zip(self._plan.runs.tolist(), self._plan.resets.tolist(), strict=True)
        (first, last), _ = next(runs)
        shifts = deque(self._plan.shifts.tolist())
        strays = frozenset(self._plan.strays.tolist())
        shift = 0
        for position, packet in enumerate(self._packets):
            while shifts and position >= shifts[0][0]:
                _, shift = shifts.popleft()
            if position < first:
                continue
            if position in strays:
                packet.pts = None
            elif shift and packet.pts is not None:
                packet.pts += shift
            yield from self._decode(packet)
            if self.given_up:
                return
            if position >= last:
                run = next(runs, None)
                if run is None:
                    break
                (first, last), reset = run
                if reset:
                    yield from self._decode(None)
                    self._codec.flush_buffers()
        yield from self._decode(None)

    def _decode(self, packet: Packet[VideoStream] | None) -> Iterator[tuple[int, VideoFrame]]:
        if packet is not None and self._skips:
            self._choose_effort(packet)
        try:
            frames = self._codec.decode(packet)
        except (av.FFmpegError, ValueError):
            self.failures += 1
            self._in_a_row += 1
            self.given_up = self._in_a_row >= MAX_FAILURES_IN_A_ROW
            return
        for frame in frames:
            self._in_a_row = 0
            self._count += 1
            if self._plan.counted:
                yield self._count, frame
            elif frame.pts is not None:
                yield frame.pts, frame

    def _choose_effort(self, packet: Packet[VideoStream]) -> None:
        """Leave out frames that are neither wanted nor needed by another."""
        wanted = packet.pts is None or packet.pts in self._wanted
        # The packet behind a wanted one may hold the second field of an interlaced frame.
        fully = wanted or self._fully_before
        self._fully_before = wanted
        if fully != self._fully:
            self._codec.skip_frame = "DEFAULT" if fully else "NONREF"
            self._fully = fully
