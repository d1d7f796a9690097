"""A sample of the clips' vectors: evenly spaced, the same for one state, wherever they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.servers import Server
from vsr_edge.query import Filter
from vsr_edge.store.base import Store

from .archives import (
    BUNDLE,
    DIM,
    change,
    fill,
    footage,
    index,
    open_archive,
    store_footage,
    vector_file,
    vectors_of,
)

PATHS = [f"/v/{number}.mp4" for number in range(10)]


def every(folder: Path | str) -> np.ndarray:
    return np.array([vector for _, vector in vectors_of(folder)]).reshape(-1, DIM)


def sampled(store: Store, count: int) -> list[list[float]]:
    vectors = store.sample(count)
    assert vectors.dtype == np.float16
    return [[float(value) for value in vector] for vector in vectors]


def test_they_are_evenly_spaced_over_all_clips(place: Path | str) -> None:
    fill(place, *PATHS)
    stored = every(place).tolist()
    assert len(stored) == 40
    with open_archive(place) as store:
        assert sampled(store, 4) == stored[::10]
        assert sampled(store, 20) == stored[::2]
        assert len(sampled(store, 39)) == 39
        for count in (40, 41, 10_000):
            assert sampled(store, count) == stored


def test_one_state_has_one_sample_and_another_another(place: Path | str) -> None:
    with open_archive(place) as store:
        assert store.sample(5).shape == (0, DIM)
        index(store, *PATHS[:5])
        first = store.sample(5)
        assert store.sample(5) is first
        with open_archive(place) as other:
            assert other.sample(5).tobytes() == first.tobytes()
        index(store, *PATHS[5:])
        assert sampled(store, 40) == every(place).tolist()
        with store.writer() as writer:
            writer.remove([stored.video_id for stored in store.videos()[2:5]])
        assert sampled(store, 40) == every(place).tolist()
        assert sampled(store, 7) == every(place)[np.arange(7) * 28 // 7].tolist()


def test_it_is_the_same_without_the_file(tmp_path: Path) -> None:
    """Which lacks some or all of them where it could not be written."""
    fill(tmp_path, *PATHS)
    with open_archive(tmp_path) as store:
        before = sampled(store, 7)
    vector_file(tmp_path).unlink()
    with open_archive(tmp_path) as store:
        assert sampled(store, 7) == before
    change(tmp_path, "DELETE FROM vector_segments WHERE id > 1")
    with open_archive(tmp_path, bundle_id=BUNDLE) as store:
        assert sampled(store, 7) == before


def test_none_is_no_sample(place: Path | str) -> None:
    with open_archive(place) as store, pytest.raises(ValueError, match="at least 1, not 0"):
        store.sample(0)


def test_a_filter_is_sampled_as_if_it_were_the_archive(place: Path | str) -> None:
    fill(place, *PATHS)
    stored = every(place).tolist()
    with open_archive(place) as store:
        some = Filter((PATHS[2], PATHS[7]))
        found = store.sample(100, some).tolist()
        assert found == [*stored[8:12], *stored[28:32]]
        assert len(store.sample(3, some)) == 3
        assert store.sample(100).tolist() == stored
        assert store.sample(100, Filter(("nowhere",))).shape == (0, DIM)


def test_numbers_that_writers_mixed_change_nothing(server: Server) -> None:
    """As those of earlier versions did, several at once."""
    url = server.url()
    fill(url, *PATHS)
    # Of the third and fourth video alternately, and the fifth's with a gap.
    change(
        url,
        "UPDATE clips SET id = 100 + 2 * ((id - 1) % 4) + (id - 1) / 4 WHERE id BETWEEN 9 AND 16",
        "UPDATE clips SET id = id + 50 WHERE id IN (19, 20)",
    )
    stored = every(url).tolist()
    assert [clip for clip, _ in vectors_of(url)][-10:] == [69, 70, *range(102, 110)]
    with open_archive(url) as store:
        for count in (7, 20, 39, 40):
            assert sampled(store, count) == [stored[i * 40 // count] for i in range(count)]
        some = Filter((PATHS[2], PATHS[4]))
        mine = [v.tolist() for _, v in vectors_of(url, "video_id IN (3, 5)")]
        assert store.sample(5, some).tolist() == [mine[i * 8 // 5] for i in range(5)]


def test_of_clips_on_a_server_those_alone_are_read_that_are_chosen(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vsr_edge.store.postgres import pg_sample
    from vsr_edge.store.postgres.pg_rows import fetch

    url = server.url()
    read: list[int] = []

    def counted(*asked: Any) -> list[Any]:
        rows = fetch(*asked)
        read.append(len(rows))
        return rows

    with open_archive(url) as store:
        with store.writer() as writer:
            for number in range(3):
                store_footage(writer, footage(f"/v/{number}.mp4", clips=200))
        monkeypatch.setattr(pg_sample, "fetch", counted)
        assert len(store.sample(5)) == 5
        assert read == [3, 5]  # videos, and what is chosen
        where = Filter(("/v/1.mp4",))
        first = store.sample(4, where)
        assert store.sample(4, where) is first
        assert len(store.sample(5)) == 5
        assert read == [3, 5, 4]
