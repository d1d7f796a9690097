"""Who sends a request, and whether they may: by token, by session, or because nobody need say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import Depends
from starlette.requests import Request

from vsr_edge.server.access import Entry
from vsr_edge.server.guard import SAFE
from vsr_edge.server.refusals import Refused
from vsr_edge.server.sessions import COOKIE, CSRF_HEADER, Session, is_csrf_of

if TYPE_CHECKING:
    from vsr_edge.server.served import Served

# As OpenAPI names the ways in.
SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "vsr-edge serve add-token"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": f"POST /v1/login; what is posted or deleted also needs {CSRF_HEADER}.",
    },
}


def served_by(request: Request) -> Served:
    """What the application of a request serves."""
    served: Served = request.app.state.served
    return served


def needs(scope: str | None) -> dict[str, Any]:
    """For a route: whoever asks must be known, and with a scope have that one."""

    # It waits for nothing, so that no thread need take it over.
    async def check(request: Request) -> None:
        _admit(request, scope)

    ways = [{name: [scope] if scope else []} for name in SCHEMES]
    return {"dependencies": [Depends(check)], "openapi_extra": {"security": ways}}


def open_to_all() -> dict[str, Any]:
    """For a route that says nothing about the archive."""
    return {"openapi_extra": {"security": []}}


def with_body(route: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """A route as :func:`needs` says, with what OpenAPI is to say of its body."""
    extra = route["openapi_extra"] | {"requestBody": {"required": True, "content": body}}
    return route | {"openapi_extra": extra}


def session_of(request: Request) -> Session | None:
    """The log-in that a request belongs to, if its user is still known with that password."""
    return served_by(request).sessions.find(request.cookies.get(COOKIE, ""))


def is_known(request: Request) -> bool:
    """Whether whoever asks may look at the page."""
    try:
        _admit(request, None)
    except Refused:
        return False
    return True


def _admit(request: Request, scope: str | None) -> None:
    served = served_by(request)
    said = request.headers.get("authorization")
    if said is not None:
        entry = _by_token(served, said)
    elif (session := session_of(request)) is not None:
        entry = session.entry
        if request.method not in SAFE and not _says_csrf(request, session):
            raise Refused(403, "NoCsrfToken", f"send the header {CSRF_HEADER} of the log-in")
    elif served.locked or served.access.entries():
        raise _unknown("log in, or send a token: Authorization: Bearer TOKEN")
    else:
        return
    request.state.who = entry.name
    if scope is not None and scope not in entry.scopes:
        raise Refused(403, "OutOfScope", f"{entry.name} has no leave for this: it needs {scope}")


def _by_token(served: Served, said: str) -> Entry:
    scheme, _, secret = said.partition(" ")
    entry = served.access.by_token(secret.strip()) if scheme.lower() == "bearer" else None
    if entry is None:
        raise _unknown("nobody has this token")
    if entry.expired:
        raise _unknown(f"the token of {entry.name} is expired: make another one")
    return entry


def _says_csrf(request: Request, session: Session) -> bool:
    return is_csrf_of(session, request.headers.get(CSRF_HEADER, ""))


def _unknown(message: str) -> Refused:
    return Refused(401, "Unauthorized", message, {"WWW-Authenticate": "Bearer"})
