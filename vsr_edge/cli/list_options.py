"""A list of hits in place of a table or of files: `--format` and where it goes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from vsr_edge.cli.console import say
from vsr_edge.cli.options import option
from vsr_edge.errors import UsageError

if TYPE_CHECKING:
    from vsr_edge.answer import SearchResult
    from vsr_edge.archive import Archive
    from vsr_edge.hits.cuts import Hit

FORMAT_ABOUT = (
    "Give the hits as a list: edl, csv, m3u, otio, fcpxml or chapters, with frame-exact times"
)


@dataclass(frozen=True)
class ListOptions:
    """Of `search`."""

    format: Annotated[str | None, option(f"{FORMAT_ABOUT}.", "--format")]
    list_out: Annotated[
        Path | None,
        option("Write that list to a file or into a folder, not to stdout.", "--out", "-o"),
    ]

    def check_list(self, json_output: bool) -> None:
        """Raise ``UsageError`` for what cannot be, before any work."""
        if self.format is None and self.list_out is not None:
            raise UsageError("--out belongs to --format: say which list to write")
        check_format(self.format)
        if self.format is not None and json_output and self.list_out is None:
            raise UsageError("--format and --json both want stdout: say --out FILE")

    def put_list(self, found: SearchResult, archive: Archive, *, force: bool) -> None:
        """Give the moments that match as the list; guesses are none of it."""
        from vsr_edge.hits.cuts import hits_of

        if self.format is None:
            return
        if hits := hits_of(found):
            put_list(hits, self.format, self.list_out, archive, force=force)
        elif found.moments:
            say("nothing found that is likely enough to be listed")


def check_format(kind: str | None) -> None:
    """Raise ``UsageError`` unless that is a format of a list, or None."""
    if kind is not None:
        from vsr_edge.hits.lists import FORMATS

        if kind not in FORMATS:
            raise UsageError(f"{kind!r} is no format of a list: {', '.join(FORMATS)}")


def put_list(
    hits: Sequence[Hit],
    kind: str,
    out: Path | None,
    archive: Archive | None,
    *,
    pad: float = 0.0,
    force: bool = False,
) -> list[Path]:
    """Write a list of hits to ``out``, a file or a folder, or to stdout; the files written.

    Raises:
        UsageError: a file that exists, or several lists that do not fit into one.
        MediaError: a video that the archive does not know cannot be read.
    """
    from vsr_edge.hits.cuts import names_a_file
    from vsr_edge.hits.listed import listed
    from vsr_edge.hits.lists import FORMATS, lists
    from vsr_edge.media.trim import check_target

    known = {} if archive is None else {s.video.path: s.video for s in archive.store.videos(None)}
    texts = lists(listed(hits, known, pad), kind, hits[0].label)
    shared = FORMATS[kind][2]
    if len(texts) > 1 and (out is None or names_a_file(out)):
        raise UsageError(
            f"a list of {kind} is of one {shared}, and these hits need {len(texts)}: name a folder "
            "with --out, or narrow them with --video"
        )
    if out is None:
        (text,) = texts.values()
        sys.stdout.write(text)
        sys.stdout.flush()
        return []
    single = names_a_file(out)
    files = {out if single else out / name: text for name, text in texts.items()}
    for file in files:
        check_target(file, force=force)
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".vsr-edge-{os.getpid()}.part")
        try:
            # As bytes: names of files may hold what is no UTF-8, and CSV ends lines by itself.
            part.write_bytes(text.encode("utf-8", "surrogateescape"))
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)
        say(f"wrote {file}: {len(hits)} hits" if single else f"wrote {file}")
    return list(files)
