"""Which videos a filter lets through."""

from __future__ import annotations

import pytest

from tests.store.archives import a_query, index
from vsr_edge.query import Filter
from vsr_edge.store.base import Store


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.mp4", {"/v/cam1/a.mp4", "/v/cam2/a.mp4"}),
        ("cam1/*", {"/v/cam1/a.mp4", "/v/cam1/deep/b.mkv"}),
        ("cam?/a.mp4", {"/v/cam1/a.mp4", "/v/cam2/a.mp4"}),
        ("b.mkv", {"/v/cam1/deep/b.mkv"}),
        ("./b.mkv", {"/v/cam1/deep/b.mkv"}),
        ("/v/cam2/a.mp4", {"/v/cam2/a.mp4"}),
        ("/v/odd[1].avi", {"/v/odd[1].avi"}),
        ("odd[[]1].avi", {"/v/odd[1].avi"}),
        ("a.MP4", set()),
        ("am1/*", set()),
        ("cam1", {"/v/cam1/a.mp4", "/v/cam1/deep/b.mkv"}),
        ("cam1/", {"/v/cam1/a.mp4", "/v/cam1/deep/b.mkv"}),
        ("./cam1/", {"/v/cam1/a.mp4", "/v/cam1/deep/b.mkv"}),
        ("cam1/deep", {"/v/cam1/deep/b.mkv"}),
        ("/v/cam2", {"/v/cam2/a.mp4"}),
        ("/v/cam[12]/", {"/v/cam1/a.mp4", "/v/cam1/deep/b.mkv", "/v/cam2/a.mp4"}),
        ("b.mkv/", set()),
        ("/cam1", set()),
        ("cam", set()),
        ("/", {"/v/cam1/a.mp4", "/v/cam2/a.mp4", "/v/cam1/deep/b.mkv", "/v/odd[1].avi"}),
        ("", set()),
        ("*", {"/v/cam1/a.mp4", "/v/cam2/a.mp4", "/v/cam1/deep/b.mkv", "/v/odd[1].avi"}),
    ],
)
def test_a_filter_matches_the_path_or_its_last_parts(
    store: Store, pattern: str, expected: set[str]
) -> None:
    index(store, "/v/cam1/a.mp4", "/v/cam2/a.mp4", "/v/cam1/deep/b.mkv", "/v/odd[1].avi")
    where = Filter(() if pattern is None else (pattern,))
    videos = store.videos(where)
    assert {str(stored.video.path) for stored in videos} == expected
    hits = store.search(a_query(), 100, where)
    assert {hit.clip.video_id for hit in hits} == {stored.video_id for stored in videos}
    assert len(hits) == 4 * len(expected)


def test_any_of_several_patterns_lets_a_video_through(store: Store) -> None:
    index(store, "/v/cam1/a.mp4", "/v/cam2/a.mp4", "/v/cam3/b.mkv", "/v/odd[1]/c.mp4")
    several = Filter(("cam1", "*.mkv", "nothing", "odd[1]"))
    found = [str(stored.video.path) for stored in store.videos(several)]
    assert found == ["/v/cam1/a.mp4", "/v/cam3/b.mkv", "/v/odd[1]/c.mp4"]
    assert len(store.search(a_query(), 100, several)) == 4 * 3
    assert len(store.videos(Filter())) == 4
