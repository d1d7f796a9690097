"""`tag`: names that people give to videos, to search by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vsr_edge.cli.console import EXIT_NOTHING, answer, opened_archive, say
from vsr_edge.cli.filter_options import FilterOptions, complete_tags, complete_videos
from vsr_edge.cli.options import ArchiveOption, Command, JsonOption, argument, option
from vsr_edge.cli.recorded_cells import nothing_in
from vsr_edge.cli.tables import Column, Table, print_tables
from vsr_edge.errors import UsageError

if TYPE_CHECKING:
    from vsr_edge.types import StoredVideo

# What click would take for a row of options of one letter each.
_TAKEN_OFF = re.compile(r"-[^\W\d_][\w.:-]+")


class TagCommand(Command):
    """Reads ``-night`` as ``--drop night``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        read: list[str] = []
        for before, one in zip(["", *args[: end - 1]], args[:end], strict=False):
            # `--tag -night` is a filter.
            off = before != "--tag" and _TAKEN_OFF.fullmatch(one)
            read.append(f"--drop={one[1:]}" if off else one)
        return super().parse_args(ctx, read + args[end:])


def tag(
    names: Annotated[
        list[str] | None,
        argument(
            "Paths, folders or globs; and +TAG to give a tag, -TAG to take it off.",
            metavar="[VIDEO]... [+TAG]... [-TAG]...",
            autocompletion=complete_videos,
        ),
    ] = None,
    *,
    archive: ArchiveOption = None,
    filters: FilterOptions,
    drop: Annotated[
        list[str] | None,
        option("The same as -TAG. Repeatable.", "--drop", autocompletion=complete_tags),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Give videos tags, or take them off; without either, list those that they have.

    A tag is of letters, digits and _ . : -, and capitals do not count. Without videos and filters
    all tags are listed.

    Example: [bold]vsr-edge tag 'cam1/*' --after 2d +night -test[/bold]
    """
    given = [name for name in names or [] if not name.startswith("+")]
    add = [name[1:] for name in names or [] if name.startswith("+")]
    with opened_archive(archive) as opened:
        videos, where = [*given, *(filters.video or [])], filters.where(opened)
        named = bool(videos) or where is not None
        if (add or drop) and not named:
            raise UsageError("say which videos: their names, or filters such as --after 2d")
        chosen = opened.tag(videos, where, add=add, drop=drop or [])
        tags = opened.store.tags()
        answer(
            json_output,
            lambda of: of.TagDocument(
                videos=[
                    of.TaggedVideo(video=stored.video.path, tags=list(stored.tags))
                    for stored in chosen
                ],
                tags=tags,
            ),
            lambda: (
                print_tables(_videos(chosen) if named else _tags(tags))
                if chosen or (tags and not named)
                else None
            ),
        )
        if named and not chosen:
            say(nothing_in(opened, given, where) or "no video matches")
            raise typer.Exit(EXIT_NOTHING)
        if not named and not tags:
            say("no video has a tag yet: vsr-edge tag VIDEO +TAG")


def _videos(chosen: Sequence[StoredVideo]) -> Table:
    rows = [(str(stored.video.path), " ".join(stored.tags)) for stored in chosen]
    return Table((Column("video", "path"), Column("tags", "text")), rows)


def _tags(counts: Mapping[str, int]) -> Table:
    rows = [(name, str(count)) for name, count in counts.items()]
    return Table((Column("tag"), Column("videos", "number")), rows)
