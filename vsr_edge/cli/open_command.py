"""The command that plays a hit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from vsr_edge.cli.console import answer, say
from vsr_edge.cli.options import ArchiveOption, JsonOption, argument, option
from vsr_edge.errors import UnreadableMedia, UsageError


def open_hit(
    number: Annotated[
        int, argument("Which hit of the last search, as it was numbered.", metavar="N", min=1)
    ] = 1,
    archive: ArchiveOption = None,
    player: Annotated[
        str | None,
        option(
            "Program to play it with. \\[default: mpv, VLC, or what the desktop has]",
            "--player",
            envvar="VSR_EDGE_PLAYER",
            show_envvar=True,
        ),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Play a hit of the last search, from its start on.

    mpv, VLC, IINA and ffplay are told where to begin; other programs begin at the file's beginning.

    Example: [bold]vsr-edge open 2 --player vlc[/bold]
    """
    from vsr_edge.config import load_settings
    from vsr_edge.hits.players import playing
    from vsr_edge.ingest.scan import is_gone
    from vsr_edge.types import clock

    hit = _hit(load_settings({"archive": archive}).archive, number)
    video, start = Path(hit["video"]), float(hit["start"])
    if is_gone(video):
        raise UnreadableMedia(
            video, "the file is gone: mount its drive, or index it where it lies now"
        )
    chosen = playing(video, start, player)
    if not chosen.at_start:
        say(f"look at {clock(start)}: this program cannot be told where to begin")
    chosen.run(sys.stderr if json_output else None)
    document = {"rank": number, "video": video, "start": start, "end": hit["end"]}
    document |= {"command": chosen.command, "at_start": chosen.at_start}
    answer(json_output, lambda of: of.OpenDocument.model_validate(document))


def _hit(folder: Path, number: int) -> dict[str, Any]:
    from vsr_edge.hits.last import last_answer

    hits = {hit["rank"]: hit for hit in last_answer(folder)["moments"]}
    if number not in hits:
        had = f"its last is {max(hits)}" if hits else "it has none"
        raise UsageError(f"there is no hit {number} in the last answer of {folder}: {had}")
    found: dict[str, Any] = hits[number]
    return found
