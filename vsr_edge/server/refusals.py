"""What a request is refused with: the error document of the command line, and an HTTP status."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import BaseRoute, Match

from vsr_edge.document_parts import Document
from vsr_edge.documents import ErrorDocument
from vsr_edge.errors import (
    ArchiveLocked,
    ArchiveNotFound,
    BundleMismatch,
    MediaError,
    MediaUnavailable,
    UsageError,
    VsrEdgeError,
    wanted_memory,
)

# As the command line ends.
EXIT_ERROR, EXIT_USAGE = 1, 2
# The first that an error is one of counts.
STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (UsageError, 400),
    (ArchiveNotFound, 404),
    (BundleMismatch, 409),
    (ArchiveLocked, 503),
    (MediaUnavailable, 503),
    (MediaError, 422),
    (VsrEdgeError, 500),
)
_KINDS = {404: "NotFound", 405: "MethodNotAllowed"}

log = logging.getLogger("vsr_edge.server")


class Left(Exception):
    """Nobody waits for the answer any more."""


class Refused(HTTPException):
    """A request that is not served; ``kind`` is the document's."""

    def __init__(
        self, status: int, kind: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, message, dict(headers) if headers else None)
        self.kind = kind
        self.message = message


def busy(what: str, seconds: float) -> Refused:
    """Too much is asked at once; whoever comes back after ``seconds`` may be served."""
    wait = max(1, round(seconds))
    message = f"{what}: try again in {wait} s"
    return Refused(429, "Busy", message, {"Retry-After": str(wait)})


class JsonDocument(Response):
    """A document as the command line prints it: file names that are no UTF-8 are escaped."""

    media_type = "application/json"

    def render(self, content: Document | Mapping[str, Any]) -> bytes:
        values = content.model_dump(by_alias=True) if isinstance(content, Document) else content
        return json.dumps(values).encode("ascii")


def error_document(error: Exception) -> tuple[int, ErrorDocument, dict[str, str]]:
    """Status, document and headers of an error."""
    if isinstance(error, HTTPException):
        kind = getattr(error, "kind", None) or _KINDS.get(error.status_code, "HttpError")
        code = EXIT_USAGE if error.status_code < 500 else EXIT_ERROR
        said = _document(kind, str(error.detail), code)
        return error.status_code, said, dict(error.headers or {})
    if isinstance(error, Left | ClientDisconnect):  # as nginx calls it; it is read in the log alone
        return 499, _document("Left", "the client has left", EXIT_ERROR), {}
    if isinstance(error, RequestValidationError):
        return 422, _document("UsageError", "; ".join(map(_said, error.errors())), EXIT_USAGE), {}
    for kind_of, status in STATUSES:
        if isinstance(error, kind_of):
            code = EXIT_USAGE if status == 400 else EXIT_ERROR
            headers = {"Retry-After": "5"} if status == 503 else {}
            return status, _document(type(error).__name__, str(error), code), headers
    if wanted_memory(error):
        message = "there is not enough memory: ask for less, or for less at once"
        return 503, _document("MemoryError", message, EXIT_ERROR), {"Retry-After": "5"}
    if isinstance(error, OSError):
        reason = error.strerror or type(error).__name__
        return 500, _document("OSError", f"the system refuses it ({reason})", EXIT_ERROR), {}
    message = "something went wrong that nobody expected: the server's log says what"
    return 500, _document("InternalError", message, EXIT_ERROR), {}


def refusal(error: Exception) -> Response:
    """The response to a request that an error ended."""
    status, document, headers = error_document(error)
    if document.kind == "InternalError":
        log.error("unexpected error", exc_info=error)
    return JsonDocument(document, status, headers)


def answer_errors(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Every error of a route becomes a document."""

    async def answer(request: Request, error: Exception) -> Response:
        response = refusal(error)
        if response.status_code == 405:  # the first route of a path knows its own methods alone
            response.headers["Allow"] = ", ".join(_methods(routes, request))
        return response

    left = (Left, ClientDisconnect)
    for kind in (HTTPException, RequestValidationError, VsrEdgeError, *left, OSError, Exception):
        app.add_exception_handler(kind, answer)


def _methods(routes: Sequence[BaseRoute], request: Request) -> list[str]:
    """What the path of a request may be asked with."""
    found: set[str] = set()
    for route in routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            found |= getattr(route, "methods", None) or set()
    return sorted(found)


def _document(kind: str, message: str, exit_code: int) -> ErrorDocument:
    return ErrorDocument(kind=kind, message=message, exit_code=exit_code)


def _said(problem: Mapping[str, Any]) -> str:
    """One of pydantic's problems: where, and what. What was given is not repeated."""
    place = ".".join(map(str, problem["loc"][1:]))  # after "body", "query" or "path"
    return f"{place or 'the request'}: {problem['msg']}"
