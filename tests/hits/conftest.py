"""An archive of videos whose frames carry their number, and an answer of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ingest.archives import footage
from vsr_edge import open_archive
from vsr_edge.answer import SearchResult
from vsr_edge.archive import Archive

# By file, the number of its first frame.
NUMBERED = {"a.mp4": 0, "b & <b>.mkv": 1000}


@pytest.fixture(scope="session")
def numbered_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the videos and their archive; shared, so copy it before changing it."""
    root = tmp_path_factory.mktemp("numbered")
    for name, first in NUMBERED.items():
        footage(root / "videos" / name, 6.0, first=first)
    with open_archive(root / "archive") as archive:
        assert archive.index(root / "videos").indexed == len(NUMBERED)
    return root


@pytest.fixture
def archive(numbered_archive: Path, tmp_path: Path) -> Iterator[Archive]:
    """A copy of the archive, with nothing cut yet; the videos are shared."""
    shutil.copytree(numbered_archive / "archive", tmp_path / "archive")
    with open_archive(tmp_path / "archive") as opened:
        yield opened


@pytest.fixture(scope="session")
def answer(numbered_archive: Path) -> SearchResult:
    """Whatever is found for a sentence; each moment of it has a best frame."""
    with open_archive(numbered_archive / "archive") as archive:
        found = archive.search("black and white blocks under red and blue", top_k=4)
    assert len(found.moments) >= 2
    return found
