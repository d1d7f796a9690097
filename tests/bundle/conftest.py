"""Bundles that the tests pack, carry and tamper with; made once, never changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bundle.samples import Member, members_of, small_bundle
from vsr_edge.bundle.locate import find_bundle


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle's folder with text for models: for all that is refused before one is loaded."""
    return small_bundle(tmp_path_factory.mktemp("small") / "small")


@pytest.fixture(scope="session")
def small_members(small: Path) -> list[Member]:
    return members_of(small)


@pytest.fixture(scope="session")
def lite_members() -> list[Member]:
    """The built-in bundle."""
    return members_of(find_bundle("lite"))
