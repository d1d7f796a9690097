"""An archive of the demo's clips and of generated footage, and servers of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.media_files import constant_rate, write_video
from tests.server.client import Site, serving
from vsr_edge import open_archive

# Tags in a name are shown as they are, or they would run.
NASTY = "<img src=x onerror=alert(1)>&\"'.mp4"


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos whose frames show their numbers: H.264 in MP4 and in Matroska, and MPEG-4."""
    folder = tmp_path_factory.mktemp("footage")
    write_video(folder / NASTY, constant_rate(30))
    write_video(folder / "numbers.mkv", constant_rate(60))
    write_video(folder / "old.avi", constant_rate(40), codec="mpeg4")
    return folder


@pytest.fixture(scope="session")
def served_archive(
    tmp_path_factory: pytest.TempPathFactory, demo_archive: Path, footage: Path
) -> Path:
    """It is shared: nothing is indexed into it."""
    folder = tmp_path_factory.mktemp("served") / "archive"
    shutil.copytree(demo_archive, folder)
    with open_archive(folder) as archive:
        assert archive.index(footage, tags=["made"]).indexed == 3
    return folder


@pytest.fixture(scope="module")
def site(served_archive: Path) -> Iterator[Site]:
    """Open to anybody on this machine."""
    with serving(served_archive) as found:
        yield found


@pytest.fixture
def own_archive(tmp_path: Path, served_archive: Path) -> Path:
    """One to change."""
    return Path(shutil.copytree(served_archive, tmp_path / "archive"))
