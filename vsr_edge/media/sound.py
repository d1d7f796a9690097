"""The sound of a span, on the clock of its video: read past damage, and encoded to the sample."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias, cast

import av
import numpy as np
from av import AudioFrame, AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from numpy.typing import NDArray

from vsr_edge.media.index import FrameIndex
from vsr_edge.media.opening import MAX_READ_FAILURES, OpenVideo, open_video, rational
from vsr_edge.types import Seconds

# Of one audio stream: which of the kept ones, a packet, and its time on the clock of the video.
Sounding: TypeAlias = "tuple[int, Packet[AudioStream], Seconds]"

# Decoders of sound need what comes before: Opus 80 ms, MP3 some frames.
_BEFORE = 1.0
# Sound may lie so far from its pictures in a file.
_BEHIND = 10.0
# Nearer the beginning than that, seeking saves nothing.
_SEEK_FROM = 10.0
# Time stamps are rounded, to milliseconds often: so far apart, samples still follow on each other.
_JITTER = 0.01
_AAC_RATES = frozenset(
    {7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000}
)
_AAC_LAYOUTS = frozenset({"mono", "stereo", "5.1"})
_BITS_A_CHANNEL = 96_000


def audible(video: OpenVideo) -> list[AudioStream]:
    """The audio streams that can be decoded."""
    return [
        stream
        for stream in video.container.streams.audio
        if getattr(stream, "codec_context", None) and stream.codec_context.sample_rate
    ]


def sounding(
    path: Path, index: FrameIndex, start: Seconds, end: Seconds, numbers: list[int]
) -> Iterator[Sounding]:
    """The packets of a file's streams ``numbers`` that begin from ``start`` to ``end``, in file
    order, and some before and behind them.
    """
    seekable = start > _SEEK_FROM and not len(index.shifts) and not index.counted
    for seek in (True, False) if seekable else (False,):
        begun = False
        with open_video(path) as video:
            for one in _packets(video, index, start, end, numbers, seek=seek):
                if not begun and seek and one[2] > start:
                    break  # it jumped too far
                begun = True
                yield one
        if begun:
            return


def _packets(
    video: OpenVideo,
    index: FrameIndex,
    start: Seconds,
    end: Seconds,
    numbers: list[int],
    seek: bool,
) -> Iterator[Sounding]:
    zero = float(index.pts[0] * index.time_base)
    streams = {stream.index: n for n, stream in enumerate(_chosen(video, numbers))}
    if seek:
        with suppress(av.FFmpegError):
            video.container.seek(int((zero + start - 2 * _BEFORE) * av.time_base))
    clock = _Clock(index)
    for packet in _read(video, [video.stream, *_chosen(video, numbers)]):
        base = rational(packet.time_base)
        if packet.stream.index == video.stream.index:
            stamp = packet.dts if packet.pts is None else packet.pts
            clock.passed += 1
            time = 0.0 if stamp is None or not base else float(stamp * base) - zero
            if time + clock.shift > end + _BEHIND:
                return
        elif packet.pts is not None and base:
            number = streams[packet.stream.index]
            length = float((packet.duration or 0) * base)
            time = clock.time(number, float(packet.pts * base), length) - zero
            if start - _BEFORE <= time < end:
                yield number, cast("Packet[AudioStream]", packet), time


def _chosen(video: OpenVideo, numbers: list[int]) -> list[AudioStream]:
    return [stream for stream in video.container.streams.audio if stream.index in numbers]


def _read(video: OpenVideo, streams: list[Any]) -> Iterator[Packet[Any]]:
    """Non-empty packets, past damage."""
    failures = 0
    packets = video.container.demux(*streams)
    while failures < MAX_READ_FAILURES:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, ValueError, IndexError, MemoryError) as error:
            video.check(error)
            failures += 1
            packets = video.container.demux(*streams)
            continue
        if packet is None:
            video.check()
            return
        if packet.size:
            failures = 0
            yield packet


class _Clock:
    """The clock of the video, where recordings were joined: sound near a joint may belong to either
    side of it, and to that which it goes on with.
    """

    def __init__(self, index: FrameIndex) -> None:
        base = float(index.time_base)
        self._shifts = [(0, 0.0), *((int(p), int(s) * base) for p, s in index.shifts.tolist())]
        self._expected: dict[int, Seconds] = {}
        self.passed = 0

    @property
    def _part(self) -> int:
        return sum(first < self.passed for first, _ in self._shifts[1:])

    @property
    def shift(self) -> Seconds:
        return self._shifts[self._part][1]

    def time(self, number: int, stamp: Seconds, length: Seconds) -> Seconds:
        part = self._part
        near = [shift for _, shift in self._shifts[max(part - 1, 0) : part + 2]]
        expected = self._expected.get(number, stamp + self.shift)
        time = min((stamp + shift for shift in near), key=lambda one: abs(one - expected))
        self._expected[number] = time + length
        return time


class SoundWriter:
    """Encodes one stream as AAC, exactly from 0 to ``length``; what is not there is silence."""

    def __init__(self, output: OutputContainer, source: AudioStream, length: Seconds) -> None:
        rate = source.codec_context.sample_rate
        self._rate = rate if rate in _AAC_RATES else 48_000
        layout = source.codec_context.layout.name.replace("(side)", "")
        self._layout = layout if layout in _AAC_LAYOUTS else "stereo"
        self._channels = len(av.AudioLayout(self._layout).channels)
        stream = output.add_stream("aac", rate=self._rate)
        assert isinstance(stream, AudioStream)
        stream.codec_context.layout = self._layout
        stream.codec_context.bit_rate = _BITS_A_CHANNEL * self._channels
        if language := source.metadata.get("language"):
            stream.metadata["language"] = language
        self._stream, self._total = stream, round(length * self._rate)
        self._resampler: AudioResampler | None = None
        self._of: tuple[str, str, int] | None = None
        self._written = 0
        self._next: int | None = None

    @property
    def written(self) -> Seconds:
        return self._written / self._rate

    def add(self, frame: AudioFrame, time: Seconds) -> Iterator[Packet[AudioStream]]:
        """A decoded frame that begins at ``time``, also before 0 or behind the end."""
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or shape != self._of:
            self._resampler = AudioResampler("fltp", self._layout, self._rate)
            self._of = shape
        frame.pts = None
        for part in self._resampler.resample(frame):
            samples = part.to_ndarray()
            at = round(time * self._rate)
            if self._next is not None and abs(at - self._next) <= _JITTER * self._rate:
                at = self._next
            self._next = at + samples.shape[1]
            time = self._next / self._rate
            yield from self._silence(min(at, self._total))
            yield from self._encode(samples[:, max(self._written - at, 0) :])

    def finish(self) -> Iterator[Packet[AudioStream]]:
        """Silence up to the end, and what the encoder still holds back."""
        yield from self._silence(self._total)
        yield from self._stream.encode(None)

    def _silence(self, until: int) -> Iterator[Packet[AudioStream]]:
        while self._written < until:
            count = min(until - self._written, self._rate)
            yield from self._encode(np.zeros((self._channels, count), np.float32))

    def _encode(self, samples: NDArray[Any]) -> Iterator[Packet[AudioStream]]:
        samples = samples[:, : max(self._total - self._written, 0)]
        if not samples.shape[1]:
            return
        frame = AudioFrame.from_ndarray(
            np.ascontiguousarray(samples, np.float32), format="fltp", layout=self._layout
        )
        frame.sample_rate, frame.pts = self._rate, self._written
        frame.time_base = Fraction(1, self._rate)
        self._written += samples.shape[1]
        yield from self._stream.encode(frame)


class SoundTracks:
    """All audio streams of a span, encoded alongside its pictures."""

    def __init__(
        self,
        output: OutputContainer,
        streams: list[AudioStream],
        packets: Iterator[Sounding],
        start: Seconds,
        length: Seconds,
    ) -> None:
        self._writers = [SoundWriter(output, stream, length) for stream in streams]
        self._packets, self._start = packets, start

    def until(self, time: Seconds) -> Iterator[Packet[AudioStream]]:
        """Encode up to a time of the cut, or a little farther."""
        while min((one.written for one in self._writers), default=time) < time:
            found = next(self._packets, None)
            if found is None:
                return
            number, packet, begins = found
            # The decoder may put out what it was given before.
            zero, base = begins, rational(packet.time_base) or 1
            try:
                frames = packet.decode()
            except (av.FFmpegError, ValueError, MemoryError):
                continue  # silence takes its place
            for frame in frames:
                if frame.pts is not None and packet.pts is not None:
                    own = rational(frame.time_base) or base
                    begins = zero + float(frame.pts * own - packet.pts * base)
                yield from self._writers[number].add(frame, begins - self._start)
                begins += frame.samples / frame.sample_rate

    def finish(self) -> Iterator[Packet[AudioStream]]:
        for writer in self._writers:
            yield from writer.finish()
