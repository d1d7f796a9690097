"""The page: templates and scripts for browsers, all of them files of ours in `page/`. They hold
nothing of the archive; what a browser shows of that, its scripts ask the routes for.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fastapi import APIRouter
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from vsr_edge.server.caller import is_known, needs, open_to_all, session_of
from vsr_edge.server.refusals import JsonDocument, Refused
from vsr_edge.server.state_routes import session_document

router = APIRouter(include_in_schema=False)
FOLDER = Path(__file__).with_name("page")
# By path; each has a template and a script of the name.
PAGES = {"/": "search", "/videos": "videos", "/standing": "standing", "/jobs": "jobs"}
_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def _page_at(path: str, name: str) -> None:
    @router.head(path, **open_to_all())
    @router.get(path, response_class=HTMLResponse, **open_to_all())
    def page(request: Request) -> Response:
        if not is_known(request):
            return RedirectResponse(f"/login?next={path}", 303)
        return _shown(name)


for _path, _name in PAGES.items():
    _page_at(_path, _name)


@router.head("/login", **open_to_all())
@router.get("/login", response_class=HTMLResponse, **open_to_all())
def login_page() -> Response:
    return _shown("login")


@router.get("/page/session", **needs(None))
def page_session(request: Request) -> Response:
    """Who is logged in, if anybody need be: to ask is no error."""
    session = session_of(request)
    found = None if session is None else session_document(session).model_dump(by_alias=True)
    return JsonDocument({"session": found}, headers={"Cache-Control": "no-store"})


@router.head("/page/{name}", **open_to_all())
@router.get("/page/{name}", response_class=Response, **open_to_all())
def page_file(request: Request, name: str) -> Response:
    """A script, the style, or the icon."""
    found = _files().get(name)
    if found is None:
        raise Refused(404, "NotFound", "there is no such file of the page")
    content, kind, tag = found
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=kind)


def _shown(name: str) -> Response:
    return HTMLResponse(_rendered(name), headers={"Cache-Control": "no-store"})


@cache
def _rendered(name: str) -> str:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    texts = _texts()
    return environment.get_template(f"{name}.html").render(
        name=name, pages=PAGES, t=SimpleNamespace(**texts["page"]), keys=texts["keys"]
    )


@cache
def _texts() -> dict[str, Any]:
    """Every sentence of the page."""
    return tomllib.loads((FOLDER / "texts.toml").read_text("utf-8"))


@cache
def _files() -> dict[str, tuple[bytes, str, str]]:
    """What may be asked for by name: its bytes, kind and tag."""
    found = {
        file.name: (file.read_bytes(), _KINDS[file.suffix])
        for file in FOLDER.iterdir()
        if file.suffix in _KINDS
    }
    said = f"export default {json.dumps(_texts()['script'])};\n"
    found["texts.js"] = said.encode("ascii"), _KINDS[".js"]
    return {
        name: (content, kind, f'"{hashlib.sha256(content).hexdigest()[:16]}"')
        for name, (content, kind) in found.items()
    }
