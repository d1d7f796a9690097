"""A store, whatever it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.archives import fill, open_archive
from vsr_edge.store.base import Store


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where an archive may be made: a folder, or an address."""
    if request.param == "sqlite":
        return tmp_path / "archive"
    url: str = request.getfixturevalue("server").url()
    return url


@pytest.fixture
def store(place: Path | str) -> Iterator[Store]:
    with open_archive(place) as opened:
        yield opened


@pytest.fixture
def either(place: Path | str) -> Path | str:
    """An archive of six videos."""
    fill(place, *(f"/v/{number}.mp4" for number in range(6)))
    return place
