"""An archive of the demo's clips and of generated footage, and servers of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.evaluation.test_report import BROWSERS, QUIET
from tests.media_files import constant_rate, write_video
from tests.server.client import Site, serving
from tests.server.desk import Desk
from tests.server.test_process import command
from vsr_edge import open_archive

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Tags in a name are shown as they are, or they would run.
NASTY = "<img src=x onerror=alert(1)>&\"'.mp4"
BROWSER = next((found for name in BROWSERS if (found := shutil.which(name))), None)
RATE, SECONDS = 5, 60  # of the film that is looked at


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=list(QUIET))
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def desk(
    tmp_path_factory: pytest.TempPathFactory, served_archive: Path, browser: Browser
) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    archive = Path(shutil.copytree(served_archive, folder / "archive"))
    film = write_video(folder / "film.mp4", constant_rate(RATE * SECONDS, RATE), rate=RATE)
    (folder / "root").mkdir()
    with open_archive(archive, threads=2) as opened:
        assert opened.index(film).indexed == 1
    with command(archive, folder / "log", "--roots", folder / "root") as (_, site):
        desk = Desk(browser, site, folder / "root")
        yield desk
    # Of all tests of a file: nothing left the machine, and nothing went wrong.
    ours = (f"http://127.0.0.1:{site.port}/", "blob:", "data:")
    assert [url for url in desk.asked if not url.startswith(ours)] == []
    assert desk.asked
    assert desk.wrong == []
