"""Hits that somebody gathered: as lists for editors and spreadsheets, or cut out as files."""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path as File
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from vsr_edge.errors import UsageError
from vsr_edge.hits.cuts import Hit, cut_hits, targets_of
from vsr_edge.hits.listed import listed
from vsr_edge.hits.lists import lists
from vsr_edge.server.asking import Body, Number, Sentence, SpanOf, described, read_body
from vsr_edge.server.caller import needs, served_by, with_body
from vsr_edge.server.media_routes import MOST_CLIP_SECONDS, unchanged
from vsr_edge.server.pool import Ticket
from vsr_edge.server.refusals import Refused
from vsr_edge.server.search_routes import gone

router = APIRouter(tags=["hits"])
MOST_LISTED, MOST_CUT = 200, 20
ZIP = "application/zip"
_KINDS = {".csv": "text/csv; charset=utf-8", ".otio": "application/json"}


class GatheredHit(SpanOf):
    """A moment of an earlier answer, and what it shows."""

    label: Sentence = ""
    score: Number | None = None
    match_probability: Annotated[float, Field(ge=0, le=1)] | None = None


Pad = Annotated[float, Field(ge=0, le=60, description="Seconds more on both sides.")]


class ListRequest(Body):
    """Which hits to list, and for whom."""

    hits: list[GatheredHit] = Field(min_length=1, max_length=MOST_LISTED)
    format: Literal["edl", "csv", "m3u", "otio", "fcpxml", "chapters"]
    title: Sentence = "hits"
    pad: Pad = 0.0


class CutRequest(Body):
    """Which hits to cut out, at most five minutes long together."""

    hits: list[GatheredHit] = Field(min_length=1, max_length=MOST_CUT)
    pad: Pad = 0.0


BODIES: tuple[type[Body], ...] = (ListRequest, CutRequest)


@router.post(
    "/v1/list",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}, "text/csv": {}, ZIP: {}}}},
    **with_body(needs("search"), described(ListRequest)),
)
async def list_hits(request: Request) -> Response:
    """Hits as a list, as `search --format` writes it; a ZIP where one file cannot hold them all."""
    served = served_by(request)
    asked = await read_body(request, ListRequest)

    def work(_: Ticket) -> dict[str, str]:
        archive = served.opened()
        known = archive.store.videos_of({hit.video for hit in asked.hits})
        hits = _hits(asked.hits, {number: one.video.path for number, one in known.items()})
        videos = {one.video.path: one.video for one in known.values()}
        return lists(listed(hits, videos, asked.pad), asked.format, asked.title or "hits")

    made = await served.pictures.submit(work).result(gone(request))
    if len(made) == 1:
        ((name, text),) = made.items()
        kind = _KINDS.get(File(name).suffix, "text/plain; charset=utf-8")
        return _attached(text.encode("utf-8", "surrogateescape"), kind, name)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in made.items():
            archive.writestr(name, text.encode("utf-8", "surrogateescape"))
    return _attached(packed.getvalue(), ZIP, f"{asked.format}.zip")


@router.post(
    "/v1/cut",
    response_class=Response,
    responses={200: {"content": {ZIP: {}}}},
    **with_body(needs("media"), described(CutRequest)),
)
async def cut(request: Request) -> Response:
    """Hits as MP4 files, exact to the frame, in a ZIP; those that cannot be cut are named in its
    `failed.txt`.
    """
    served = served_by(request)
    asked = await read_body(request, CutRequest)
    # Together they keep others waiting no longer than one clip may. A span that cannot be takes
    # nothing off the rest: it is refused below.
    if sum(max(one.end - one.start, 0) + 2 * asked.pad for one in asked.hits) > MOST_CLIP_SECONDS:
        raise Refused(
            422, "UsageError", f"clips have at most {MOST_CLIP_SECONDS:g} s together: ask for some"
        )

    def work(ticket: Ticket) -> File:
        archive = served.opened()
        paths = {hit.video: unchanged(archive, hit.video).video.path for hit in asked.hits}
        hits = _hits(asked.hits, paths)
        folder = File(tempfile.mkdtemp(prefix="vsr-edge-cut-"))
        try:
            target = folder / "clips.zip"
            clips = targets_of(hits, folder / "clips", pad=asked.pad)
            failed: list[tuple[File, str]] = []
            with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:
                for hit, clip in zip(hits, clips, strict=True):
                    done = cut_hits(
                        [hit],
                        [clip],
                        pad=asked.pad,
                        threads=archive.settings.threads,
                        on_done=lambda *_: ticket.check(),
                    )
                    failed += done.failed
                    for one in done.cuts:
                        packed.write(one.trimmed.path, one.trimmed.path.name)
                        one.trimmed.path.unlink()
                if failed:
                    lines = [f"{path.name}: {reason}" for path, reason in failed]
                    text = "\n".join(lines).encode("utf-8", "backslashreplace")
                    packed.writestr("failed.txt", text)
            return target
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    running = served.clips.submit(work)
    running.at_end(lambda made: shutil.rmtree(made.parent, ignore_errors=True))
    target = await running.result(gone(request))
    return FileResponse(
        target,
        media_type=ZIP,
        filename=target.name,
        background=BackgroundTask(shutil.rmtree, target.parent, ignore_errors=True),
    )


def _hits(gathered: list[GatheredHit], paths: Mapping[int, File]) -> list[Hit]:
    """Numbered in the order in which they were sent.

    Raises:
        UsageError: a video that is not there, or a span that cannot be.
    """
    found = []
    for number, one in enumerate(gathered, 1):
        path = paths.get(one.video)
        if path is None:
            raise UsageError(f"there is no video {one.video}: /v1/videos lists them")
        if one.end <= one.start:
            raise UsageError(f"a moment from {one.start:g} to {one.end:g} s cannot be")
        label = one.label or path.name
        found.append(Hit(number, path, one.start, one.end, label, one.score, one.match_probability))
    return found


def _attached(content: bytes, kind: str, name: str) -> Response:
    # `lists` makes plain names, but for letters of all alphabets.
    from urllib.parse import quote

    named = f"attachment; filename*=utf-8''{quote(name, errors='surrogateescape')}"
    return Response(content, media_type=kind, headers={"Content-Disposition": named})
