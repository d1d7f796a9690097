"""The application: its routes, its errors, what it says of itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from vsr_edge.documents import ErrorDocument
from vsr_edge.server import (
    basket_routes,
    index_routes,
    kept_routes,
    media_routes,
    page_routes,
    search_routes,
    state_routes,
)
from vsr_edge.server.asking import BODIES
from vsr_edge.server.caller import SCHEMES, needs
from vsr_edge.server.docs_page import docs_page
from vsr_edge.server.guard import Guard
from vsr_edge.server.refusals import JsonDocument, answer_errors
from vsr_edge.server.served import Served

ROUTERS = (
    search_routes.router,
    kept_routes.router,
    basket_routes.router,
    media_routes.router,
    index_routes.router,
    state_routes.router,
    page_routes.router,
)
_REF = "#/components/schemas/{model}"


def make_application(served: Served) -> Guard:
    """The application that serves an archive, behind its guard."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        served.jobs.begin()
        try:
            yield
        finally:
            served.close()

    app = FastAPI(
        title="vsr-edge",
        version=version("vsr-edge"),
        description="Search a private video archive. Errors are documents vsr-edge/error/1.",
        lifespan=lifespan,
        # Theirs load scripts from elsewhere, and ask nobody who they are.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.served = served
    for router in ROUTERS:
        app.include_router(router)
    _describe(app)
    # The application may keep its routers as they are, or their routes alone.
    answer_errors(app, [*app.routes, *(route for router in ROUTERS for route in router.routes)])
    return Guard(app, served)


def _describe(app: FastAPI) -> None:
    known: dict[str, Any] = {}

    def described() -> dict[str, Any]:
        if not known:
            known.update(_openapi(app))
        return known

    @app.get("/openapi.json", include_in_schema=True, tags=["server"], **needs(None))
    async def openapi() -> Response:
        """This description of the routes."""
        return JsonDocument(described())

    @app.head("/docs", include_in_schema=False, **needs(None))
    @app.get("/docs", response_class=HTMLResponse, tags=["server"], **needs(None))
    async def docs(_: Request) -> Response:
        """The same, for people."""
        return HTMLResponse(docs_page(described()))

    app.openapi = described  # type: ignore[method-assign]


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's description, with what it cannot know: bodies, errors, the ways in."""
    found: dict[str, Any] = FastAPI.openapi(app)
    components = found.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    models: tuple[type[BaseModel], ...] = (
        *(*BODIES, *kept_routes.BODIES, *basket_routes.BODIES),
        ErrorDocument,
    )
    for model in models:
        schema = model.model_json_schema(ref_template=_REF)
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    components["securitySchemes"] = SCHEMES
    error = {"$ref": _REF.format(model=ErrorDocument.__name__)}
    refused = {"description": "Refused.", "content": {"application/json": {"schema": error}}}
    for operations in found["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = refused
    return found
