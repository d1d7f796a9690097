"""The commands of the HTTP service: `serve`, and who may come in."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vsr_edge.cli.console import answer, opened_archive, say
from vsr_edge.cli.options import App, ArchiveOption, JsonOption, ModelOptions, argument, option
from vsr_edge.cli.tables import Column, Table, print_tables
from vsr_edge.errors import UsageError

if TYPE_CHECKING:
    from vsr_edge.config import Settings
    from vsr_edge.server.access import AccessFile

serve_app = App()

ScopeOption = Annotated[
    list[str] | None,
    option("What for: search, media or index. Repeatable. \\[default: search, media]", "--scope"),
]
NameArgument = Annotated[str, argument("Of the user, or the token.")]


@serve_app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    *,
    archive: ArchiveOption = None,
    host: Annotated[str, option("Address to listen on; 0.0.0.0 is all.")] = "127.0.0.1",
    port: Annotated[int, option("Port to listen on.", min=0, max=65535)] = 8200,
    workers: Annotated[
        int | None, option("Searches at once. \\[default: threads to use]", min=1, max=64)
    ] = None,
    queue: Annotated[int, option("More searches that may wait.", min=0, max=10_000)] = 32,
    max_seconds: Annotated[
        float, option("No search begins a turn after so long.", min=0.1, max=3600)
    ] = 30.0,
    certfile: Annotated[Path | None, option("TLS certificate, PEM.", readable=False)] = None,
    keyfile: Annotated[Path | None, option("Its key, PEM.", readable=False)] = None,
    roots: Annotated[
        list[Path] | None,
        option("Folder below which files may be indexed. Repeatable.", readable=False),
    ] = None,
    allow_host: Annotated[
        list[str] | None, option("Another name of this server. Repeatable.", metavar="NAME")
    ] = None,
    log_json: Annotated[bool, option("Log JSON lines.", "--log-json")] = False,
    log_queries: Annotated[bool, option("Log what is asked, too.", "--log-queries")] = False,
    insecure: Annotated[
        bool, option("Serve to anybody, on the network too.", "--insecure")
    ] = False,
    models: ModelOptions,
) -> None:
    """Serve the archive over HTTP: search, pictures, clips, indexing, as docs/serve.md says.

    On an address that others reach it starts only when somebody was let in with `add-user` or
    `add-token`. SIGTERM ends it within five seconds: requests in hand are answered first.

    Example: [bold]vsr-edge serve --port 8200 --roots /srv/cctv[/bold]
    """
    if context.invoked_subcommand is not None:
        return
    need_extra()
    from vsr_edge.server.served import ServeOptions
    from vsr_edge.server.serving import end_in_time, prepare
    from vsr_edge.server.serving import serve as run

    options = ServeOptions(
        *(host, port, workers or 0, queue, max_seconds, certfile, keyfile),
        roots=tuple(roots or ()),
        log_json=log_json,
        log_queries=log_queries,
        insecure=insecure,
        allow_hosts=tuple(allow_host or ()),
    )
    with opened_archive(archive, **asdict(models)) as opened:
        served = prepare(opened, options)
        scheme = "http" if certfile is None else "https"
        shown = f"[{host}]" if ":" in host else host
        guarded = "" if served.locked else ", open to anybody who reaches it"

        def started(port: int) -> None:
            say(f"serving {opened.settings.place} at {scheme}://{shown}:{port}{guarded}")

        def stopping() -> None:
            say("told to end: requests in hand are answered, jobs go on at the next start")
            end_in_time()

        run(served, started, stopping)
    sys.stderr.flush()
    # What threads still do, as a clip that nobody waits for, is not waited for.
    os._exit(0)


@serve_app.command("add-user")
def add_user(
    name: NameArgument,
    *,
    archive: ArchiveOption = None,
    scope: ScopeOption = None,
    json_output: JsonOption = False,
) -> None:
    """Let a user in, or change the password, which is asked for; of a pipe it is the first line.

    Example: [bold]vsr-edge serve add-user anna --scope search --scope media[/bold]
    """
    access = _access(archive)
    added = access.add_user(name, _password(), scope or ("search", "media"))
    _answer(access, json_output, None)
    say(f"{added.name} may come in, for: {', '.join(added.scopes)}")


@serve_app.command("add-token")
def add_token(
    name: NameArgument,
    *,
    archive: ArchiveOption = None,
    scope: ScopeOption = None,
    days: Annotated[float | None, option("It lasts so long. \\[default: for ever]")] = None,
    json_output: JsonOption = False,
) -> None:
    """Make a token for a program. It is shown this once; what is kept is its hash.

    Example: [bold]vsr-edge serve add-token door --scope search --days 90[/bold]
    """
    access = _access(archive)
    added, token = access.add_token(name, scope or ("search", "media"), days)
    _answer(access, json_output, token)
    say(f"the token of {added.name}, for: {', '.join(added.scopes)}; it is not shown again")


@serve_app.command("revoke")
def revoke(
    name: NameArgument, *, archive: ArchiveOption = None, json_output: JsonOption = False
) -> None:
    """Let a user, or whoever has a token, in no more; at once, where it is served.

    Example: [bold]vsr-edge serve revoke door[/bold]
    """
    access = _access(archive)
    access.revoke(name)
    _answer(access, json_output, None)
    say(f"{name} may come in no more")


@serve_app.command("access")
def access(archive: ArchiveOption = None, json_output: JsonOption = False) -> None:
    """List who may come in.

    Example: [bold]vsr-edge serve access[/bold]
    """
    known = _access(archive)
    _answer(known, json_output, None, listed=True)


def need_extra() -> None:
    """Raise ``UsageError`` where the extra is not installed."""
    from importlib.util import find_spec

    wanted = ("fastapi", "uvicorn", "prometheus_client", "jinja2", "python_multipart", "argon2")
    if missing := [name for name in wanted if find_spec(name) is None]:
        raise UsageError(f"serving needs {', '.join(missing)}: pip install 'vsr-edge[serve]'")


def _access(archive: str | None) -> AccessFile:
    need_extra()
    from vsr_edge.config import load_settings
    from vsr_edge.server.access import AccessFile

    settings: Settings = load_settings({"archive": archive})
    return AccessFile(settings.archive)


def _answer(access: AccessFile, as_json: bool, token: str | None, *, listed: bool = False) -> None:
    entries = list(access.entries().values())

    def document(of: Any) -> Any:
        return of.AccessDocument.model_validate(
            {"file": access.path, "entries": entries, "token": token}
        )

    def show() -> None:
        if token is not None:
            typer.echo(token)
        elif listed:
            rows = [(e.name, e.kind, ", ".join(e.scopes), _until(e.expires)) for e in entries]
            columns = (Column("name"), Column("kind"), Column("for"), Column("until"))
            print_tables(Table(columns, rows))

    answer(as_json, document, show)


def _until(expires: float | None) -> str:
    from vsr_edge.times import iso

    return "for ever" if expires is None else iso(expires)


def _password() -> str:
    """Typed twice where there is a terminal, else the first line of stdin.

    Raises:
        UsageError: the two differ.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        return "" if sys.stdin is None else sys.stdin.readline().rstrip("\r\n")
    from getpass import getpass

    password = getpass("Password: ")
    if getpass("Once more: ") != password:
        raise UsageError("that was not the same twice: nothing is changed")
    return password
