"""Fixtures for every room: the bundle in use, the demo's real clips, and an archive of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

from tests.servers import Server, a_server
from vsr_edge import load_bundle, open_archive
from vsr_edge.bundle.model import Bundle
from vsr_edge.cli.demo import demo_videos
from vsr_edge.config import ENVIRONMENT_PREFIX, load_settings

# How long an example takes says how busy the machine is.
settings.register_profile("timeless", deadline=None)
settings.load_profile("timeless")

# Which model files to test is the tester's to choose; all else is the tests'.
_KEPT = f"{ENVIRONMENT_PREFIX}BUNDLE"
# These make a pipe look like a terminal to the command.
_COLOURS = ("FORCE_COLOR", "CLICOLOR_FORCE", "PY_COLORS", "GITHUB_ACTIONS", "TTY_COMPATIBLE")

# Without the extras for training and export (pip install '.[test]'), these are left out.
_EXTRAS = ("torch", "transformers", "onnx")
_NEED_EXTRAS = (
    "models",
    "export",
    "making",
    "bench/test_encoding.py",
    "bench/test_export.py",
    "bench/test_import.py",
    "bench/test_providers.py",
    "bundle/test_golden.py",
    "bundle/test_verify.py",
)
_missing = [name for name in _EXTRAS if find_spec(name) is None]
collect_ignore = list(_NEED_EXTRAS) if _missing else []


# Files whose tests take longest come first: begun last, one of them would be waited for alone.
_LONGEST = ("models/", "export/", "making/", "e2e/", "bench/")


def pytest_configure(config: pytest.Config) -> None:
    # From version 3.7 on pytest-xdist begins with the files of most tests.
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        name = item.path.relative_to(Path(__file__).parent).as_posix()
        places = (n for n, start in enumerate(_LONGEST) if name.startswith(start))
        return next(places, len(_LONGEST))

    items.sort(key=place)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _missing:
        terminalreporter.write_line(
            f"left out, as {', '.join(_missing)} is not installed: {', '.join(_NEED_EXTRAS)}"
        )


@pytest.fixture(autouse=True, scope="session")
def _nobodys_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whoever runs the tests has settings and an archive of their own: neither counts here."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(ENVIRONMENT_PREFIX) and name != _KEPT:
                patch.delenv(name)
        for name in _COLOURS:
            patch.delenv(name, raising=False)
        patch.setenv("COLUMNS", "100")
        for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
            patch.setenv(name, str(home))
        yield


@pytest.fixture(scope="session")
def bundle() -> Iterator[Bundle]:
    """The encoders, loaded once."""
    with load_bundle(load_settings().bundle) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def demo_clips() -> list[Path]:
    """Real footage: a street with bicycles, a cartoon, a man in a car."""
    return demo_videos()


@pytest.fixture(scope="session")
def demo_archive(tmp_path_factory: pytest.TempPathFactory, demo_clips: list[Path]) -> Path:
    """An archive of the demo's clips. It is shared: copy it before changing it."""
    folder = tmp_path_factory.mktemp("demo") / "archive"
    with open_archive(folder) as archive:
        summary = archive.index(demo_clips)
    assert summary.indexed == len(demo_clips)
    return folder


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server, for all tests that want one."""
    with a_server() as running:
        yield running
