"""Make subtitle files and streams of every kind: what cameras, editors and players leave behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.packet import Packet

from vsr_edge.types import Cue

SUBSTATION_HEAD = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,16

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


def _stamp(seconds: float, point: str = ",") -> str:
    whole, rest = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{point}{rest:03d}"


def srt(cues: Sequence[Cue], *, numbers: bool = True) -> str:
    """SubRip, or without the number of each cue."""
    parts = []
    for number, cue in enumerate(cues, 1):
        head = f"{number}\n" if numbers else ""
        parts.append(f"{head}{_stamp(cue.start)} --> {_stamp(cue.end)}\n{cue.text}\n\n")
    return "".join(parts)


def vtt(cues: Sequence[Cue]) -> str:
    """WebVTT with names of cues, settings, notes and styles."""
    parts = ["WEBVTT - a title\n\nSTYLE\n::cue { color: red }\n\nNOTE not said\n\n"]
    for number, cue in enumerate(cues):
        span = f"{_stamp(cue.start, '.')} --> {_stamp(cue.end, '.')} align:start position:10%"
        parts.append(f"name-{number}\n{span}\n{cue.text}\n\nNOTE between\n\n")
    return "".join(parts)


def ass(cues: Sequence[Cue]) -> str:
    """SubStation Alpha with a comment and a drawing, neither of which is said."""
    lines = [SUBSTATION_HEAD.rstrip("\n")]
    for cue in cues:
        times = [_stamp(time, ".")[1:-1] for time in (cue.start, cue.end)]
        lines.append(f"Dialogue: 0,{times[0]},{times[1]},Default,,0,0,0,,{cue.text}")
    times_of_all = "0:00:00.00,0:00:09.00"
    lines.append(f"Comment: 0,{times_of_all},Default,,0,0,0,,not said")
    lines.append(f"Dialogue: 0,{times_of_all},Default,,0,0,0,,{{\\p1}}m 0 0 l 9 9{{\\p0}}")
    return "\n".join(lines) + "\n"


# What FFmpeg reads as a stream of a codec.
_FILES: dict[str, tuple[str, Callable[[Sequence[Cue]], str]]] = {
    "subrip": (".srt", srt),
    "ass": (".ass", ass),
    "webvtt": (".vtt", vtt),
}


def with_stream(video: Path, target: Path, codec: str, cues: Sequence[Cue]) -> Path:
    """A copy of a video with its cues in a stream of FFmpeg's ``codec``.

    Streams that no text file gives are written where PyAV can; else the test is skipped.
    """
    packets: list[Packet[Any]] = []
    with ExitStack() as files:
        read = files.enter_context(av.open(str(video)))
        output = files.enter_context(av.open(str(target), "w"))
        (pictures,) = read.streams.video
        copy = output.add_stream_from_template(pictures)
        if codec in _FILES:
            suffix, write = _FILES[codec]
            text = target.with_name(f"{target.stem}-stream{suffix}.txt")
            text.write_text(write(cues), "utf-8")
            name = {".srt": "srt", ".vtt": "webvtt", ".ass": "ass"}[suffix]
            said = files.enter_context(av.open(str(text), format=name))
            words: Any = output.add_stream_from_template(said.streams.subtitles[0])
            packets = [one for one in said.demux() if one.pts is not None]
        else:
            words = output.add_stream(codec)
            if not hasattr(words.codec_context, "subtitle_header"):
                pytest.skip(f"this version of PyAV writes no {codec}")
            words.codec_context.subtitle_header = SUBSTATION_HEAD.encode()
            packets = [_packet(cue) for cue in cues]
        for packet in read.demux(pictures):
            if packet.dts is not None:
                packet.stream = copy
                output.mux(packet)
        for one in packets:
            one.stream = words
            output.mux(one)
    return target


def _packet(cue: Cue) -> Packet[Any]:
    """As MP4 has it: the length of the text, then the text."""
    text = cue.text.encode()
    packet: Packet[Any] = Packet(len(text).to_bytes(2, "big") + text)
    packet.pts = packet.dts = round(cue.start * 1000)
    packet.duration = round((cue.end - cue.start) * 1000)
    packet.time_base = Fraction(1, 1000)
    return packet
