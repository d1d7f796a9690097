"""Queries that are more than a sentence, on real footage: pictures, moments, not, examples."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.manifests import edit_manifest
from vsr_edge import Archive, SearchResult, load_bundle, open_archive
from vsr_edge.answer import Moment
from vsr_edge.bundle.locate import find_bundle
from vsr_edge.bundle.manifest import read_manifest
from vsr_edge.errors import MediaError, UsageError
from vsr_edge.query import Place, Query
from vsr_edge.search.candidates import Asked

BIKE = "a bicycle leaning against a wall"


@pytest.fixture(scope="module")
def archive(demo_archive: Path) -> Iterator[Archive]:
    with open_archive(demo_archive) as opened:
        yield opened


def place(moment: Moment) -> Place:
    return Place(moment.video, moment.start, moment.end)


def overlap(one: Moment | Place, other: Moment | Place) -> float:
    same = Path(one.video).name == Path(other.video).name
    return min(one.end, other.end) - max(one.start, other.start) if same else 0.0


def same_answer(one: SearchResult, other: SearchResult) -> bool:
    return (one.moments, one.verdict) == (other.moments, other.verdict)


def test_a_sentence_alone_is_searched_for_as_ever(archive: Archive) -> None:
    asked = Asked(archive.store, archive.bundle, Query(BIKE))
    assert asked.mixture.plain
    assert (asked.vector == archive.bundle.encode_text([BIKE])[0]).all()
    assert same_answer(archive.search(Query(BIKE)), archive.search(BIKE))


def test_a_picture_as_a_query_has_no_hubness_and_finds_itself(archive: Archive) -> None:
    stored = archive.videos("bikes.mp4")[0]
    picture = archive.frame(stored.video.path, 8.0)
    vector = archive.bundle.as_query(archive.bundle.encode_images([picture]))[0]
    assert vector[-1] == 0
    assert np.linalg.norm(vector) == pytest.approx(1)
    found = archive.search(Query(like=picture))
    assert found.verdict.decision == "unverified"
    assert found.turns[0].then == "unverified: only what is said in words is verified"
    best = found.moments[0]
    assert best.video == stored.video.path
    assert best.start <= 8.0 <= best.end
    assert best.score > 0.9
    assert best.match_probability is None


def test_vectors_without_hubness_are_searched_with_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    shutil.copytree(find_bundle("lite"), folder)

    def change(manifest: dict[str, object]) -> None:
        golden = manifest["golden"]
        assert isinstance(golden, dict)
        for text in golden["texts"]:
            text["vector"][-1] = 0.01

    edit_manifest(folder, change)
    assert read_manifest(find_bundle("lite")).counts_hubness
    assert not read_manifest(folder).counts_hubness
    with load_bundle(folder) as bundle:
        vectors = np.full((2, bundle.dim), 3, np.float16)
        assert bundle.as_query(vectors) == pytest.approx(np.full(vectors.shape, bundle.dim**-0.5))
        assert (vectors == 3).all()


def test_a_moment_finds_what_looks_like_it_and_never_itself(archive: Archive) -> None:
    found = archive.search(Query(like="bikes.mp4@0:08"))
    assert found.query == "like bikes.mp4@0:08.0"
    (said,) = found.notices
    assert "left out is the moment itself: bikes.mp4@" in said
    assert found.moments[0].video.name == "bikes.mp4"
    for moment in found.moments:
        assert moment.video.name != "bikes.mp4" or not moment.start <= 8.0 <= moment.end


def test_a_moment_of_a_file_that_is_not_indexed_is_decoded(
    archive: Archive, demo_clips: list[Path], tmp_path: Path
) -> None:
    copy = shutil.copy(next(one for one in demo_clips if one.stem == "bikes"), tmp_path / "n.mp4")
    found = archive.search(Query(like=f"{copy}@8"))
    assert found.moments[0].video.name == "bikes.mp4"
    assert found.moments[0].start <= 8.0 <= found.moments[0].end


@pytest.mark.parametrize(
    ("like", "message"),
    [
        ("bikes.mp4@1:40", "0:10.0 long: there is no 1:40.0 in it"),
        ("bike.mp4@0:01", "no indexed video matches 'bike.mp4'; nearly so are called: bikes.mp4"),
        ("*.mp4@0:01", "names 3 indexed videos"),
        ("somewhere/clip.mkv", "is a video: say which moment of it"),
    ],
)
def test_a_moment_that_there_is_not_is_a_usage_error(
    like: str, message: str, archive: Archive
) -> None:
    with pytest.raises(UsageError) as raised:
        archive.search(Query(like=like))
    assert message in str(raised.value)


def test_a_picture_that_cannot_be_read_is_named(archive: Archive, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_text("no picture")
    for path in (broken, tmp_path / "gone.jpg"):
        with pytest.raises(MediaError, match=path.name):
            archive.search(Query(like=path))


def test_of_a_sentence_and_a_picture_the_sentence_is_verified(archive: Archive) -> None:
    man = archive.search("a man in a car").moments[0]
    like = archive.frame(man.video, 1.0)
    both = archive.search(Query(BIKE, like, weight=0.9))
    assert both.verdict.decision in ("match", "no_match")
    # The picture outweighs the sentence, which is not what is seen first.
    assert both.moments[0].video == man.video
    assert (both.moments[0].match_probability or 0) < 0.2
    assert archive.search(Query(BIKE, like, weight=0.1)).moments[0].video.name == "bikes.mp4"


def test_what_is_not_to_be_seen_is_not_shown(archive: Archive) -> None:
    plain = archive.search("a man in a car")
    assert plain.verdict.decision == "match"
    found = archive.search(Query("a man in a car", against="a man with a bow tie in a car"))
    assert found.verdict.decision == "no_match"
    best = place(plain.moments[0])
    assert all(overlap(one, best) <= 0 for one in found.moments)
    assert all(one.match_probability is not None for one in found.moments)


def test_what_was_rejected_is_left_out_and_what_was_liked_leads(archive: Archive) -> None:
    first = archive.search(BIKE).moments
    bad = tuple(place(one) for one in first[:2])
    for one_shot in (False, True):
        found = archive.search(Query(BIKE, bad=bad), one_shot=one_shot)
        assert found.moments
        for one in found.moments:
            length = one.end - one.start
            assert all(
                overlap(one, other) < 0.5 * min(length, other.end - other.start) for other in bad
            )
    man = archive.search("a man in a car").moments[0]
    moved = archive.search(Query(BIKE, good=(place(man),)))
    before = [one.video for one in archive.search(BIKE).moments].index(man.video)
    assert [one.video for one in moved.moments].index(man.video) <= before
    alone = archive.search(Query(good=(place(man),)))
    assert alone.moments[0].video == man.video


def test_examples_are_found_by_what_they_show_and_passed_over_when_gone(archive: Archive) -> None:
    stored = archive.videos("bikes.mp4")[0].video
    moved = Place("/elsewhere/b.mp4", 7.0, 9.0, stored.fingerprint)
    found = archive.search(Query(good=(moved,)))
    assert found.moments[0].video == stored.path
    gone = Place(stored.path, 7.0, 9.0, "another")
    found = archive.search(Query(BIKE, bad=(gone,)))
    assert "passed over: bikes.mp4@0:07.0–0:09.0 is not in the archive any more" in found.notices
    with pytest.raises(UsageError, match="none of the liked moments"):
        archive.search(Query(good=(gone,)))


def test_one_vector_a_video_leaves_out_parts_of_it(demo_clips: list[Path], tmp_path: Path) -> None:
    with open_archive(tmp_path / "coarse", granularity="video") as coarse:
        coarse.index(demo_clips)
        first = coarse.search(BIKE).moments[0]
        found = coarse.search(Query(BIKE, bad=(place(first),)))
        assert any(one.video == first.video for one in found.moments)
        assert all(overlap(one, first) < 0.5 * (one.end - one.start) for one in found.moments)
