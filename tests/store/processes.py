"""Other processes at work on the same archive; each function runs in one of its own."""

from __future__ import annotations

import importlib
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from vsr_edge.errors import VsrEdgeError
from vsr_edge.query import Daily, Filter
from vsr_edge.store import open_store

from .archives import (
    BUNDLE,
    DIM,
    Another,
    a_query,
    fill_up,
    footage,
    open_archive,
    store_footage,
)

# Loaded here, once for all of them, so that dozens of processes cost no more than a second.
importlib.import_module("vsr_edge.store.sqlite")
importlib.import_module("vsr_edge.store.migrations")
importlib.import_module("vsr_edge.backup.back_up")
importlib.import_module("vsr_edge.backup.restore")
importlib.import_module("vsr_edge.store.snapshot")
# Whoever gives up its rights may not read the interpreter's files any more, wherever it lies.
importlib.import_module("urllib.parse")

# Any: the base of all contexts is not known to have what each of them has.
_context: Any = multiprocessing.get_context("spawn" if os.name == "nt" else "forkserver")
if os.name != "nt":
    _context.set_forkserver_preload([__name__])


@contextmanager
def another_process(work: Callable[..., None], *arguments: Any) -> Iterator[Any]:
    """Start ``work(pipe, *arguments)``; yields (process, pipe) and kills it at the end."""
    here, there = _context.Pipe()
    process: BaseProcess = _context.Process(target=work, args=(there, *arguments))
    process.start()
    there.close()
    try:
        yield process, here
    finally:
        process.kill()
        process.join()
        process.close()
        here.close()


def index_videos(pipe: Connection, folder: Path | str, paths: list[str]) -> None:
    """Index what is not there yet, telling of each step."""
    with open_archive(folder) as store, store.writer() as writer:
        for path in paths:
            made = footage(path)
            if store.find(made.video.path) is not None:
                continue
            with writer.begin(made.video, made.sampling) as entry:
                pipe.send("began")
                for batch in made.batches:
                    entry.add_frames(batch)
                    pipe.send("frames")
                entry.finish(made.windows, made.vectors)
                pipe.send("finished")
    pipe.send("closed")


def index_on_request(pipe: Connection, folder: Path | str) -> None:
    """Hold the lock; each path received is indexed and confirmed; None ends it."""
    with open_archive(folder) as store:
        with store.writer() as writer:
            pipe.send("ready")
            while (path := pipe.recv()) is not None:
                store_footage(writer, footage(path))
                pipe.send("indexed")
        pipe.send("closed")


def index_again_and_again(pipe: Connection, folder: Path | str, paths: list[str]) -> None:
    """Index, then replace one after the other until killed."""
    with open_archive(folder) as store, store.writer() as writer:
        while True:
            for path in paths:
                store_footage(writer, footage(path))
                pipe.send("indexed")


def search_all_the_while(pipe: Connection, folder: Path | str) -> None:
    """Until something is received; tells how often, and that only whole videos were found."""
    asked = 0
    with open_store(folder, bundle_id=BUNDLE, dim=DIM) as store:
        pipe.send("ready")
        while not pipe.poll():
            hits = store.search(a_query(asked), 1000)
            counts = Counter(hit.clip.video_id for hit in hits)
            assert set(counts.values()) <= {4}
            assert {stored.clips for stored in store.videos_of(counts).values()} <= {4}
            asked += 1
    pipe.send(asked)


def look_without_rights(pipe: Connection, folder: Path | str) -> None:
    """Search as a user who may write nothing there."""
    query = a_query()
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    assert not os.access(folder, os.W_OK)
    try:
        with open_store(folder, bundle_id=BUNDLE, dim=DIM) as store:
            hits = store.search(query, 5)
            few = store.search(query, 5, Filter(("*/b.mp4",)))
            problems = store.check()
            # Of an earlier version, too: nothing has a tag, and files say when they were recorded.
            assert {stored.recorded_from for stored in store.videos()} == {"file"}
            assert store.videos(Filter(after=1.6e9, tags=("-none",))) == store.videos()
            assert store.search(query, 5, Filter(before=1.8e9, between=Daily(0, 86_400))) == hits
            assert store.search(query, 5, Filter(before=1.6e9)) == []
            assert store.tags() == {}
            try:
                with store.writer():
                    refused = ""
            except VsrEdgeError as error:
                refused = f"{type(error).__name__}: {error}"
            pipe.send((hits, few, store.notices, problems, refused))
    except VsrEdgeError as error:
        pipe.send(f"{type(error).__name__}: {error}")


def change_over(
    pipe: Connection, folder: Path | str, paths: list[str], other: Another, hold: str = ""
) -> None:
    """Fill the second generation with what it lacks and switch to it, telling of each step.

    At the step named ``hold`` it stands still until it is killed.
    """

    def tell(step: str) -> None:
        pipe.send(step)
        if step == hold:
            pipe.recv()

    with open_store(folder) as store, store.shadow_archive() as shadow:
        if shadow.bundle_id == other.bundle_id:
            shadow.tidy()
        else:
            tell("began")
            with shadow.open(other.bundle_id, other.dim) as successor:
                fill_up(successor, paths, other, lambda: tell("filled"))
            tell("switching")
            shadow.switch()
            tell("switched")
    tell("closed")
