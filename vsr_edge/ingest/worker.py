"""What a worker does, a process beside this one or a task of a cluster: one file for each order.

It gives back events. Of an archive that one process writes it knows what the order brings; to one
that many write it is led by the order, and stores there itself what it has encoded.
"""

from __future__ import annotations

import os
import pickle
import platform
import queue
import shutil
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vsr_edge.bundle.model import load_bundle
from vsr_edge.errors import BundleMismatch, VsrEdgeError
from vsr_edge.ingest.entering import Entering
from vsr_edge.ingest.executor import Entry, Event, Job, Local
from vsr_edge.ingest.read import Catalogue, Stored, Streams
from vsr_edge.ingest.scan import FoundFile
from vsr_edge.media.hwaccel import Device
from vsr_edge.media.source import split_stream
from vsr_edge.types import FrameFeatures, Sampling, StoredVideo

# Frames that are handed on together: with their regions some 2 MB, and some seconds of work.
PIECE_FRAMES = 256


@dataclass(frozen=True, slots=True)
class Recipe:
    """What encodes, by names that mean the same on every machine; ``encoders_id`` proves it."""

    bundle: str
    encoders_id: str
    provider: str
    threads: int
    hwaccel: str


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What a worker needs of the catalogue for one file: the videos that are stored for its path,
    and the contents of its size, with the sampling that is asked for: their fingerprints, each in a
    line (:func:`in_lines`), as recorders that cut files of one size have many of them.
    """

    videos: tuple[StoredVideo, ...] = ()
    contents: bytes = b""

    def find(self, path: Path) -> StoredVideo | None:
        return next((one for one in self.videos if one.video.path == path), None)

    def holds(self, fingerprint: str, sampling: Sampling) -> bool:  # noqa: ARG002 — it is that one
        return f"\n{fingerprint}\n".encode() in self.contents

    def of_size(self, size_bytes: int, sampling: Sampling) -> frozenset[str]:  # noqa: ARG002
        return frozenset(self.contents.decode().split())


def in_lines(fingerprints: Iterable[str]) -> bytearray:
    """The contents of an :class:`Excerpt`; more are added as they are, each with a line's end."""
    return bytearray("\n" + "".join(f"{one}\n" for one in fingerprints), "utf-8")


@dataclass(frozen=True, slots=True)
class Order:
    """A file to decode and encode."""

    recipe: Recipe
    file: FoundFile
    sampling: Sampling
    stream: Streams
    known: Catalogue
    entry: Entry = field(default_factory=Entry)


@dataclass(frozen=True, slots=True)
class Begun:
    """An order is in hand, on this machine; ``place`` is what a cluster calls it."""

    node: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class Unseen:
    """No file lies there for this worker."""


@dataclass(frozen=True, slots=True)
class Said:
    """For the user."""

    notice: str


@dataclass(frozen=True, slots=True)
class Broken:
    """An error that is not the file's; ``kind`` is its name in :mod:`vsr_edge.errors`, if any."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """All of an order's events were given."""


Message: TypeAlias = Event | Begun | Unseen | Said | Broken | Finished
Work: TypeAlias = Callable[[Order], Iterator[Message]]


def encode_file(order: Order) -> Iterator[Message]:
    """A file's events, its frames in pieces of ``PIECE_FRAMES``."""
    if not order.file.problem:
        try:
            split_stream(order.file.path)[0].stat()
        except (FileNotFoundError, NotADirectoryError):
            yield Unseen()
            return
        except OSError:
            pass  # reading it will say why
    local = _local(order.recipe)
    with local.events(Job([order.file], order.known, order.sampling, order.stream)) as events:
        yield from _in_pieces(events)
    assert local.device is not None
    for notices in (local.bundle.notices, local.device.notices):
        yield from map(Said, notices)


@lru_cache(maxsize=1)
def _local(recipe: Recipe) -> Local:
    """Loaded once a process.

    Raises:
        BundleError: no such bundle is there, or another one of that name.
    """
    bundle = load_bundle(recipe.bundle, provider=recipe.provider, threads=recipe.threads)
    if bundle.encoders_id != recipe.encoders_id:
        raise BundleMismatch(
            f"the bundle {recipe.bundle} there is {bundle.encoders_id}, and not "
            f"{recipe.encoders_id}: install the same one on all machines"
        )
    return Local(bundle, recipe.threads, Device(recipe.hwaccel))


def _in_pieces(events: Iterator[Event]) -> Iterator[Event]:
    piece: list[FrameFeatures] = []
    for event in events:
        if isinstance(event, FrameFeatures):
            piece.append(event)
            if sum(map(len, piece)) < PIECE_FRAMES:
                continue
        if piece:
            yield _joined(piece)
            piece = []
        if not isinstance(event, FrameFeatures):
            yield event


def _joined(parts: list[FrameFeatures]) -> FrameFeatures:
    regions: list[NDArray[Any]] = [part.regions for part in parts if part.regions is not None]
    return FrameFeatures(
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.vectors for part in parts]),
        np.concatenate(regions) if regions else None,
    )


def served(work: Work, order: Order, place: str = "") -> Iterator[Message]:
    """An order from its beginning to its end, whatever comes of it but the death of the process."""
    yield Begun(platform.node(), place)
    try:
        yield from _entered(work, order)
    except VsrEdgeError as error:
        yield Broken(type(error).__name__, str(error))
    except Exception as error:
        yield Broken("", f"unexpected {type(error).__name__}: {error}")
    else:
        yield Finished()


def _entered(work: Work, order: Order) -> Iterator[Message]:
    """What comes of an order, stored where that may be done from here."""
    shared = order.entry.shared
    if shared is None:
        yield from work(order)
        return
    with shared.writing() as (store, writer):
        entering = Entering(store, writer, order.sampling, order.entry)
        messages = work(replace(order, known=Stored(store)))
        stored: Generator[Message] = entering.of(messages)
        with closing(stored):
            yield from stored


@dataclass(frozen=True, slots=True)
class Spooled:
    """Frames that lie in a file, until they are loaded."""

    path: Path
    frames: int

    def load(self) -> FrameFeatures:
        with self.path.open("rb") as file:
            features = pickle.load(file)
        self.path.unlink()
        assert isinstance(features, FrameFeatures)
        return features

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)


def serve() -> None:
    """A process of :mod:`vsr_edge.ingest.processes`: orders come in on stdin, messages go out on
    stdout, and frames into files of a folder. It ends when who started it closes stdin or ends.
    """
    taken, given = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no message
    folder, work = pickle.load(taken)
    orders: queue.SimpleQueue[tuple[int, Order]] = queue.SimpleQueue()

    def listen() -> None:
        try:
            while True:
                orders.put(pickle.load(taken))
        except (EOFError, OSError, pickle.UnpicklingError):
            # Amid a call into FFmpeg or onnxruntime, nothing but this ends the process.
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        ticket, order = orders.get()
        for number, message in enumerate(served(work, order)):
            if isinstance(message, FrameFeatures):
                _send(given, (ticket, _spool(message, folder / f"{ticket}-{number}")))
            else:
                _send(given, (ticket, message))


def _spool(features: FrameFeatures, path: Path) -> Spooled:
    with path.open("wb") as file:
        pickle.dump(features, file, pickle.HIGHEST_PROTOCOL)
    return Spooled(path, len(features))


def _send(given: BinaryIO, message: object) -> None:
    try:
        pickle.dump(message, given, pickle.HIGHEST_PROTOCOL)
        given.flush()
    except BrokenPipeError:
        os._exit(0)
