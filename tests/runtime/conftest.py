"""The bundle that the settings name: the built-in one, unless the environment says otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vsr_edge.bundle.model import Bundle, load_bundle
from vsr_edge.config import load_settings


@pytest.fixture(scope="session")
def lite() -> Iterator[Bundle]:
    with load_bundle(load_settings().bundle) as bundle:
        yield bundle
