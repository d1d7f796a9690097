"""Read a video stream's packets, past damage.

The scan and the decoder read through this same class: what one counts, the other finds again at the
same place.
"""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

# A file damaged to its end fails on each packet; without a bound that could be millions of
# failures.
MAX_READ_FAILURES = 64


class PacketReader:
    """Iterates over the non-empty packets of ``stream``; ``failures`` counts the unreadable."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self.failures = 0
        self._container = container
        self._stream = stream

    def __iter__(self) -> Iterator[Packet[VideoStream]]:
        in_a_row = 0
        while True:
            packets = self._container.demux(self._stream)
            while True:
                try:
                    packet = next(packets, None)
                except IndexError:
                    # PyAV, at the end of a TS in which streams appeared that were not there at its
                    # start.
                    return
                except (av.FFmpegError, ValueError):
                    self.failures += 1
                    in_a_row += 1
                    if in_a_row >= MAX_READ_FAILURES:
                        return
                    break
                if packet is None:
                    return
                # Empty packets are the end of the stream, or a frame that AVI says was dropped.
                if not packet.size:
                    continue
                in_a_row = 0
                yield packet
