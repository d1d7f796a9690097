"""Programs that play a video: which there are, and how each is told where to begin.

No shell is ever asked: a program gets its arguments as they are, and the video as an absolute path,
which no program takes for an option.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vsr_edge.errors import MediaError, UsageError
from vsr_edge.media.source import split_stream
from vsr_edge.types import Seconds

# How a program, by its name, is told the second to begin at, and which video stream, from 0.
_TOLD: dict[str, Callable[[str, int | None], list[str]]] = {
    "mpv": lambda at, stream: [
        f"--start={at}",
        *([] if stream is None else [f"--vid={stream + 1}"]),
    ],
    "vlc": lambda at, stream: [
        f"--start-time={at}",
        *([] if stream is None else [f"--video-track={stream}"]),
    ],
    "iina": lambda at, _: [f"--mpv-start={at}"],
    "ffplay": lambda at, stream: [
        *("-ss", at),
        *([] if stream is None else ["-vst", f"v:{stream}"]),
    ],
}
_TOLD |= {"cvlc": _TOLD["vlc"], "iina-cli": _TOLD["iina"]}
# Looked for in this order: on the PATH, and where installers put it.
_PLAYERS = (
    *("mpv", "vlc"),
    "/Applications/mpv.app/Contents/MacOS/mpv",
    "/Applications/VLC.app/Contents/MacOS/VLC",
    r"C:\Program Files\VideoLAN\VLC\vlc.exe",
    r"C:\Program Files (x86)\VideoLAN\VLC\vlc.exe",
)


@dataclass(frozen=True, slots=True)
class Playing:
    """A program with its arguments, empty for the one that Windows opens such files with; whether
    it was told where to begin.
    """

    command: tuple[str, ...]
    at_start: bool
    file: Path

    def run(self, output: int | IO[str] | None = None) -> None:
        """Play, and wait until the program ends; what it prints goes to ``output``.

        Raises:
            MediaError: it could not be started, or did not end well.
        """
        if not self.command:
            # The attribute exists on Windows alone.
            getattr(os, "startfile")(self.file)  # noqa: B009
            return
        try:
            ended = subprocess.run(self.command, stdout=output, check=False)
        except OSError as error:
            reason = f"{self.command[0]} could not be started ({error.strerror})"
            raise MediaError(self.file, f"{reason}: name another with --player") from error
        if ended.returncode:
            reason = f"{self.command[0]} ended with exit code {ended.returncode}"
            raise MediaError(self.file, f"{reason}: name another with --player")


def playing(video: Path, start: Seconds, player: str | None = None) -> Playing:
    """How a video is played from a second on: by ``player``, a program perhaps with arguments, or
    by mpv, VLC, or what the desktop opens such files with.

    Raises:
        UsageError: there is no such program, or none at all.
    """
    file, stream = split_stream(video.absolute())
    command = _named(player) if player else _found()
    if command is None:
        raise UsageError(
            "no player was found: install mpv or VLC, or name a program with --player or "
            "VSR_EDGE_PLAYER"
        )
    told = _TOLD.get(Path(command[0]).stem.lower()) if command else None
    arguments = [] if told is None else told(f"{start:.3f}", stream)
    whole = (*command, *arguments, str(file)) if command else ()
    return Playing(whole, told is not None, file)


def _named(player: str) -> Sequence[str]:
    """A program's path or name may have spaces in it; else its arguments stand behind it."""
    if found := shutil.which(player):
        return [found]
    try:
        program, *arguments = shlex.split(player)
    except ValueError as error:
        raise UsageError(f"the player {player!r} cannot be read: {error}") from error
    if (found := shutil.which(program)) is None:
        raise UsageError(f"there is no program {program!r} to play with: check --player")
    return [found, *arguments]


def _found() -> Sequence[str] | None:
    for name in _PLAYERS:
        if found := shutil.which(name):
            return [found]
    if sys.platform == "win32":
        return []
    found = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    return None if found is None else [found]
