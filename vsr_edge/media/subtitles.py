"""Subtitle streams inside a video file. Their packets are text already, and are read as such: what
PyAV's decoders give differs from version to version.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av

from vsr_edge.media.opening import open_video, rational
from vsr_edge.media.sidecars import ReadTexts, decoded, plain
from vsr_edge.media.source import SourceFile
from vsr_edge.types import Cue, Seconds

# A cue with no length of its own is shown until the next one, but not longer.
_USUAL: Seconds = 5.0
# The first frame that is shown is among so many that are stored.
_REORDERED = 32
# Of an event of SubStation Alpha in a packet, the text comes behind so many commas.
_COMMAS = 8
# Shapes that are drawn in it, up to where text begins again.
_DRAWING = re.compile(r"\{[^}]*\\p[1-9][^}]*\}.*?(?:\{[^}]*\\p0[^}]*\}|$)", re.DOTALL)


def embedded_texts(file: Path | SourceFile) -> ReadTexts:
    """The words of all subtitle streams of a file, in seconds from its first frame.

    Streams that are pictures, as on discs, are named in ``problem``. Reads all of a file that has
    streams of text, and only the head of one that has none.

    Raises:
        MediaError: the file cannot be read.
    """
    with open_video(file) as opened:
        readers: dict[int, Callable[[bytes], str]] = {}
        unread: dict[str, int] = {}
        for stream in opened.container.streams.subtitles:
            codec = _codec(stream)
            if codec in _READERS:
                readers[stream.index] = _READERS[codec]
            else:
                unread[codec] = unread.get(codec, 0) + 1
        said = ", ".join(f"{count} × {codec}" for codec, count in unread.items())
        problem = f"subtitles that are no text were left out: {said}" if said else None
        if not readers:
            return ReadTexts(problem=problem)
        # What a container says of its beginning is not always so.
        shown: list[Seconds] = []
        tracks: dict[int, list[Cue]] = {index: [] for index in readers}
        open_ended: set[int] = set()
        streams = [one for one in opened.container.streams.subtitles if one.index in readers]
        packets = opened.container.demux(opened.stream, *streams)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, ValueError, IndexError, MemoryError) as error:
                opened.check(error)
                problem = "; ".join(filter(None, [problem, "damaged: a part of them was read"]))
                break
            if packet is None:
                break
            clock, number = rational(packet.time_base), packet.stream.index
            if packet.pts is None or not clock:
                continue
            at = float(packet.pts * clock)
            if number == opened.stream.index:
                if len(shown) < _REORDERED:
                    shown.append(at)
                continue
            track = tracks[number]
            if number in open_ended:
                open_ended.remove(number)
                start, words = track[-1].start, track[-1].text
                track[-1] = Cue(start, min(max(at, start), start + _USUAL), words)
            words = readers[number](bytes(packet)) if packet.size else ""
            if words:
                length = float(packet.duration * clock) if packet.duration else 0.0
                if not length:
                    open_ended.add(number)
                track.append(Cue(at, at + (length or _USUAL), words))
        opened.check()
        begin = min(shown, default=0.0)
        return ReadTexts(
            tuple(
                tuple(Cue(one.start - begin, one.end - begin, one.text) for one in track)
                for track in tracks.values()
            ),
            problem,
        )


def _codec(stream: Any) -> str:
    """Its codec's name; there may be no decoder for it."""
    context = getattr(stream, "codec_context", None)
    return str(context.name) if context is not None else "unknown"


def _text(packet: bytes) -> str:
    return plain(decoded(packet) or "")


def _substation(packet: bytes) -> str:
    parts = (decoded(packet) or "").split(",", _COMMAS)
    return plain(_DRAWING.sub("", parts[-1])) if len(parts) > _COMMAS else ""


def _mov_text(packet: bytes) -> str:
    length = int.from_bytes(packet[:2], "big")
    return _text(packet[2 : 2 + length])


_READERS: dict[str, Callable[[bytes], str]] = {
    **dict.fromkeys(("subrip", "srt", "text", "webvtt"), _text),
    **dict.fromkeys(("ass", "ssa"), _substation),
    "mov_text": _mov_text,
}
