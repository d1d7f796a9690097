"""Hits as pictures in the terminal: what it can draw, and rows of thumbnails with their captions.

kitty and iTerm2 and what speaks as they do are known by the environment. Sixel is asked for, as
only the terminal knows; within tmux or screen too, which pass the environment on, but not pictures.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from vsr_edge.cli.tables import shortened
from vsr_edge.errors import printable

if TYPE_CHECKING:
    from vsr_edge.answer import SearchResult
    from vsr_edge.hits.terminal_images import Protocol
    from vsr_edge.hits.thumbnails import Thumbnail

# A terminal at the other end of a slow line answers late, and one that never does must not hang.
PATIENCE_SECONDS = 1.0
_ATTRIBUTES = re.compile(rb"\x1b\[\?([\d;]*)c")
_SIXEL = b"4"
# Where a terminal does not say how large a character is.
_USUAL_CELL = (10, 20)
TILE_COLUMNS, GAP_COLUMNS = 26, 2


class Terminal(NamedTuple):
    """What it draws pictures by, how many characters it is wide, and their width and height in
    pixels.
    """

    protocol: Protocol
    columns: int
    cell: tuple[int, int]


def detected() -> Terminal | None:
    """The terminal that stdout is; None if it draws no pictures, or is none."""
    if not sys.stdout.isatty():
        return None
    protocol = by_environment(os.environ)
    if protocol is None and _draws_sixel():
        protocol = "sixel"
    return None if protocol is None else Terminal(protocol, *_size())


def by_environment(environment: Mapping[str, str]) -> Protocol | None:
    """What the environment says the terminal draws by."""
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if "TMUX" in environment or term.startswith(("tmux", "screen")):
        return None
    if "KITTY_WINDOW_ID" in environment or term in ("xterm-kitty", "xterm-ghostty"):
        return "kitty"
    if program == "ghostty" or "KONSOLE_VERSION" in environment:
        return "kitty"
    named = {program, environment.get("LC_TERMINAL", "")}
    return "iterm2" if named & {"iTerm.app", "iTerm2", "WezTerm", "mintty"} else None


def _draws_sixel() -> bool:
    """Ask the terminal what it is, and wait a moment for the answer (DA1)."""
    try:
        import termios
        import tty

        asked = sys.stdin.fileno()
        # One in the background would be stopped for touching the terminal.
        if not sys.stdin.isatty() or os.tcgetpgrp(asked) != os.getpgrp():
            return False
        before = termios.tcgetattr(asked)
    except (ImportError, OSError, ValueError, AttributeError):
        return False
    try:
        tty.setcbreak(asked, termios.TCSADRAIN)
        sys.stdout.write("\x1b[c")
        sys.stdout.flush()
        said, until = b"", time.monotonic() + PATIENCE_SECONDS
        while (left := until - time.monotonic()) > 0 and not _ATTRIBUTES.search(said):
            if not select.select([asked], [], [], left)[0] or not (more := os.read(asked, 256)):
                break
            said += more
    finally:
        # An answer that comes late is not typed by anyone.
        termios.tcsetattr(asked, termios.TCSAFLUSH, before)
    answer = _ATTRIBUTES.search(said)
    return answer is not None and _SIXEL in answer[1].split(b";")[1:]


def _size() -> tuple[int, tuple[int, int]]:
    """How many characters a line has, and their width and height in pixels."""
    columns, cell = shutil.get_terminal_size().columns, _USUAL_CELL
    try:
        import fcntl
        import struct
        import termios

        told = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, bytes(8))
        rows, across, width, height = struct.unpack("HHHH", told)
        if rows and across and width and height:
            cell = max(1, width // across), max(1, height // rows)
    except (ImportError, OSError, ValueError):
        pass
    return columns, cell


def print_pictures(terminal: Terminal, found: SearchResult, pictures: Sequence[Thumbnail]) -> None:
    """Rows of thumbnails, each over its rank, probability, time and file."""
    from vsr_edge.hits.in_words import is_guess, likelihood, span
    from vsr_edge.hits.terminal_images import drawn, strip

    wide = min(TILE_COLUMNS, terminal.columns)
    across = max(1, (terminal.columns + GAP_COLUMNS) // (wide + GAP_COLUMNS))
    width = wide * terminal.cell[0]
    rows = max(1, round(width * 9 / 16 / terminal.cell[1]))
    hits = list(zip(found.moments, pictures, strict=True))
    for first in range(0, len(hits), across):
        row = hits[first : first + across]
        tile, gap = (width, rows * terminal.cell[1]), GAP_COLUMNS * terminal.cell[0]
        image = strip([picture.jpeg for _, picture in row], tile, gap)
        columns = len(row) * (wide + GAP_COLUMNS) - GAP_COLUMNS
        sys.stdout.write("\n" + drawn(image, terminal.protocol, columns, rows) + "\n")
        told = [
            f"{m.rank}{'?' if is_guess(found, m) else ''} {likelihood(m)} {span(m)}" for m, _ in row
        ]
        names = [picture.remark if not picture.jpeg else m.video.name for m, picture in row]
        for texts in (told, names):
            sys.stdout.write(_captions(texts, wide) + "\n")
    sys.stdout.flush()


def _captions(texts: Sequence[str], width: int) -> str:
    from rich.cells import set_cell_size

    cut = [shortened(printable(text).replace("\n", "\\n"), width) for text in texts]
    return (" " * GAP_COLUMNS).join(set_cell_size(text, width) for text in cut).rstrip()
