"""Tools for an assistant on the same machine, by the Model Context Protocol: search, look, cut.

A tool is named by what an assistant wants, and takes videos by their id or path in the archive, and
no other file. What was expected to go wrong is a tool's error, with the words of the command line.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, ParamSpec, TypeVar

import anyio
from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel, Field

from vsr_edge.archive import Archive
from vsr_edge.errors import MediaError, UsageError, VsrEdgeError
from vsr_edge.hits.names import cut_name
from vsr_edge.hits.thumbnails import CHANGED, GONE, Thumbnails
from vsr_edge.media.source import size_and_age, split_stream
from vsr_edge.query import VideoNames
from vsr_edge.types import Decision, StoredVideo

MOST_MOMENTS, MOST_FRAMES, MOST_SECONDS = 50, 16, 300.0
_MOST_LETTERS, _MOST_NAMES = 2000, 50
_INSTRUCTIONS = (
    "A private archive of videos on this machine. search_video finds moments by what is seen or "
    "said in them; look at some with get_frames before you rely on one, and say so where the "
    "verdict is no_match: then what came nearest is only a guess."
)

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Word = Annotated[str | None, Field(max_length=100)]
VideoRef = Annotated[
    int | str,
    Field(description="A video of the archive: its video_id, or its path as search_video gives it"),
]


class FoundMoment(BaseModel):
    """A moment of a video, in seconds from its first frame."""

    rank: int
    video_id: int | None = Field(description="as the archive numbers its videos")
    video: str
    start: float
    end: float
    best: float = Field(description="the time of the frame to look at first")
    match_probability: float | None = Field(description="how likely it shows what was asked for")
    recorded_at: float | None = Field(description="seconds since 1970, UTC; null: not known")
    text: str | None = Field(description="words that were heard or read there, where they led here")
    missing: bool = Field(description="the file is not there any more: it cannot be looked at")


class Found(BaseModel):
    """What a search found, the best moment first."""

    verdict: Decision
    threshold: float | None = Field(description="less likely moments are guesses")
    moments: list[FoundMoment]
    notices: list[str]


class CutFile(BaseModel):
    """A file that was cut, and its real bounds in the video."""

    path: str
    video: str
    start: float
    end: float
    frames: int


def server(archive: Archive, out: Path | None) -> MCPServer:
    """The tools of an archive; ``out`` is the folder that clips are cut into, None for none: then
    there is no such tool.
    """
    made = MCPServer(
        "vsr-edge", version=version("vsr-edge"), instructions=_INSTRUCTIONS, log_level="WARNING"
    )
    # One at a time: each has all threads.
    alone = Lock()

    def tool(work: Callable[Parameters, Result], **how: Any) -> None:
        @wraps(work)
        def said(*given: Parameters.args, **named: Parameters.kwargs) -> Result:
            try:
                with alone:
                    return work(*given, **named)
            except (VsrEdgeError, OSError) as error:
                raise ToolError(str(error)) from error

        made.add_tool(said, **how)

    def search_video(
        query: Annotated[
            str,
            Field(
                max_length=_MOST_LETTERS,
                description="what is to be seen, as a plain English sentence: a man at a door",
            ),
        ],
        top_k: Annotated[int, Field(ge=1, le=MOST_MOMENTS)] = 5,
        videos: Annotated[
            list[str], Field(max_length=_MOST_NAMES, description="only these: paths, globs")
        ] = [],  # noqa: B006 — it is not changed
        after: Annotated[Word, Field(description="recorded after: 2026-03-04, 2h, 3d")] = None,
        before: Annotated[Word, Field(description="recorded before, said likewise")] = None,
        between: Annotated[Word, Field(description="at this time of day: 22:00-06:00")] = None,
        tags: Annotated[
            list[str], Field(max_length=_MOST_NAMES, description="videos with all of these tags")
        ] = [],  # noqa: B006
        said: Annotated[
            bool, Field(description="only words that are spoken or written, not what is seen")
        ] = False,
    ) -> Found:
        """Find moments in the video archive by what is seen in them, or said."""
        where = archive.where(after=after, before=before, between=between, tags=tags or None)
        names: VideoNames | None = videos or None
        found = archive.search(
            query, top_k=top_k, video=names, where=where, text=True if said else None
        )
        return Found(
            verdict=found.verdict.decision,
            threshold=found.verdict.threshold,
            notices=[*found.notices, *archive.notices],
            moments=[
                FoundMoment(
                    rank=one.rank,
                    video_id=one.video_id,
                    video=shown(one.video),
                    start=round(one.start, 3),
                    end=round(one.end, 3),
                    best=round(one.shown_at, 3),
                    match_probability=one.match_probability,
                    recorded_at=one.recorded_at,
                    text=one.text,
                    missing=one.missing,
                )
                for one in found.moments
            ],
        )

    def get_frames(
        video: VideoRef,
        times: Annotated[list[Seconds], Field(min_length=1, max_length=MOST_FRAMES)],
    ) -> list[Image | str]:
        """Look at a video: the frames nearest to these times, in seconds, as pictures."""
        stored = indexed(archive, video)
        within = [min(time, stored.video.duration) for time in times]
        parts: list[Image | str] = []
        pictures = Thumbnails(archive.settings.archive).of(stored.video, within)
        for time, picture in zip(within, pictures, strict=True):
            if picture.jpeg is None or picture.remark == CHANGED:  # meanwhile
                raise MediaError(stored.video.path, f"{picture.remark}: index it again")
            parts += [
                f"{shown(stored.video.path)} at {time:.3f} s",
                Image(data=picture.jpeg, format="jpeg"),
            ]
        return parts

    def cut_clip(video: VideoRef, start: Seconds, end: Seconds) -> CutFile:
        """Cut a span of a video out as an MP4 file of its own, exact to the frame."""
        from vsr_edge.media.trim import trim

        assert out is not None
        if not 0 < end - start <= MOST_SECONDS:
            raise UsageError(
                f"a clip ends after it begins, and at most {MOST_SECONDS:g} s after: not from "
                f"{start:g} to {end:g}"
            )
        stored = indexed(archive, video)
        out.mkdir(parents=True, exist_ok=True)
        done = trim(
            *(stored.video.path, start, end, _free_name(out, stored, start, end)),
            threads=archive.settings.threads,
        )
        return CutFile(
            path=shown(done.path.absolute()),
            video=shown(stored.video.path),
            start=round(done.start, 3),
            end=round(done.end, 3),
            frames=done.frames,
        )

    tool(search_video)
    tool(get_frames, structured_output=False)
    if out is not None:
        tool(cut_clip)
    return made


def serve_stdio(archive: Archive, out: Path | None) -> None:
    """Serve the tools to whoever started this process, until they close its input.

    Nothing else is written to stdout meanwhile.
    """
    archive.store.stats()  # an archive that cannot be opened is said at once, and not by each tool
    anyio.run(server(archive, out).run_stdio_async)


def indexed(archive: Archive, video: int | str) -> StoredVideo:
    """The video of the archive that is meant, if its file is as it was indexed: no other is read.

    Raises:
        UsageError: there is none; or several, where a name means more than one.
        MediaError: the file is gone, or changed.
    """
    if isinstance(video, str) and not video.isdecimal():
        found = archive.select([video])
    else:
        found = list(archive.store.videos_of([int(video)]).values())
    if len(found) != 1:
        what = "no video" if not found else f"{len(found)} videos"
        raise UsageError(f"{video!r} means {what} of the archive: give a video_id of search_video")
    video_file, known = found[0].video.path, found[0].video
    try:
        status = split_stream(video_file)[0].stat()
    except OSError as error:
        raise MediaError(video_file, f"{GONE}: index it again") from error
    if size_and_age(status) != (known.size_bytes, known.modified_ns):
        raise MediaError(video_file, f"{CHANGED}: index it again")
    return found[0]


def shown(path: Path) -> str:
    """A path as text, in which names that are no UTF-8 are escaped."""
    from vsr_edge.errors import printable

    return printable(str(path))


def _free_name(out: Path, stored: StoredVideo, start: float, end: float) -> Path:
    number = 1
    while (path := out / cut_name(number, stored.video.path, start, end, ".mp4")).exists():
        number += 1
    return path
