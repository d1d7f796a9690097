"""Watched folders: each file is indexed once, when it is complete, whatever happens meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.watching import Outcome, under_a_recorder
from tests.recorder import FATES, FRAMES

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


def check_outcome(outcome: Outcome) -> None:
    """Each file that is there was stored once and whole, and no other is there."""
    assert {one.fate for one in outcome.files} == set(FATES)
    sizes = {one.path: one.size for one in outcome.files if one.path is not None}
    assert {str(stored.video.path): stored.video.size_bytes for stored in outcome.videos} == sizes
    # Ten frames a second, of which one a second is read.
    assert {stored.frames for stored in outcome.videos} == {FRAMES // 10}
    assert [stored for stored in outcome.videos if stored.partial] == []
    # What was deleted after it was complete may have been stored before that.
    deleted = sum(one.fate == "deleted" for one in outcome.files)
    assert len(sizes) <= outcome.stored <= len(sizes) + deleted
    code, _ = outcome.ended
    assert code == 0
    assert "Traceback" not in outcome.said
    assert "failed:" not in outcome.said


@pytest.mark.slow
def test_each_file_of_a_recorder_is_indexed_once_when_complete_though_watching_is_killed(
    tmp_path: Path,
) -> None:
    check_outcome(under_a_recorder(tmp_path, files=8, every=1.5, settle=2.5, kills=2))
