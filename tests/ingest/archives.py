"""Index generated videos, and compare what archives hold."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.media_files import constant_rate, picture, write_video
from tests.store.archives import rows
from vsr_edge.bundle.model import Bundle
from vsr_edge.ingest.run import ingest
from vsr_edge.ingest.summary import IngestSummary
from vsr_edge.store import open_store
from vsr_edge.store.base import Store
from vsr_edge.types import Sampling

RATE = 5


def footage(path: Path, seconds: float = 4.0, *, first: int = 0, **how: Any) -> Path:
    """A video whose pictures count from ``first``: another ``first`` is other content."""

    def draw(index: int, width: int, height: int) -> NDArray[np.uint8]:
        return picture(first + index, width, height)

    path.parent.mkdir(parents=True, exist_ok=True)
    return write_video(path, constant_rate(round(seconds * RATE), RATE), draw=draw, **how)


def open_for(bundle: Bundle, folder: Path | str) -> Store:
    return open_store(folder, bundle_id=bundle.encoders_id, dim=bundle.dim, create=True)


def index(
    bundle: Bundle,
    folder: Path | str,
    paths: Path | Iterable[Path],
    sampling: Sampling | None = None,
    **options: Any,
) -> IngestSummary:
    """One indexing run, as of a command of its own."""
    named = [paths] if isinstance(paths, Path) else list(paths)
    with open_for(bundle, folder) as store:
        return ingest(store, bundle, named, sampling or Sampling(), threads=1, **options)


def counts(summary: IngestSummary) -> dict[str, int]:
    """What a run did, without the zeros."""
    names = ("indexed", "skipped", "moved", "copied", "frames")
    numbers = {name: getattr(summary, name) for name in names}
    numbers |= {"partial": len(summary.partial), "failed": len(summary.failed)}
    return {name: number for name, number in numbers.items() if number}


def content(folder: Path) -> dict[Path, Any]:
    """All that is stored, by path, to the bit; no ids, and not when it was written."""
    found: dict[Path, Any] = {}
    with open_store(folder) as store:
        for stored in store.videos():
            frames = store.frames(stored.video_id, regions=True)
            found[stored.video.path] = (
                stored.video,
                stored.sampling,
                stored.partial,
                (stored.frames, stored.clips),
                frames.times.tobytes(),
                frames.vectors.tobytes(),
                None if frames.regions is None else frames.regions.tobytes(),
                rows(
                    folder,
                    "SELECT start_time, end_time, first_frame, last_frame, vector FROM clips"
                    f" WHERE video_id = {stored.video_id} ORDER BY start_time",
                ),
            )
    return found


def paths_in(folder: Path) -> list[Path]:
    with open_store(folder) as store:
        return [stored.video.path for stored in store.videos()]
