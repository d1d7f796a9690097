"""Start, run and stop: what is refused, logs, signals, what a service manager is told."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import uvicorn

from vsr_edge.archive import Archive
from vsr_edge.errors import ArchiveNotFound, UsageError, VsrEdgeError
from vsr_edge.server.application import make_application
from vsr_edge.server.guard import LogLines, is_loopback
from vsr_edge.server.served import Served, ServeOptions
from vsr_edge.server.transport import MOST_CONNECTIONS, TOLD, Protocol
from vsr_edge.watch.systemd import notify

# Told to end, requests have so long to be answered; then the process ends, whatever its threads do.
DRAINED_WITHIN, ENDS_WITHIN = 2, 4.5
KEPT_ALIVE_SECONDS, BACKLOG = 5, 1024
# Beside connections: the database, videos that are read; and those that asyncio takes from the
# backlog, three times all of it, before the first of them can be hung up on.
MORE_FILES = 512 + 3 * BACKLOG
# python-multipart goes by either name, and warns of what whoever sends it may make up.
_FORMS = ("multipart", "python_multipart")
LOGGERS = ("vsr_edge.access", "vsr_edge.server", "uvicorn.error", *_FORMS)
# What uvicorn says of its start and end is said in our words.
_LEVELS = dict.fromkeys(("uvicorn.error", *_FORMS), logging.ERROR)


def prepare(archive: Archive, options: ServeOptions) -> Served:
    """What is to be served, its index and its encoders loaded.

    Raises:
        UsageError: it would be open to the network, options do not go together, or TLS cannot be
            had with these files.
        BundleMismatch: the archive was encoded with another bundle.
    """
    if (options.certfile is None) != (options.keyfile is None):
        raise UsageError("TLS needs both: --certfile and --keyfile")
    for file in (options.certfile, options.keyfile):
        if file is not None and not file.is_file():
            raise UsageError(f"there is no file {file}")
    if options.certfile is not None and options.keyfile is not None:
        _check_pair(options.certfile, options.keyfile)
    for root in options.roots:
        if not root.is_dir():
            raise UsageError(f"{root} is no folder: name one whose videos may be indexed")
    options = replace(options, roots=tuple(root.absolute() for root in options.roots))
    served = Served(archive, options, locked=False)
    known = bool(served.access.entries())
    if not (known or options.insecure or is_loopback(options.host)):
        raise UsageError(
            f"on {options.host} others could look at {archive.settings.place}: let somebody in "
            "first, with `vsr-edge serve add-user NAME` or `vsr-edge serve add-token NAME`; "
            "--insecure serves to anybody"
        )
    served.locked = known or not (options.insecure or is_loopback(options.host))
    try:
        opened = served.opened()
    except ArchiveNotFound:
        return served  # a job may make it
    # The first searches should not wait for the graphs.
    opened.bundle.encode_queries(["a person"])
    if opened.stats().clips:
        opened.search("a person", top_k=1)
    return served


def serve(
    served: Served,
    on_start: Callable[[int], object],
    on_stop: Callable[[], object],
    *,
    quiet: bool = False,
) -> None:
    """Serve until SIGTERM or Ctrl-C; ``on_start`` gets the port, ``on_stop`` is called then.
    ``quiet``: requests are not logged.

    Raises:
        VsrEdgeError: the address cannot be had.
    """
    if not quiet:
        _log_to_stderr(served.options.log_json)
    _allow_files()
    listener = _listener(served.options)
    # What is loaded stays, and need not be looked at whenever something is collected.
    gc.collect()
    gc.freeze()
    server = Server(served, lambda: on_start(listener.getsockname()[1]), on_stop)
    # uvicorn hands a signal on to whoever had it before: to end well is no failure.
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, lambda *_: None)
    try:
        server.run(sockets=[listener])
    finally:
        notify(STOPPING=1)
        for number, handler in before.items():
            signal.signal(number, handler)
        listener.close()


class Server(uvicorn.Server):
    """uvicorn with our application, protocol and limits."""

    def __init__(
        self, served: Served, on_start: Callable[[], object], on_stop: Callable[[], object]
    ) -> None:
        options = served.options
        super().__init__(
            uvicorn.Config(
                make_application(served),
                http=Protocol,
                ws="none",
                loop="asyncio",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_keep_alive=KEPT_ALIVE_SECONDS,
                timeout_graceful_shutdown=DRAINED_WITHIN,
                ssl_certfile=options.certfile,
                ssl_keyfile=options.keyfile,
            )
        )
        self._served, self._on_start, self._on_stop = served, on_start, on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_start()
            notify(READY=1, STATUS="serving")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        self._served.stopping = True
        jobs = asyncio.to_thread(self._served.jobs.close)
        await asyncio.gather(super().shutdown(sockets), jobs)


def end_in_time() -> None:
    """End the process soon, whatever its threads still do."""
    timer = threading.Timer(ENDS_WITHIN, lambda: os._exit(0))
    timer.daemon = True
    timer.start()


def _listener(options: ServeOptions) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            options.host.strip("[]"), options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except BaseException:
            listener.close()
            raise
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VsrEdgeError(
            f"{options.host}:{options.port} cannot be had ({reason}): choose another --port, or "
            "an address of this machine"
        ) from error
    return listener


def _check_pair(certfile: Path, keyfile: Path) -> None:
    """Raise UsageError where TLS cannot be had with these files, which uvicorn reads in the end."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    file, wanted = certfile, "a certificate in PEM, -----BEGIN CERTIFICATE-----"
    try:
        context.load_verify_locations(certfile)
        file, wanted = keyfile, f"the key, in PEM, of the certificate in {certfile}"
        with suppress(_Locked):  # whoever starts it will be asked for the passphrase, once
            context.load_cert_chain(certfile, keyfile, _raise_locked)
    except ssl.SSLError as error:
        reason = error.reason or "no PEM"
        raise UsageError(f"{file} is not usable for TLS ({reason}): name {wanted}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"{file} cannot be read ({reason}): change its permissions") from error


class _Locked(Exception):
    """A key has a passphrase."""


def _raise_locked() -> str:
    raise _Locked


def _allow_files() -> None:
    """As many open files as connections may need, where the system lets us."""
    if sys.platform == "win32":
        return
    import resource

    wanted = MOST_CONNECTIONS + TOLD + MORE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _log_to_stderr(as_json: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogLines(as_json))
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(_LEVELS.get(name, logging.INFO))
