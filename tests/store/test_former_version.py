"""An archive that the version before made (``data/schema3``) opens, searches and grows."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vsr_edge.query import Filter
from vsr_edge.store import open_store
from vsr_edge.store.base import Store
from vsr_edge.store.migrations import SCHEMA_VERSION
from vsr_edge.types import Sampling

from .archives import (
    BUNDLE,
    Another,
    a_query,
    brute_force,
    content,
    fill,
    fill_up,
    footage,
    open_archive,
    rows,
    store_footage,
    vector_file,
)
from .processes import another_process, look_without_rights

FORMER = Path(__file__).parent / "data" / "schema3"
ANSWERS = json.loads((FORMER / "answers.json").read_text("utf-8"))
PATHS = ["/v/b.mp4", "/v/c.mp4"]


@pytest.fixture
def former(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    shutil.copytree(FORMER, folder, ignore=shutil.ignore_patterns("*.json"))
    return folder


def answers(store: Store) -> list[list[list[float]]]:
    found = (store.search(a_query(seed), 5) for seed in range(3))
    return [[[hit.clip.clip_id, hit.score] for hit in hits] for hits in found]


def test_it_answers_as_before_and_its_cache_is_replaced(former: Path) -> None:
    for _ in range(2):
        with open_store(former) as store:
            assert [str(stored.video.path) for stored in store.videos()] == PATHS
            assert {stored.sampling.granularity for stored in store.videos()} == {"clip"}
            assert answers(store) == ANSWERS
            # By the time of its file, until its container is asked.
            assert store.untimed() == store.videos()
            for stored in store.videos():
                ended = stored.video.modified_ns / 1e9
                assert stored.recorded_at == ended - stored.video.duration
                assert store.videos(Filter(after=ended)) == []
            assert len(store.videos(Filter(before=1.8e9))) == 2
            assert store.check() == []
            assert store.notices == []
    assert vector_file(former).suffix == ".codes"
    assert rows(former, "PRAGMA user_version") == [(SCHEMA_VERSION,)]


def test_it_takes_new_videos_and_loses_old_ones(former: Path, tmp_path: Path) -> None:
    fill(former, "/v/d.mp4", "/v/b.mp4")
    fill(tmp_path / "new", "/v/d.mp4", "/v/b.mp4")
    with open_archive(tmp_path / "new") as new, new.writer() as writer:
        before = Sampling(granularity="clip", fold=False, regions="float16")
        store_footage(writer, replace(footage("/v/c.mp4"), sampling=before))
    assert content(former) == content(tmp_path / "new")
    assert vector_file(former).suffix == ".codes"
    with open_store(former) as store:
        made = footage("/v/d.mp4")
        hit = store.search(made.vectors[2].astype(np.float32), 1)[0]
        assert hit.clip.window == made.windows[2]
        assert hit.clip.clip_id > 12
        assert [[hit.clip.clip_id, hit.score] for hit in store.search(a_query(), 5)] == [
            list(pair) for pair in brute_force(former, a_query(), 5)
        ]
        assert store.notices == []


def test_a_shadow_archive_that_it_left_unfinished_is_taken_up(former: Path) -> None:
    archive, other = former.parent / "changing", Another("other-test")
    with open_store(archive, bundle_id=other.bundle_id, dim=other.dim, create=True) as store:
        fill_up(store, [*PATHS, "/v/d.mp4"], other)
    former.rename(archive / "archive.next")
    with open_store(archive) as store, store.shadow_archive() as shadow:
        with shadow.open(BUNDLE, 16) as successor:
            assert [str(stored.video.path) for stored in successor.videos()] == PATHS
            fill_up(successor, [*PATHS, "/v/d.mp4"], Another(BUNDLE))
        shadow.switch()
        assert store.notices == []
    with open_store(archive, bundle_id=BUNDLE) as store:
        assert len(store.search(a_query(), 100)) == 12
        assert store.check() == []
        assert store.notices == []


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_it_is_searched_where_nothing_may_be_written() -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        folder = shutil.copytree(FORMER, Path(place) / "archive")
        for file in folder.iterdir():
            file.chmod(0o444)
        folder.chmod(0o555)
        before = {file.name: file.read_bytes() for file in folder.iterdir()}
        with another_process(look_without_rights, folder) as (_, pipe):
            hits, few, notices, problems, refused = pipe.recv()
        assert [[hit.clip.clip_id, hit.score] for hit in hits] == ANSWERS[0]
        assert len(few) == 4
        assert notices == problems == []
        assert refused.startswith("ArchiveError: ")
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
        folder.chmod(0o755)
