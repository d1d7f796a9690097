"""Read the planned frames: exact times, upright, in order, in bounded memory, past damage.

FFmpeg's decoder is run over the packets that the plan names, and no others. A keyframe mark is a
promise that decoding can begin there, and not every file keeps it: open groups of pictures, streams
that are refreshed bit by bit, raw streams whose every packet is marked. So the decoder forgets what
it knew wherever packets were skipped, and a run has to prove itself: its first planned frame must
come. If it does not, the run begins anew from an earlier keyframe, leaving out nothing; and where
that does not help either, marks of this file mean nothing, and all of it is decoded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from itertools import chain
from typing import Self, TypeAlias

import av
import numpy as np
from av import VideoFrame
from av.packet import Packet
from av.video.stream import VideoStream

from vsr_edge.errors import UnreadableMedia, memory_is_short
from vsr_edge.media.container import with_parameters
from vsr_edge.media.hwaccel import Device
from vsr_edge.media.index import TELLS_PARAMETERS
from vsr_edge.media.opening import OpenVideo, open_video
from vsr_edge.media.picture import Converter
from vsr_edge.media.plan import NO_FRAME, VideoPlan
from vsr_edge.media.source import SourceFile, opened, unavailable
from vsr_edge.types import FrameBatch, Seconds

Decoded: TypeAlias = tuple[int, VideoFrame]
VideoPacket: TypeAlias = "Packet[VideoStream]"

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


class FrameReader:
    """Iterates once over batches of at most ``batch_frames`` frames of ``plan``; a context manager.

    source: the file, if it is open. size: (width, height) of the pictures, stretched to it; None
    keeps the upright size of the video. crop: keep the shape instead, and see the middle. threads:
    of the decoder; 0 means as many as FFmpeg finds processors. device: to decode on, or None.
    Times are those of the frames really read, strictly increasing. ``partial`` is complete after
    the last batch.

    Iterating raises:
        UnreadableMedia: not one frame can be decoded, or the file is gone.
        MediaUnavailable: the operating system refuses to give it, or memory.
    """

    def __init__(
        self,
        plan: VideoPlan,
        *,
        source: SourceFile | None = None,
        size: tuple[int, int] | None = None,
        crop: bool = False,
        threads: int = 0,
        device: Device | None = None,
        batch_frames: int = 16,
    ) -> None:
        self._plan, self._source = plan, source
        self._convert = Converter(size, crop=crop)
        self._threads, self._device = threads, device
        self._batch_frames = max(batch_frames, 1)
        self._batches = self._read()
        self._decoder: _RunDecoder | None = None
        self._due = self._found = self._replaced = 0
        self._ended = False

    @property
    def partial(self) -> str | None:
        """Why only a part of the video could be read, or None if all of it was."""
        damage, decoder = self._plan.index.damage, self._decoder
        reasons = [] if damage is None else [damage]
        sound = decoder is not None and not (decoder.failures or decoder.corrupt)
        if decoder is not None and decoder.given_up:
            reasons.append("decoding was given up after too many failures in a row")
        elif decoder is not None and decoder.failures:
            reasons.append(f"packets that cannot be decoded: {decoder.failures}")
        # A frame that did not come is none where its packet says to go on showing the last.
        if not (sound and len(self._plan.index.order)):
            if self._replaced:
                reasons.append(f"damaged frames: {self._replaced}")
            wanted = len(self._plan)
            if self._ended and self._found < wanted:
                reasons.append(f"missing frames: {wanted - self._found} of {wanted}")
        return "; ".join(reasons) or None

    def __iter__(self) -> Iterator[FrameBatch]:
        return self._batches

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Close what was opened; no more batches will come."""
        self._batches.close()

    def _read(self) -> Generator[FrameBatch, None, None]:
        times: list[Seconds] = []
        pixels = np.empty((0, 0, 0, 3), np.uint8)
        for time, frame in self.frames():
            try:
                picture = self._convert(frame)
            except (av.FFmpegError, ValueError, MemoryError) as error:
                if memory_is_short():
                    raise unavailable(self._plan.video.path, error) from error
                continue
            self._found += 1
            # A batch is one array: it ends where the size of the picture changes.
            full = len(times) == len(pixels) or picture.shape != pixels.shape[1:]
            if times and full:
                yield FrameBatch(np.array(times), pixels[: len(times)])
                times = []
            if not times:
                pixels = np.empty((self._batch_frames, *picture.shape), np.uint8)
            pixels[len(times)] = picture
            times.append(time)
        if times:
            yield FrameBatch(np.array(times), pixels[: len(times)])
        self._ended = True
        if not self._found:
            path = self._plan.video.path
            raise UnreadableMedia(path, "not one frame of its video can be decoded")

    def frames(self) -> Iterator[tuple[Seconds, VideoFrame]]:
        """The planned frames as they were decoded, in place of the batches; one that is lost is
        replaced by a near one behind it.
        """
        stamps = self._plan.stamps
        with opened(self._source or self._plan.video.path) as source:
            for plan in (self._plan, self._plan.whole):
                with open_video(source, self._device) as video:
                    self._decoder = _RunDecoder(plan, video, self._threads)
                    try:
                        for stamp, frame in self._decoder:
                            missed = int(np.searchsorted(stamps, stamp - plan.tolerance))
                            self._due = max(self._due, missed)
                            if self._due == len(stamps):
                                return
                            if stamp >= stamps[self._due]:
                                time = self._time(stamp)
                                self._due = int(np.searchsorted(stamps, stamp, "right"))
                                yield time, frame
                        return
                    except _MarksMeanNothing:
                        pass

    def _time(self, stamp: int) -> Seconds:
        """Of the frame that is due, or of the one that comes in its place."""
        plan, index = self._plan, self._plan.index
        if stamp == plan.stamps[self._due]:
            return float(plan.times[self._due])
        self._replaced += 1
        return (stamp - int(index.pts[0])) * float(index.time_base)


class _MarksMeanNothing(Exception):
    """Decoding cannot begin at the keyframes of this file: all of it has to be decoded."""


class _RunDecoder:
    """Iterates over the decoded frames of a plan's runs, each with its stamp, in order of output.

    Frames that were decoded from damaged data are left out. ``failures`` counts the packets that
    the decoder refused, ``corrupt`` the frames left out; ``given_up`` says that it was stopped.
    Where it raises ``_MarksMeanNothing``, what came until then is right.
    """

    def __init__(self, plan: VideoPlan, video: OpenVideo, threads: int) -> None:
        codec = video.stream.codec_context
        codec.thread_type, codec.thread_count = "AUTO", threads
        self.failures = self.corrupt = 0
        self.given_up = False
        self._plan, self._index = plan, plan.index
        self._video, self._codec = video, codec
        self._packets = enumerate(video.packets())
        self._shifts = deque(plan.index.shifts.tolist())
        self._bad_timestamps = frozenset(plan.index.bad_timestamps.tolist())
        # The latest packets from a place on that moves, unless they become too many.
        self._kept: deque[tuple[int, VideoPacket]] = deque()
        self._keep_from = self._kept_bytes = 0
        self._shift = self._in_a_row = self._restarts = 0
        self._count = -1
        self._skips = not plan.index.counted and codec.name in _SKIPS_NON_REFERENCES
        self._wanted = frozenset(plan.stamps.tolist()) if self._skips else frozenset()
        self._fully = self._fully_before = True

    def __iter__(self) -> Iterator[Decoded]:
        alone = self._index.alone
        earlier = [*self._plan.runs[:, 3].tolist(), NO_PACKET]
        for number, (first, last, stamp, _) in enumerate(self._plan.runs.tolist()):
            sure = number == 0 or alone or stamp == NO_FRAME
            if number and not alone:
                self._codec.flush_buffers()
            self._forget(earlier[number + 1] if sure else earlier[number])
            packets = self._run_packets(first, last)
            fully = False if sure else (yield from self._proving(packets, stamp, number))
            self._forget(earlier[number + 1])
            for packet in packets:
                yield from self._decode(packet, fully=fully)
            if self.given_up:
                return
            if not alone or number == len(self._plan.runs) - 1:
                yield from self._decode(None)

    def _proving(
        self, packets: Iterator[VideoPacket], stamp: int, number: int
    ) -> Generator[Decoded, None, bool]:
        """Begin a run, whose first planned frame, ``stamp``, must come; was it begun anew?"""
        failures, begun, anew = self.failures, False, False
        for packet in chain(packets, (None,)):
            frames = self._decode(packet, fully=anew)
            ended = packet is None
            false_start = bool(frames) and not begun and not self._begins_well(frames[0][1])
            begun = begun or bool(frames)
            if not anew and (false_start or _missed(stamp, frames, ended)):
                anew = True
                self._restarts += 1
                if self._restarts >= MOST_RESTARTS and 2 * self._restarts > number:
                    self._despair(failures)
                frames = self._begin_anew(stamp, failures, drain=ended)
            yield from frames
            if _missed(stamp, frames, ended):
                self._despair(failures)
            if ended or any(one >= stamp for one, _ in frames):
                break
        return anew

    def _begin_anew(self, stamp: int, failures: int, *, drain: bool) -> list[Decoded]:
        """Decode all that was kept, from an earlier keyframe on; the frames from ``stamp`` on."""
        self._codec.flush_buffers()
        frames: list[Decoded] = []
        for packet in [*(packet for _, packet in self._kept), *((None,) if drain else ())]:
            decoded = self._decode(packet, fully=True)
            if decoded and not frames and not self._begins_well(decoded[0][1]):
                self._despair(failures)
            frames += decoded
        return [one for one in frames if one[0] >= stamp]

    def _despair(self, failures: int) -> None:
        """Blame the marks, unless packets were refused: then the frame itself is damaged."""
        if self.failures == failures or not TELLS_PARAMETERS:
            raise _MarksMeanNothing

    def _begins_well(self, frame: VideoFrame) -> bool:
        """Whether the first frame of a run needs no other, as far as its decoder says."""
        return self._codec.name in _WITHHOLDS or int(frame.pict_type) in _BY_ITSELF

    def _run_packets(self, first: int, last: int) -> Iterator[VideoPacket]:
        """The packets of a run, on the one timeline; those before it are kept or passed over."""
        for position, packet in self._packets:
            while self._shifts and position >= self._shifts[0][0]:
                _, self._shift = self._shifts.popleft()
            if position in self._bad_timestamps:
                packet.pts = None
            elif self._shift and packet.pts is not None:
                packet.pts += self._shift
            if (sets := self._index.sets.get(position)) is not None:
                packet = with_parameters(packet, sets)
            if position >= self._keep_from:
                self._kept.append((position, packet))
                self._kept_bytes += packet.size
                while self._kept_bytes > MOST_KEPT_BYTES:
                    self._kept_bytes -= self._kept.popleft()[1].size
            if position >= first:
                yield packet
            if position >= last or self.given_up:
                return

    def _forget(self, position: int) -> None:
        """Keep no packets before that one, of those that came and those to come."""
        self._keep_from = position
        while self._kept and self._kept[0][0] < position:
            self._kept_bytes -= self._kept.popleft()[1].size

    def _decode(self, packet: VideoPacket | None, *, fully: bool = False) -> list[Decoded]:
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
            stamp = self._number(frame) if self._index.counted else frame.pts
            if frame.is_corrupt:
                self.corrupt += 1
            elif stamp is not None:
                stamped.append((stamp, frame))
        return stamped

    def _number(self, frame: VideoFrame) -> int:
        """Which frame of a counted file it is: the next, or the one that its packet says."""
        self._count += 1
        order = self._index.order
        if len(order) and frame.dts is not None:
            self._count = max(self._count, int(np.searchsorted(order, frame.dts)))
        return self._count

    def _choose_effort(self, packet: VideoPacket, fully: bool) -> None:
        """Leave out frames that are neither wanted nor needed by another."""
        wanted = fully or packet.pts is None or packet.pts in self._wanted
        # The packet behind a wanted one may hold the second field of an interlaced frame.
        effort = wanted or self._fully_before
        self._fully_before = wanted
        if effort != self._fully:
            self._codec.skip_frame = "DEFAULT" if effort else "NONREF"
            self._fully = effort


def _missed(stamp: int, frames: Sequence[Decoded], ended: bool) -> bool:
    """Whether the frame of that stamp cannot come any more, and is not among these."""
    stamps = [one for one, _ in frames]
    return stamp not in stamps and (ended or any(one > stamp for one in stamps))
