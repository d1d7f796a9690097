"""Ten minutes of `watch` under a recorder that begins a file every 20 seconds, killed ten times."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.figures import show
from tests.e2e.test_watch import check_outcome
from tests.e2e.watching import under_a_recorder

pytestmark = pytest.mark.bench

FILES, EVERY, SETTLE, KILLS = 30, 20.0, 10.0, 10


@pytest.mark.timeout(1200)
def test_ten_minutes_under_a_recorder(tmp_path: Path) -> None:
    outcome = under_a_recorder(tmp_path, files=FILES, every=EVERY, settle=SETTLE, kills=KILLS)
    check_outcome(outcome)
    _, seconds = outcome.ended
    assert seconds < 2
    show(
        "watch",
        files=len(outcome.files),
        kills=KILLS,
        there=len(outcome.videos),
        stored=outcome.stored,
        ended_in_seconds=seconds,
    )
