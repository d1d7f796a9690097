"""Videos by id: what is known of them, frames, clips, and the video itself for a player."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path as File
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse

from vsr_edge.document_parts import Video
from vsr_edge.documents import VideoDocument, VideosDocument
from vsr_edge.errors import MediaError
from vsr_edge.hits.names import cut_name
from vsr_edge.hits.thumbnails import CHANGED, GONE, Thumbnails
from vsr_edge.ingest.scan import is_gone
from vsr_edge.media.fragments import MP4, Fragments, played_as_it_is, write_fragments
from vsr_edge.media.source import size_and_age, split_stream
from vsr_edge.media.trim import trim
from vsr_edge.search.video_names import named
from vsr_edge.server.caller import needs, served_by
from vsr_edge.server.pipe import Pipe
from vsr_edge.server.pool import Ticket
from vsr_edge.server.refusals import JsonDocument, Refused
from vsr_edge.server.search_routes import gone
from vsr_edge.types import StoredVideo

if TYPE_CHECKING:
    from vsr_edge.archive import Archive

router = APIRouter(tags=["videos"])

MOST_CLIP_SECONDS, MOST_STREAM_SECONDS = 300.0, 600.0
MOST_LISTED, LISTED = 5000, 500
_CHUNK = 256 << 10
_LIVE = {"Accept-Ranges": "none", "Cache-Control": "no-store"}
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")

VideoId = Annotated[int, Path(ge=1, le=2**63 - 1, description="As /v1/videos lists it.")]
Time = Annotated[float, Query(ge=0, le=1e9, allow_inf_nan=False)]
Text = Annotated[str | None, Query(max_length=1000)]
Texts = Annotated[list[str], Query(max_length=100)]
PICTURE: dict[str, Any] = {"image/jpeg": {}}
FILM: dict[str, Any] = {"video/mp4": {}, "video/webm": {}}


@router.get("/v1/videos", response_model=VideosDocument, **needs("search"))
def videos(
    request: Request,
    video: Texts = [],  # noqa: B006 — FastAPI copies it
    after: Text = None,
    before: Text = None,
    between: Text = None,
    min_duration: Text = None,
    max_duration: Text = None,
    tag: Texts = [],  # noqa: B006
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = LISTED,
) -> Response:
    """The indexed videos by path, narrowed as `videos` narrows them, some at a time; the header
    `X-Total-Count` says how many there are.
    """
    archive = served_by(request).opened()
    where = archive.where(
        after=after,
        before=before,
        between=between,
        min_duration=min_duration,
        max_duration=max_duration,
        tags=tag or None,
    )
    found = archive.store.videos(named(archive.store, video or None, where, required=False))
    shown = [
        replace(one, missing=is_gone(one.video.path)) for one in found[offset : offset + limit]
    ]
    zone = archive.settings.time_zone
    document = VideosDocument(videos=[Video.of(one, zone) for one in shown])
    return JsonDocument(document, headers={"X-Total-Count": str(len(found))})


@router.get("/v1/videos/{video_id}", response_model=VideoDocument, **needs("search"))
def video(request: Request, video_id: VideoId) -> Response:
    """What is known of one video."""
    archive = served_by(request).opened()
    stored = _stored(archive, video_id)
    stored = replace(stored, missing=is_gone(stored.video.path))
    return JsonDocument(VideoDocument(video=Video.of(stored, archive.settings.time_zone)))


@router.head("/v1/videos/{video_id}/frame", include_in_schema=False, **needs("media"))
@router.get(
    "/v1/videos/{video_id}/frame",
    response_class=Response,
    responses={200: {"content": PICTURE}},
    **needs("media"),
)
async def frame(request: Request, video_id: VideoId, t: Time) -> Response:
    """The frame nearest to a time, as a small JPEG."""
    served = served_by(request)

    def work(_: Ticket) -> tuple[str, bytes]:
        archive = served.opened()
        video = unchanged(archive, video_id).video
        (picture,) = Thumbnails(archive.settings.archive).of(video, [min(t, video.duration)])
        if picture.jpeg is None or picture.remark == CHANGED:
            raise _lost(picture.remark)
        return f'"{video.fingerprint}-{round(t * 1000)}"', picture.jpeg

    tag, picture = await served.pictures.submit(work).result(gone(request))
    headers = {"ETag": tag, "Cache-Control": "private, max-age=3600"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(picture, media_type="image/jpeg", headers=headers)


@router.head("/v1/videos/{video_id}/clip", include_in_schema=False, **needs("media"))
@router.get(
    "/v1/videos/{video_id}/clip",
    response_class=Response,
    responses={200: {"content": {"video/mp4": {}}}},
    **needs("media"),
)
async def clip(
    request: Request,
    video_id: VideoId,
    start: Annotated[float, Query(alias="from", ge=0, le=1e9, allow_inf_nan=False)],
    end: Annotated[float, Query(alias="to", ge=0, le=1e9, allow_inf_nan=False)],
) -> Response:
    """A span as an MP4 file, exact to the frame, as `cut` writes it."""
    served = served_by(request)
    if not 0 < end - start <= MOST_CLIP_SECONDS:
        most = f"at most {MOST_CLIP_SECONDS:g} s after"
        raise Refused(422, "UsageError", f"a clip ends after it begins, and {most}")

    if request.method == "HEAD":  # nothing is cut to be counted
        there = served.pictures.submit(lambda _: unchanged(served.opened(), video_id))
        await there.result(gone(request))
        return _head(200, {}, MP4)

    def work(ticket: Ticket) -> tuple[File, str]:
        archive = served.opened()
        stored = unchanged(archive, video_id)
        folder = File(tempfile.mkdtemp(prefix="vsr-edge-clip-"))
        try:
            path = stored.video.path
            target = folder / "clip.mp4"
            threads = archive.settings.threads
            trim(path, start, end, target, threads=threads, on_step=ticket.check)
            return target, cut_name(1, path, start, end, ".mp4")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    running = served.clips.submit(work)
    running.at_end(_remove)
    target, name = await running.result(gone(request))
    return FileResponse(
        target,
        media_type=MP4,
        filename=name,
        background=BackgroundTask(shutil.rmtree, target.parent, ignore_errors=True),
    )


@router.head("/v1/videos/{video_id}/stream", include_in_schema=False, **needs("media"))
@router.get(
    "/v1/videos/{video_id}/stream",
    response_class=Response,
    responses={200: {"content": FILM}, 206: {"content": FILM, "description": "A part of it."}},
    **needs("media"),
)
async def stream(
    request: Request,
    video_id: VideoId,
    start: Annotated[float, Query(alias="from", ge=0, le=1e9, allow_inf_nan=False)] = 0.0,
) -> Response:
    """The video for a player.

    A file that browsers play is sent as it is, and parts of it as the header `Range` asks. Any
    other is remuxed or transcoded to fragmented MP4 while it is read, from `from` on, at most ten
    minutes of it; the header `X-Video-Start` says where that really begins.
    """
    served = served_by(request)

    def look(_: Ticket) -> tuple[File, str | None]:
        path = unchanged(served.opened(), video_id).video.path
        return path, played_as_it_is(path)

    path, kind = await served.pictures.submit(look).result(gone(request))
    if kind is not None:
        return _part_of(path, kind, request)
    if request.method == "HEAD":
        return _head(200, _LIVE, MP4)
    pipe = Pipe(asyncio.get_running_loop())

    def work(ticket: Ticket) -> None:
        pipe.opened(ticket)
        threads = served.archive.settings.threads
        pipe.fill(
            lambda: write_fragments(path, start, MOST_STREAM_SECONDS, pipe, pipe.begin, threads)
        )

    running = served.streams.submit(work)
    ended = asyncio.ensure_future(running.result(gone(request)))
    ended.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        told: Fragments = await pipe.begun(ended)
    except BaseException:
        running.drop()
        raise

    async def content() -> AsyncIterator[bytes]:
        try:
            async for some in pipe.content():
                yield some
        finally:
            running.drop()

    headers = _LIVE | {
        "X-Video-Start": f"{told.start:.3f}",
        "X-Video-End": f"{told.end:.3f}",
        "X-Video-Copied": "yes" if told.copied else "no",
    }
    return StreamingResponse(content(), media_type=MP4, headers=headers)


def _stored(archive: Archive, video_id: int) -> StoredVideo:
    stored = archive.store.videos_of([video_id]).get(video_id)
    if stored is None:
        raise Refused(404, "NotFound", f"there is no video {video_id}: /v1/videos lists them")
    return stored


def unchanged(archive: Archive, video_id: int) -> StoredVideo:
    """The video, if what lies at its path is what was indexed: nothing else is given away."""
    stored = _stored(archive, video_id)
    try:
        status = split_stream(stored.video.path)[0].stat()
    except OSError as error:
        raise _lost(GONE) from error
    if size_and_age(status) != (stored.video.size_bytes, stored.video.modified_ns):
        raise _lost(CHANGED)
    return stored


def _lost(remark: str) -> Refused:
    kind = "MediaError" if remark not in (GONE, CHANGED) else "VideoGone"
    return Refused(410 if kind == "VideoGone" else 422, kind, f"{remark}: index it again")


def _head(status: int, headers: Mapping[str, str], kind: str) -> Response:
    """A response without its body, however long that would be."""

    async def nothing() -> AsyncIterator[bytes]:
        return
        yield b""

    return StreamingResponse(nothing(), status, headers, kind)


def _part_of(path: File, kind: str, request: Request) -> Response:
    """A file, or the part of it that is asked for. Several parts at once are never sent: whoever
    asks for them gets all of it, as HTTP allows.
    """
    try:
        file = split_stream(path)[0].open("rb")
    except OSError as error:
        raise MediaError(path, f"it cannot be opened ({error.strerror})") from error
    asked = request.headers.get("range") if request.method == "GET" else None
    size = file.seek(0, 2)
    first, last, status = 0, size - 1, 200
    headers = {"Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    if asked is not None and (found := _RANGE.fullmatch(asked.strip())) and any(found.groups()):
        status = 206
        if not found[1]:
            first = max(size - int(found[2]), 0)
        else:
            first, last = int(found[1]), min(int(found[2] or size - 1), size - 1)
        if first > last or first >= size:
            file.close()
            raise Refused(
                416, "NoSuchRange", f"it has {size} bytes", {"Content-Range": f"bytes */{size}"}
            )
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    headers["Content-Length"] = str(last + 1 - first)
    if request.method == "HEAD":
        file.close()
        return _head(status, headers, kind)

    async def content() -> AsyncIterator[bytes]:
        try:
            await asyncio.to_thread(file.seek, first)
            left = last + 1 - first
            while left > 0:
                some = await asyncio.to_thread(file.read, min(_CHUNK, left))
                if not some:
                    return
                left -= len(some)
                yield some
        finally:
            file.close()

    return StreamingResponse(content(), status, headers, kind)


def _remove(made: tuple[File, str]) -> None:
    """A clip that nobody waited for."""
    shutil.rmtree(made[0].parent, ignore_errors=True)
