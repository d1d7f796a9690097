"""Where the archives of a benchmark lie: in folders, and on a server that outlives a power cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.servers import Server

# A new archive by its name.
Place: TypeAlias = Callable[[str], Path | str]


@pytest.fixture(scope="session")
def durable(server: Server) -> Server:
    server.run(
        "ALTER SYSTEM RESET fsync", "ALTER SYSTEM RESET full_page_writes", "SELECT pg_reload_conf()"
    )
    return server


@pytest.fixture(params=["folder", "server"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return lambda name: tmp_path / "archives" / name
    server = request.getfixturevalue("durable")
    made: dict[str, str] = {}
    return lambda name: made.setdefault(name, server.url())
