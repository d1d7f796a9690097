"""Frames that nobody needs are not kept until the end."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ingest.archives import counts, footage, index
from vsr_edge.bundle.model import Bundle
from vsr_edge.ingest.executor import Lost, Underway
from vsr_edge.ingest.spread import Died, Received, Spread
from vsr_edge.ingest.worker import Finished, Order, Recipe, Spooled, _spool, encode_file, served
from vsr_edge.types import FrameFeatures


class Here:
    """A pool that does orders at once, keeps frames in files, and cleans up nothing."""

    room = 2

    def __init__(self, folder: Path, *, mortal: bool) -> None:
        self.folder, self.mortal, self.spooled = folder, mortal, 0
        self.inbox: deque[tuple[int, Received]] = deque()

    def submit(self, ticket: int, order: Order, avoid: str = "") -> None:  # noqa: ARG002
        self.inbox.extend((ticket, message) for message in self._messages(order))

    def _messages(self, order: Order) -> Iterator[Received]:
        for message in served(encode_file, order):
            if isinstance(message, FrameFeatures):
                self.spooled += 1
                piece: Spooled = _spool(message, self.folder / str(self.spooled))
                yield piece
            elif isinstance(message, Finished) and self.mortal:
                yield Died("killed")
            else:
                assert not isinstance(message, Underway | Lost)
                yield message

    def receive(self) -> tuple[int, Received]:
        return self.inbox.popleft()

    def drop(self) -> None:
        self.inbox.clear()

    def close(self) -> None:
        pass


@pytest.mark.parametrize("mortal", [True, False])
def test_frames_of_dead_workers_and_of_second_copies_are_removed(
    bundle: Bundle, tmp_path: Path, mortal: bool
) -> None:
    path = footage(tmp_path / "videos" / "a.mp4", 2.0)
    if not mortal:
        shutil.copy(path, path.with_name("b.mp4"))
    (spool := tmp_path / "spool").mkdir()
    pool = Here(spool, mortal=mortal)
    recipe = Recipe(str(bundle.manifest.folder), bundle.encoders_id, "cpu", 1, "none")
    executor = Spread(recipe, lambda: pool)
    summary = index(bundle, tmp_path / "archive", path.parent, executor=executor)
    assert counts(summary).get("failed", 0) == mortal
    assert pool.spooled == 2
    assert list(spool.iterdir()) == []
