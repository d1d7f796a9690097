"""Routes about the server itself, and logging in."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from vsr_edge.documents import HealthDocument, SessionDocument, StatsDocument
from vsr_edge.errors import VsrEdgeError
from vsr_edge.server.access import Entry
from vsr_edge.server.asking import LoginRequest, described, read_body
from vsr_edge.server.caller import needs, open_to_all, served_by, session_of, with_body
from vsr_edge.server.pool import Ticket
from vsr_edge.server.refusals import JsonDocument, Refused
from vsr_edge.server.search_routes import gone
from vsr_edge.server.sessions import COOKIE, LASTS_SECONDS, Session

router = APIRouter(tags=["server"])


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", response_model=HealthDocument, **open_to_all())
async def healthz() -> Response:
    """Whether the process answers."""
    return JsonDocument(HealthDocument(ok=True, reasons=[]))


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", response_model=HealthDocument, **open_to_all())
def readyz(request: Request) -> Response:
    """Whether searches can be answered; 503 where not. Why not, is in the log."""
    served = served_by(request)
    reasons = ["the server is stopping"] if served.stopping else []
    try:
        served.opened()
    except VsrEdgeError as error:
        reasons.append(f"the archive cannot be searched ({type(error).__name__})")
    document = HealthDocument(ok=not reasons, reasons=reasons)
    return JsonDocument(document, 503 if reasons else 200)


@router.get("/metrics", response_class=Response, **needs(None))
async def metrics(request: Request) -> Response:
    """What Prometheus collects."""
    text = served_by(request).metrics.text()
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/v1/stats", response_model=StatsDocument, **needs("search"))
def stats(request: Request) -> Response:
    """How much is indexed, and what it takes on disk."""
    archive = served_by(request).opened()
    return JsonDocument(StatsDocument.of(archive.stats(), archive.settings.place))


@router.post(
    "/v1/login", response_model=SessionDocument, **with_body(open_to_all(), described(LoginRequest))
)
async def login(request: Request) -> Response:
    """Begin a session: its cookie is set; what is posted with it needs the document's `csrf`."""
    served = served_by(request)
    said = await read_body(request, LoginRequest)
    address = request.client.host if request.client else ""

    def work(_: Ticket) -> Entry:
        served.failures.check(address, said.name)
        entry = served.access.by_password(said.name, said.password)
        if entry is None:
            served.failures.count(address, said.name)
            raise Refused(401, "Unauthorized", "no user has this name and password")
        return entry

    entry = await served.logins.submit(work).result(gone(request))
    request.state.who = entry.name
    cookie, session = served.sessions.begin(entry)
    response = _document(session)
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=LASTS_SECONDS,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


@router.get("/v1/session", response_model=SessionDocument, **needs(None))
async def session(request: Request) -> Response:
    """Who is logged in by the cookie."""
    found = session_of(request)
    if found is None:
        raise Refused(404, "NoSession", "nobody is logged in by a cookie")
    return _document(found)


@router.delete("/v1/session", status_code=204, response_class=Response, **needs(None))
async def logout(request: Request) -> Response:
    """End the session of the cookie."""
    served_by(request).sessions.end(request.cookies.get(COOKIE, ""))
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="lax")
    return response


def session_document(session: Session) -> SessionDocument:
    """What whoever is logged in is told of it."""
    entry = session.entry
    scopes, csrf = list(entry.scopes), session.csrf
    return SessionDocument(
        name=entry.name, scopes=scopes, csrf=csrf, expires=round(session.expires, 3)
    )


def _document(session: Session) -> JsonDocument:
    return JsonDocument(session_document(session), headers={"Cache-Control": "no-store"})
