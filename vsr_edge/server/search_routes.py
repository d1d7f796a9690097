"""`POST /v1/search`: the answer of the command line, whole or turn by turn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from vsr_edge import document_parts as parts
from vsr_edge.answer import Turn
from vsr_edge.documents import SearchDocument
from vsr_edge.server.asking import FORM, SEARCH_FORM, Search, SearchRequest, described
from vsr_edge.server.caller import needs, served_by, with_body
from vsr_edge.server.pool import Running, Ticket
from vsr_edge.server.refusals import JsonDocument, Left, error_document

router = APIRouter(tags=["search"])
EVENTS = "text/event-stream"


class ServedMoment(parts.Moment):
    """A moment, and by which id its video is asked for."""

    video_id: int = Field(description="As /v1/videos lists it.")


class ServedAnswer(SearchDocument):
    """The answer of `search`, each moment with the id of its video."""

    moments: list[ServedMoment]  # type: ignore[assignment]


@router.post(
    "/v1/search",
    response_model=ServedAnswer,
    **with_body(needs("search"), {**described(SearchRequest), FORM: {"schema": SEARCH_FORM}}),
)
async def search(request: Request) -> Response:
    """Find the moments that match a sentence or look like a picture, or learn that there are none.

    With `Accept: text/event-stream` each turn of the search is an event as soon as it is over, then
    comes the answer: events `turn`, `answer`, or `error`.
    """
    served = served_by(request)
    wanted = await Search.read(request)
    if served.options.log_queries:
        request.state.query = wanted.asked.query
    streams = EVENTS in request.headers.get("accept", "")
    loop, turns = asyncio.get_running_loop(), asyncio.Queue[Turn | None]()

    def work(ticket: Ticket) -> ServedAnswer:
        archive = served.opened()
        query = wanted.query(archive)
        # Nobody is made to wait longer than the loop may go on.
        options = wanted.options(archive, max(ticket.remaining, 1e-3))

        def tell(turn: Turn) -> None:
            ticket.check()
            if streams:
                with suppress(RuntimeError):  # the server stopped
                    loop.call_soon_threadsafe(turns.put_nowait, turn)

        found = archive.search(query, options, on_turn=tell)
        served.metrics.verdicts.labels(found.verdict.decision).inc()
        return ServedAnswer.of(found, archive, trace=wanted.asked.trace)

    running = served.searches.submit(work)
    if not streams:
        return JsonDocument(await running.result(gone(request)))
    answer = asyncio.ensure_future(running.result(gone(request)))
    answer.add_done_callback(lambda _: turns.put_nowait(None))
    first = await turns.get()
    if first is None and answer.exception() is not None:
        answer.result()  # an error before anything was said is one like any other
    kind = parts.TracedTurn if wanted.asked.trace else parts.Turn
    return StreamingResponse(_events(first, turns, answer, running, kind), media_type=EVENTS)


async def _events(
    turn: Turn | None,
    turns: asyncio.Queue[Turn | None],
    answer: asyncio.Future[ServedAnswer],
    running: Running[ServedAnswer],
    kind: type[parts.Turn],
) -> AsyncIterator[bytes]:
    try:
        while turn is not None:
            yield _event("turn", kind.model_validate(turn).model_dump(by_alias=True))
            turn = await turns.get()
        try:
            yield _event("answer", answer.result().model_dump(by_alias=True))
        except Left:
            return
        except Exception as error:
            _, document, _ = error_document(error)
            yield _event("error", document.model_dump(by_alias=True))
    finally:
        running.drop()


def _event(name: str, values: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(values)}\n\n".encode("ascii")


async def gone(request: Request) -> None:
    """Until the client has left; its request must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
