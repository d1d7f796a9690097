"""The description of the routes and the routes agree, whatever they are asked (schemathesis)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.client import TIMEOUT, Site, serving
from vsr_edge.server.access import SCOPES, AccessFile

COMMAND = shutil.which("schemathesis", path=Path(sys.executable).parent)
# EXAMPLES=200 looks longer.
EXAMPLES = os.environ.get("EXAMPLES", "2")
# What is too large is refused before anybody looks what it says. What a schema cannot say, as that
# a path lies below a root, is refused though the schema has nothing against it.
CONFIG = """
[checks]
negative_data_rejection.expected-statuses = ["400", "401", "403", "404", "405", "406", "409", \
"413", "415", "422", "429"]
positive_data_acceptance.enabled = false
"""

pytestmark = pytest.mark.skipif(COMMAND is None, reason="pip install '.[dev]' brings schemathesis")


@pytest.fixture
def locked(own_archive: Path, tmp_path: Path) -> Iterator[tuple[Site, str]]:
    (tmp_path / "root").mkdir()
    _, token = AccessFile(own_archive).add_token("tester", SCOPES)
    with serving(own_archive, roots=(tmp_path / "root",)) as site:
        yield site, token


@pytest.mark.timeout(1800)
def test_no_request_is_answered_as_nobody_said(locked: tuple[Site, str], tmp_path: Path) -> None:
    site, token = locked
    (tmp_path / "schemathesis.toml").write_text(CONFIG, "utf-8")
    assert COMMAND is not None
    arguments = ["run", f"http://127.0.0.1:{site.port}/openapi.json", "--continue-on-failure"]
    arguments += ["-H", f"Authorization: Bearer {token}", "--max-examples", EXAMPLES]
    arguments += ["--phases", "coverage,fuzzing,stateful", "--seed", "0"]
    ended = subprocess.run(
        [COMMAND, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30 * TIMEOUT,
        check=False,
    )
    lines = [line[:300] for line in (ended.stdout + ended.stderr).splitlines()]
    assert ended.returncode == 0, "\n".join(lines)
    assert "Tested: " in ended.stdout
    assert site.get("/healthz").status == 200
