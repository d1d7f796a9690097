"""Changing an archive over to another bundle, killed while it fills and switches."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from vsr_edge.store import open_store

from .archives import BUNDLE, Another, a_query, content
from .processes import another_process, change_over
from .test_shadow import PATHS, assert_is, made_by, switch

STEPS = ["began", "filled", "switching", "switched", "closed"]


def spend(archive: Path, other: Another) -> float:
    """The seconds from the first video filled in until all is switched, if nobody disturbs it."""
    with another_process(change_over, archive, PATHS, other) as (_, pipe):
        while pipe.recv() != "filled":
            pass
        begun = time.monotonic()
        while pipe.recv() != "closed":
            pass
        return time.monotonic() - begun


# Where it is killed: standing still at a step, or going on for a part of the time that an
# undisturbed run takes from there. What a step has decided is known; of the others either
# outcome will do.
HELD = ["began", "filled", "switching", "switched"]
MOVING = ["filled", "switching"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_killing_it_while_it_fills_and_switches_leaves_the_old_archive_or_the_new(
    tmp_path: Path,
) -> None:
    bundles = [Another(BUNDLE, clips=60), Another("other-test", dim=24, clips=80)]
    calm = [made_by(other, tmp_path / other.bundle_id) for other in bundles]
    expected = [content(folder) for folder in calm]
    archive = made_by(bundles[0], tmp_path / "archive")
    seconds = spend(shutil.copytree(archive, tmp_path / "undisturbed"), bundles[1])
    chance, present = random.Random(3), 0
    kills = [(step, True) for step in HELD] + [(step, False) for step in MOVING * 4]
    for step, held in kills * 2:
        other = bundles[1 - present]
        with another_process(change_over, archive, PATHS, other, step if held else "") as (
            process,
            pipe,
        ):
            while STEPS.index(now := pipe.recv()) < STEPS.index(step):
                pass
            # What an earlier one filled in is not filled in again: then it is at a later step.
            held &= now == step
            if not held:
                time.sleep(chance.uniform(0.0, seconds))
            process.kill()
            process.join()
            assert process.exitcode == -signal.SIGKILL or not held
        with open_store(archive) as store:
            changed = store.bundle_id == other.bundle_id
            if held:
                assert changed == (now == "switched")
            assert store.check() == []
            assert len(store.search(a_query(0, store.dim), 1000)) == len(PATHS) * (
                bundles[present ^ changed].clips
            )
            assert store.notices == []
        present ^= changed
        assert content(archive) == expected[present]
    switch(archive, bundles[1 - present])
    assert_is(archive, bundles[1 - present], calm[1 - present])
