"""The process of one job: a JSON line in says what to index; lines out say how far it is, and in
the end what came of it. It ends, as tidily as by Ctrl-C, when its input does.
"""

from __future__ import annotations

import _thread
import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from vsr_edge.archive import open_archive
from vsr_edge.documents import ErrorDocument, IndexDocument
from vsr_edge.errors import VsrEdgeError
from vsr_edge.ingest.summary import Progress

# How nice it is to searches beside it, and how often it tells how far it is.
NICE, TELLS_EVERY = 10, 0.5
# Amid a call of PyAV an interrupt may be lost; if two are, what is stored is stored.
INTERRUPTS, INTERRUPTED_WITHIN = 2, 0.75


def main() -> None:
    """Index what the first line of stdin says."""
    asked = json.loads(sys.stdin.readline())
    # A service manager tells all processes of a service; this one ends when the server lets it.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ended = threading.Event()
    threading.Thread(target=_listen, args=(ended,), daemon=True).start()
    with suppress(OSError, AttributeError):
        os.nice(NICE)
    told = 0.0

    def tell(progress: Progress) -> None:
        nonlocal told
        if ended.is_set():
            raise KeyboardInterrupt
        if time.monotonic() - told >= TELLS_EVERY:
            told = time.monotonic()
            _line({"progress": asdict(progress) | {"video": str(progress.path), "path": None}})

    try:
        line = {"result": _index(asked, tell)}
    except KeyboardInterrupt:
        return
    except Exception as error:
        expected = isinstance(error, VsrEdgeError | OSError)
        message = str(error) if expected else f"it cannot be indexed ({type(error).__name__})"
        said = ErrorDocument(kind=type(error).__name__, message=message, exit_code=1)
        line = {"error": said.model_dump(by_alias=True)}
    with suppress(BrokenPipeError):
        _line(line)


def _index(asked: dict[str, Any], tell: Any) -> dict[str, Any]:
    settings = {name: value for name, value in asked["settings"].items() if name != "archive"}
    with open_archive(asked["settings"]["archive"], **settings) as archive:
        summary = archive.index(
            asked["paths"],
            include=asked["include"],
            exclude=asked["exclude"],
            tags=asked["tags"],
            on_progress=tell,
        )
    return IndexDocument.model_validate(summary).model_dump(by_alias=True)


def _listen(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()
    for _ in range(INTERRUPTS):
        _thread.interrupt_main()
        time.sleep(INTERRUPTED_WITHIN)
    os._exit(1)


def _line(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
