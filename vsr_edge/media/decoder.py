"""Run FFmpeg's decoder over the packets that a plan names, and no others.

A keyframe mark is a promise that decoding can begin there, and not every file keeps it: open groups
of pictures, streams that are refreshed bit by bit, raw streams whose every packet is marked. So the
decoder forgets what it knew wherever packets were skipped, and a run has to prove itself: its first
planned frame must come. If it does not, the run begins anew from an earlier keyframe, leaving out
nothing; and where that does not help either, marks of this file mean nothing, and all of it is
decoded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import TypeAlias

import av
import numpy as np
from av import VideoFrame
from av.packet import Packet
from av.video.stream import VideoStream

from vsr_edge.media.index import TELLS_PARAMETERS
from vsr_edge.media.joined import with_parameters
from vsr_edge.media.opening import OpenVideo
from vsr_edge.media.plan import NO_FRAME, FramePlan

Decoded: TypeAlias = tuple[int, VideoFrame]

# A stream that fails on this many packets in a row is given up, with what was read so far.
MAX_FAILURES_IN_A_ROW = 1000
# Where so many runs had to begin anew, and most did, the marks mean nothing.
MOST_RESTARTS = 4
# Packets that are kept for beginning anew; more than two groups of pictures take at any usual rate.
MOST_KEPT_BYTES = 128 << 20

# Here a frame that is no reference can be told from its own packet: leaving it out harms no other.
_SKIPS_NON_REFERENCES = frozenset({"h264", "mpeg2video", "mpeg4"})
# Decoders that give no frame before all of it was refreshed. Others draw on grey.
_WITHHOLDS = frozenset({"h264"})
NO_PACKET = 2**62
# FFmpeg's picture types I, SI and BI, which need no other picture, and 0 where a decoder says none.
_BY_ITSELF = frozenset({0, 1, 5, 7})


class MarksMeanNothing(Exception):
    """Decoding cannot begin at the keyframes of this file: all of it has to be decoded."""


class PlannedDecoder:
    """Iterates over the decoded frames of a plan's runs, each with its stamp, in order of output.

    Frames that were decoded from damaged data are left out. ``failures`` counts the packets that
    the decoder refused, ``corrupt`` the frames left out; ``given_up`` says that it was stopped.

    Iterating raises:
        MarksMeanNothing: begin again with ``plan.whole``; what came until then is right.
        MediaUnavailable: the operating system refuses to give the file.
    """

    def __init__(self, plan: FramePlan, video: OpenVideo, threads: int) -> None:
        codec = video.stream.codec_context
        codec.thread_type = "AUTO"
        codec.thread_count = threads
        self.failures = self.corrupt = 0
        self.given_up = False
        self._plan = plan
        self._video = video
        self._codec = codec
        self._packets = self._repaired()
        self._kept = _Kept()
        self._in_a_row = 0
        self._count = -1
        self._skips = not plan.counted and codec.name in _SKIPS_NON_REFERENCES
        self._wanted = frozenset(plan.stamps.tolist()) if self._skips else frozenset()
        self._fully = self._fully_before = True
        self._restarts = 0

    def __iter__(self) -> Iterator[Decoded]:
        plan = self._plan
        earlier = [*plan.earlier.tolist(), NO_PACKET]
        for number, (first, last) in enumerate(plan.runs.tolist()):
            stamp = int(plan.firsts[number])
            sure = number == 0 or plan.alone or stamp == NO_FRAME
            if number and not plan.alone:
                self._codec.flush_buffers()
            self._kept.keep_from(earlier[number + 1] if sure else earlier[number])
            packets = self._run_packets(first, last)
            if sure:
                for packet in packets:
                    yield from self._decode(packet)
            else:
                yield from self._proving(packets, stamp, number, earlier[number + 1])
            if self.given_up:
                return
            if not plan.alone or number == len(plan.runs) - 1:
                yield from self._decode(None)

    def _proving(
        self, packets: Iterator[Packet[VideoStream]], stamp: int, number: int, next_earlier: int
    ) -> Iterator[Decoded]:
        """A run whose first planned frame, ``stamp``, must come; its packets are drained here."""
        failures, begun, anew = self.failures, False, False
        for packet in chain(packets, (None,)):
            frames = self._decode(packet, fully=anew)
            over = packet is None or any(one > stamp for one, _ in frames)
            came = any(one == stamp for one, _ in frames)
            false_start = not begun and bool(frames) and not self._begins_well(frames[0][1])
            begun = begun or bool(frames)
            if not anew and (false_start or (over and not came)):
                anew = True
                self._restarts += 1
                if self._restarts >= MOST_RESTARTS and 2 * self._restarts > number:
                    self._despair(failures)
                frames = self._anew(stamp, failures, drain=packet is None)
                over = packet is None or any(one > stamp for one, _ in frames)
                came = any(one == stamp for one, _ in frames)
            yield from frames
            if came or over:
                if not came:
                    self._despair(failures)
                break
        self._kept.keep_from(next_earlier)
        for packet in packets:
            yield from self._decode(packet, fully=anew)

    def _anew(self, stamp: int, failures: int, *, drain: bool) -> list[Decoded]:
        """Decode all that was kept, from an earlier keyframe on; the frames from ``stamp`` on."""
        self._codec.flush_buffers()
        packets: list[Packet[VideoStream] | None] = [*self._kept, *((None,) if drain else ())]
        frames: list[Decoded] = []
        begun = False
        for packet in packets:
            decoded = self._decode(packet, fully=True)
            if decoded and not begun and not self._begins_well(decoded[0][1]):
                self._despair(failures)
            begun = begun or bool(decoded)
            frames += [one for one in decoded if one[0] >= stamp]
        return frames

    def _despair(self, failures: int) -> None:
        """Blame the marks, unless packets were refused: then the frame itself is damaged."""
        if self.failures == failures or not TELLS_PARAMETERS:
            raise MarksMeanNothing

    def _begins_well(self, frame: VideoFrame) -> bool:
        """Whether the first frame of a run needs no other, as far as its decoder says."""
        return self._codec.name in _WITHHOLDS or int(frame.pict_type) in _BY_ITSELF

    def _run_packets(self, first: int, last: int) -> Iterator[Packet[VideoStream]]:
        for position, packet in self._packets:
            self._kept.add(position, packet)
            if position >= first:
                yield packet
            if position >= last or self.given_up:
                return

    def _repaired(self) -> Iterator[tuple[int, Packet[VideoStream]]]:
        """The packets by number, on the one timeline of the plan."""
        shifts = deque(self._plan.shifts.tolist())
        strays = frozenset(self._plan.strays.tolist())
        shift = 0
        for position, packet in enumerate(self._video.packets()):
            while shifts and position >= shifts[0][0]:
                _, shift = shifts.popleft()
            if position in strays:
                packet.pts = None
            elif shift and packet.pts is not None:
                packet.pts += shift
            if (sets := self._plan.sets.get(position)) is not None:
                packet = with_parameters(packet, sets)
            yield position, packet

    def _decode(self, packet: Packet[VideoStream] | None, *, fully: bool = False) -> list[Decoded]:
        if packet is not None and self._skips:
            self._choose_effort(packet, fully)
        try:
            frames = self._codec.decode(packet)
        except (av.FFmpegError, ValueError, MemoryError) as error:
            if packet is None:
                return []  # drained already
            self._video.check(error)
            self.failures += 1
            self._in_a_row += 1
            self.given_up = self._in_a_row >= MAX_FAILURES_IN_A_ROW
            return []
        stamped = []
        for frame in frames:
            self._in_a_row = 0
            stamp = self._number(frame) if self._plan.counted else frame.pts
            if frame.is_corrupt:
                self.corrupt += 1
            elif stamp is not None:
                stamped.append((stamp, frame))
        return stamped

    def _number(self, frame: VideoFrame) -> int:
        """Which frame of a counted file it is: the next, or the one that its packet says."""
        self._count += 1
        order = self._plan.order
        if len(order) and frame.dts is not None:
            self._count = max(self._count, int(np.searchsorted(order, frame.dts)))
        return self._count

    def _choose_effort(self, packet: Packet[VideoStream], fully: bool) -> None:
        """Leave out frames that are neither wanted nor needed by another."""
        wanted = fully or packet.pts is None or packet.pts in self._wanted
        # The packet behind a wanted one may hold the second field of an interlaced frame.
        effort = wanted or self._fully_before
        self._fully_before = wanted
        if effort != self._fully:
            self._codec.skip_frame = "DEFAULT" if effort else "NONREF"
            self._fully = effort


class _Kept:
    """The latest packets, from a place on that moves, unless they become too many."""

    def __init__(self) -> None:
        self._packets: deque[tuple[int, Packet[VideoStream]]] = deque()
        self._from = 0
        self._bytes = 0

    def keep_from(self, position: int) -> None:
        """Forget packets before ``position``, and keep none of those to come."""
        self._from = position
        while self._packets and self._packets[0][0] < position:
            self._bytes -= self._packets.popleft()[1].size

    def add(self, position: int, packet: Packet[VideoStream]) -> None:
        if position < self._from:
            return
        self._packets.append((position, packet))
        self._bytes += packet.size
        while self._bytes > MOST_KEPT_BYTES:
            self._bytes -= self._packets.popleft()[1].size

    def __iter__(self) -> Iterator[Packet[VideoStream]]:
        return (packet for _, packet in self._packets)
