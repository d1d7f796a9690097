"""What is kept of searches: receipts, saved searches, alerts that fired; and how a video compares
with a query from beginning to end.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path as File
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import numpy as np
from fastapi import APIRouter, Path
from pydantic import BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from vsr_edge.document_hits import AlertDocument
from vsr_edge.document_parts import Document, Part, Text, schema
from vsr_edge.document_served import RelevanceDocument, StandingAlert
from vsr_edge.documents import ReceiptDocument, SavedForgetDocument
from vsr_edge.errors import UsageError
from vsr_edge.hits.receipt import with_receipt
from vsr_edge.hits.saved import (
    Filters,
    filters_of,
    forget_search,
    save_search,
    saved_searches,
)
from vsr_edge.query import Place, Query, SearchOptions
from vsr_edge.search.candidates import Asked
from vsr_edge.server.asking import Body, Search, SearchRequest, described, read_body
from vsr_edge.server.caller import needs, served_by, with_body
from vsr_edge.server.media_routes import VideoId
from vsr_edge.server.pool import Ticket
from vsr_edge.server.refusals import JsonDocument, Refused
from vsr_edge.server.search_routes import gone
from vsr_edge.types import StoredVideo
from vsr_edge.watch.fired import last_fired, standing_alerts

if TYPE_CHECKING:
    from vsr_edge.archive import Archive

router = APIRouter(tags=["search"])
MOST_POINTS = 600
Name = Annotated[str, Path(max_length=200)]
Kept = TypeVar("Kept", bound=BaseModel)


class SaveRequest(Body):
    """A search to keep, under a name: what is asked, and of which footage; how it is searched and
    how much is shown is said anew each time.
    """

    name: Annotated[str, Field(max_length=200)]
    search: SearchRequest


BODIES: tuple[type[Body], ...] = (SaveRequest,)


class ServedSaved(Part):
    """A saved search, and how it is asked here; null where it names what this archive lacks."""

    name: Text
    saved_at: Text
    query: Text | None
    footage: Text = Field(description="The filters in one line; empty without any.")
    search: dict[str, Any] | None = Field(description="For /v1/search.")
    problem: Text | None


class ServedSavedDocument(Document):
    """The saved searches of an archive."""

    schema_: Literal["vsr-edge/served-saved/1"] = schema("vsr-edge/served-saved/1")
    saved: list[ServedSaved]


class ServedAlert(AlertDocument):
    """An alert, and by which id its video is asked for; null where it was forgotten."""

    video_id: int | None = None


class ServedAlertsDocument(Document):
    """The alerts that `watch` stands for, and the last ones that fired, the newest first."""

    schema_: Literal["vsr-edge/served-alerts/1"] = schema("vsr-edge/served-alerts/1")
    standing: list[StandingAlert]
    alerts: list[ServedAlert]


@router.post(
    "/v1/videos/{video_id}/relevance",
    response_model=RelevanceDocument,
    **with_body(needs("search"), described(SearchRequest)),
)
async def relevance(request: Request, video_id: VideoId) -> Response:
    """How much each frame of a video looks like a query, beside what is usual in the archive."""
    served = served_by(request)
    wanted = Search(await read_body(request, SearchRequest), None)

    def work(ticket: Ticket) -> RelevanceDocument:
        archive = served.opened()
        with archive.store.reading():
            if video_id not in archive.store.videos_of([video_id]):
                raise Refused(404, "NotFound", f"there is no video {video_id}")
            query = wanted.query(archive)
            asked = Asked(archive.store, archive.bundle, query, SearchOptions())
            ticket.check()
            frames = archive.store.frames(video_id)
            ticket.check()
            usual = archive.store.sample(4096).astype(np.float32) @ asked.vector
        scores = frames.vectors.astype(np.float32) @ asked.vector
        spread = max(float(usual.std()), 1e-6)
        above = (scores - float(usual.mean())) / spread
        # Of a long video the highest of each stretch: a peak is what is looked for.
        starts = np.linspace(0, len(above), min(len(above), MOST_POINTS) + 1).astype(int)[:-1]
        return RelevanceDocument(
            times=[float(t) for t in frames.times[starts]] if len(above) else [],
            above=[round(float(v), 3) for v in np.maximum.reduceat(above, starts)]
            if len(above)
            else [],
        )

    return JsonDocument(await served.searches.submit(work).result(gone(request)))


@router.post(
    "/v1/receipt",
    response_model=ReceiptDocument,
    **with_body(needs("search"), described(SearchRequest)),
)
async def receipt(request: Request) -> Response:
    """Search, and what was looked through, how, and what came of it, as `search --receipt` has it.
    Of words alone, with or without filters and parts.
    """
    served = served_by(request)
    wanted = Search(await read_body(request, SearchRequest), None)

    def work(ticket: Ticket) -> dict[str, Any]:
        archive = served.opened()
        sentence = wanted.query(archive).sentence
        if sentence is None:
            raise UsageError("a receipt is of words alone: leave out pictures, not, good and bad")
        options = wanted.options(archive, max(ticket.remaining, 1e-3))
        found = with_receipt(
            archive,
            sentence,
            # A limit that nobody asked for is no part of what was asked.
            replace(options, max_ms=wanted.asked.max_ms),
            most_ms=options.max_ms,
            on_turn=lambda _: ticket.check(),
        )[1]
        if not ticket.remaining:
            raise Refused(
                503,
                "OutOfTime",
                f"no receipt of a search that {served.searches.seconds:g} s may have cut short: "
                "ask for fewer turns or candidates, or of fewer videos, or let the server have "
                "more --max-seconds",
            )
        return found

    found = await served.searches.submit(work).result(gone(request))
    headers = {"Content-Disposition": 'attachment; filename="receipt.json"'}
    return JsonDocument(found, headers=headers)


@router.get("/v1/saved", response_model=ServedSavedDocument, **needs("search"))
def saved(request: Request) -> Response:
    """The saved searches, by name."""
    archive = served_by(request).opened()
    rows = [
        ServedSaved(
            name=one.name,
            saved_at=one.saved_at,
            query=None if one.query is None else one.query.shown,
            footage=one.footage,
            search=None if one.query is None else _request_of(archive, one.query, one.filters),
            problem=one.problem,
        )
        for one in saved_searches(archive.settings.archive)
    ]
    return JsonDocument(ServedSavedDocument(saved=rows))


@router.post(
    "/v1/saved",
    response_model=ServedSavedDocument,
    status_code=201,
    **with_body(needs("search"), described(SaveRequest)),
)
async def save(request: Request) -> Response:
    """Save a search under a name, in place of one that was called so."""
    asked = await read_body(request, SaveRequest)

    def work() -> Response:
        archive, what = served_by(request).opened(), asked.search
        query = Search(what, None).query(archive)
        if what.text or what.then or what.and_ or what.without:
            raise UsageError(
                "a search that is saved is one sentence, with pictures, feedback and filters: "
                "leave out its parts, and text"
            )
        filters = filters_of(archive, what.model_dump())
        save_search(archive.settings.archive, asked.name, query, filters)
        return saved(request)

    response = await run_in_threadpool(work)
    response.status_code = 201
    return response


@router.delete("/v1/saved/{name}", response_model=SavedForgetDocument, **needs("search"))
def forget(request: Request, name: Name) -> Response:
    """Forget a saved search."""
    forget_search(served_by(request).opened().settings.archive, name)
    return JsonDocument(SavedForgetDocument(forgotten=[name]))


@router.get("/v1/alerts", response_model=ServedAlertsDocument, **needs("search"))
def alerts(request: Request) -> Response:
    """The standing queries of the last `watch`, and the last alerts that fired."""
    archive = served_by(request).opened()
    folder = archive.settings.archive
    ids: dict[str, int | None] = {}
    told = _known(ServedAlert, last_fired(folder))
    for alert in told:
        if alert.video not in ids:
            stored = archive.store.find(File(alert.video))
            ids[alert.video] = None if stored is None else stored.video_id
        alert.video_id = ids[alert.video]
    standing = _known(StandingAlert, standing_alerts(folder))
    return JsonDocument(ServedAlertsDocument(standing=standing, alerts=told))


def _known(kind: type[Kept], kept: Iterable[dict[str, Any]]) -> list[Kept]:
    """What this version knows of what was kept; what is of another one is passed over."""
    found = []
    for one in kept:
        with suppress(ValidationError):
            found.append(kind.model_validate(one))
    return found


def _request_of(archive: Archive, query: Query, filters: Filters) -> dict[str, Any] | None:
    """As it is asked here; None if it names a photo, or a video that is not there."""
    like = query.like
    found: dict[str, Any] = dict(filters)
    if like is not None:
        if not isinstance(like, Place) or (video := _video(archive, like)) is None:
            return None
        found["like"] = {"video": video.video_id, "at": like.start}
    for name in ("good", "bad"):
        places = [(_video(archive, place), place) for place in getattr(query, name)]
        found[name] = [
            {"video": video.video_id, "start": place.start, "end": place.end}
            for video, place in places
            if video is not None
        ]
    about = {"query": query.text, "not": query.against, "weight": query.weight}
    return {name: value for name, value in (about | found).items() if value}


def _video(archive: Archive, place: Place) -> StoredVideo | None:
    if place.fingerprint is not None:
        same = archive.store.find_fingerprint(place.fingerprint)
        return same[0] if same else None
    return archive.store.find(File(place.video))
