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
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vsr_edge.archive import open_archive
from vsr_edge.documents import ErrorDocument, IndexDocument
from vsr_edge.errors import ArchiveLocked, VsrEdgeError
from vsr_edge.ingest.failures import keep_failed
from vsr_edge.ingest.summary import FileReport, Progress
from vsr_edge.media.sidecars import sidecars_of
from vsr_edge.media.source import split_stream

# How nice it is to searches beside it, and how often it tells how far it is.
NICE, TELLS_EVERY = 10, 0.5
# So long it waits for whoever writes: the process of a server that was killed may do so yet.
WAITS_SECONDS, LOOKS_EVERY = 60.0, 0.2
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
    _be_nice()
    told = 0.0

    def tell(progress: Progress) -> None:
        nonlocal told
        if ended.is_set():
            raise KeyboardInterrupt
        if time.monotonic() - told >= TELLS_EVERY:
            told = time.monotonic()
            _line({"progress": asdict(progress) | {"video": str(progress.path), "path": None}})

    try:
        line = {"result": _index_when_free(asked, tell)}
    except KeyboardInterrupt:
        return
    except Exception as error:
        expected = isinstance(error, VsrEdgeError | OSError)
        message = str(error) if expected else f"it cannot be indexed ({type(error).__name__})"
        said = ErrorDocument(kind=type(error).__name__, message=message, exit_code=1)
        line = {"error": said.model_dump(by_alias=True)}
    with suppress(BrokenPipeError):
        _line(line)


def _be_nice() -> None:
    """Searches come first. Where Linux shares the processors out by session, and this process has a
    session of its own, niceness counts within that alone; so that is made nice, too.
    """
    with suppress(OSError, AttributeError):
        os.nice(NICE)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(NICE), "ascii")


def _index_when_free(asked: dict[str, Any], tell: Any) -> dict[str, Any]:
    until = time.monotonic() + WAITS_SECONDS
    while True:
        try:
            return _index(asked, tell)
        except ArchiveLocked:
            if time.monotonic() >= until:
                raise
        time.sleep(LOOKS_EVERY)


def _index(asked: dict[str, Any], tell: Any) -> dict[str, Any]:
    settings = {name: value for name, value in asked["settings"].items() if name != "archive"}
    include, exclude = asked["include"], asked["exclude"]
    inside = Inside([Path(root) for root in asked["roots"]])
    with open_archive(asked["settings"]["archive"], **settings) as archive:
        summary = archive.index(
            asked["paths"],
            include=include,
            exclude=exclude,
            tags=asked["tags"],
            wanted=inside,
            on_progress=tell,
        )
        summary.failed += inside.refused
        # All was tried, though some of it was refused: failures of before count no more.
        whole = not (include or exclude or summary.interrupted)
        tried = map(Path, asked["paths"]) if whole else ()
        keep_failed(archive.settings.archive, archive.store, summary.failed, tried)
    return IndexDocument.model_validate(summary).model_dump(by_alias=True)


@dataclass
class Inside:
    """Whether a video, with the subtitles beside it, lies below the roots; ``refused`` names those
    that do not.
    """

    roots: Sequence[Path]
    refused: list[FileReport] = field(default_factory=list)
    # What lies in a folder is looked up once.
    _folders: dict[Path, list[str]] = field(default_factory=dict)

    def __call__(self, path: Path) -> bool:
        for file in (path, *self._subtitles(split_stream(path)[0])):
            with suppress(OSError, RuntimeError):  # opening it will say why not
                if not is_below(file, self.roots):
                    whose = "it" if file == path else f"{file.name}, of its subtitles,"
                    reason = f"{whose} leads out of the folders that may be indexed"
                    self.refused.append(FileReport(path, reason))
                    return False
        return True

    def _subtitles(self, video: Path) -> list[Path]:
        folder = video.parent
        if folder not in self._folders:
            self._folders[folder] = []
            with suppress(OSError):
                self._folders[folder] = sorted(os.listdir(folder))  # noqa: PTH208 — as for words
        return sidecars_of(video, self._folders[folder])


def is_below(path: Path, roots: Iterable[Path]) -> bool:
    """Whether what a path names lies below one of the roots; where links lead is what counts.

    Raises:
        OSError, RuntimeError: such a path cannot be, or its links lead in a circle.
    """
    real = split_stream(path)[0].resolve()
    return any(real.is_relative_to(root.resolve()) for root in roots)


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
