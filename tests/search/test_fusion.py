"""Answers by words, and what becomes of answers by pictures when words answer too."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsr_edge import Archive, Moment, open_archive
from vsr_edge.errors import UsageError
from vsr_edge.search.fusion import COMMON, LOOK_UP, NEAR, _fused, precedence, telling_words
from vsr_edge.store.base import Texts
from vsr_edge.types import Cue, Decision, TextHit, Whence

SEEN = "a bicycle leaning against a wall"
SAID = {
    "bikes": (
        Cue(1.0, 2.0, "Nobody saw the elephant in the river"),
        Cue(4.0, 5.0, "a wall of silence"),
    ),
    "bunny": (Cue(3.0, 4.0, "The bicycle was leaning"), Cue(4.5, 5.5, "against an old wall")),
}


@pytest.fixture(scope="module")
def archive(demo_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """The demo's clips, of which two say something."""
    folder = tmp_path_factory.mktemp("spoken") / "archive"
    shutil.copytree(demo_archive, folder)
    with open_archive(folder) as opened:
        with opened.store.writer() as writer:
            for name, cues in SAID.items():
                (stored,) = [one for one in opened.videos() if name in one.video.path.name]
                writer.set_texts(stored.video_id, "sidecar", Texts("a", cues))
        yield opened


def test_words_alone_are_found_with_their_time_and_place(archive: Archive) -> None:
    found = archive.search("elephants", text=True)
    (moment,) = found.moments
    assert (moment.rank, moment.video.name, moment.start, moment.end) == (1, "bikes.mp4", 1.0, 2.0)
    assert (moment.source, moment.text_source, moment.match_probability) == (
        "said",
        "sidecar",
        None,
    )
    assert moment.text == "Nobody saw the elephant in the river"
    assert (found.verdict.decision, found.verdict.confidence) == ("match", None)
    assert found.turns[0].encoder_calls == 0


def test_words_alone_need_no_bundle(archive: Archive) -> None:
    with open_archive(archive.settings.archive, bundle="/nowhere") as opened:
        assert len(opened.search("elephant", text=True).moments) == 1


def test_what_nobody_says_is_not_found(archive: Archive) -> None:
    found = archive.search("a griffin", text=True)
    assert (found.verdict.decision, found.moments) == ("no_match", ())
    with pytest.raises(UsageError, match="holds no word"):
        archive.search("?!", text=True)


def test_a_filter_and_a_limit_count_for_words(archive: Archive) -> None:
    assert len(archive.search("wall", text=True).moments) == 2
    assert len(archive.search("wall", text=True, top_k=1).moments) == 1
    (one,) = archive.search("wall", text=True, video="bikes.mp4").moments
    assert one.video.name == "bikes.mp4"


def test_both_answers_become_one_and_say_whence(archive: Archive) -> None:
    pictures, both = archive.search(SEEN, text=False), archive.search(SEEN)
    assert all(moment.source == "seen" for moment in pictures.moments)
    # What is said there, over two cues, is in the first two.
    assert any(one.source != "seen" and one.start == 3.0 for one in both.moments[:2])
    assert [one.rank for one in both.moments] == [*range(1, len(both.moments) + 1)]
    # The order among what is seen is the same.
    seen = [(one.video, one.start) for one in both.moments if one.source == "seen"]
    before = [(one.video, one.start) for one in pictures.moments]
    assert seen == [place for place in before if place in seen]
    assert both.timing_ms["total"] >= both.timing_ms["text"] > 0


def test_words_that_are_there_are_a_match_where_no_picture_is(archive: Archive) -> None:
    query = "an elephant in a river"
    assert archive.search(query, text=False).verdict.decision == "no_match"
    found = archive.search(query)
    assert (found.verdict.decision, found.verdict.confidence) == ("match", None)
    assert found.moments[0].text == "Nobody saw the elephant in the river"
    assert found.moments[0].source in {"said", "both"}


def test_a_query_of_which_a_word_is_not_said_is_answered_by_pictures(archive: Archive) -> None:
    query = "a bicycle leaning against a red wall"
    pictures, both = archive.search(query, text=False), archive.search(query)
    assert both.moments == pictures.moments
    assert (both.verdict, len(both.turns)) == (pictures.verdict, len(pictures.turns))


def test_the_path_says_which_list_came_first_and_why(archive: Archive) -> None:
    found = archive.search(SEEN)
    *seen, words = found.turns
    assert [turn.then for turn in seen] == [t.then for t in archive.search(SEEN, text=False).turns]
    assert (words.turn, words.action, words.encoder_calls) == (len(seen) + 1, LOOK_UP, 0)
    assert [one.start for one in words.candidates] == [3.0]
    # It is a match by pictures, and said in two cues.
    assert found.verdict.decision == "match"
    assert (
        words.then == "pictures that match come first: no cue says all of it, only two in a row do"
    )


@pytest.mark.parametrize(
    ("said", "first"),
    [
        # One cue says all that tells something, with other small words.
        (("the bicycle was leaning against that wall",), "said"),
        (("the bicycle was leaning", "against that wall"), "seen"),
        # The phrase goes on in the next one.
        (("a bicycle leaning", "against a wall"), "said"),
        (("the bicycle was leaning against that wall",) * COMMON, "seen"),
        # The query itself is said once, whatever else is said often.
        (("bicycle leaning against wall",) * COMMON + (SEEN,), "said"),
    ],
)
def test_words_come_before_a_picture_that_matches_where_one_cue_says_it_all_and_few_do(
    said: tuple[str, ...], first: str, archive: Archive, tmp_path: Path
) -> None:
    shutil.copytree(archive.settings.archive, tmp_path / "archive")
    with open_archive(tmp_path / "archive") as opened:
        bunny, bikes = (
            next(one for one in opened.videos() if name in one.video.path.name)
            for name in ("bunny", "bikes")
        )
        # With pauses, so that no cue goes on in the next but where two are all that is said.
        step = 0.1 if len(said) == 2 else 4.0
        cues = tuple(Cue(n * step, n * step + 0.05, text) for n, text in enumerate(said))
        with opened.store.writer() as writer:
            writer.set_texts(bikes.video_id, "sidecar", None)
            writer.set_texts(bunny.video_id, "sidecar", Texts("b", cues))
        found = opened.search(SEEN)
    assert found.verdict.decision == "match"
    assert (found.moments[0].text is not None) == (first == "said")


def test_what_scores_are_asked_of_is_answered_by_pictures(archive: Archive) -> None:
    assert all(one.source == "seen" for one in archive.search(SEEN, min_score=-1).moments)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("The man's dog is running", ["man", "dog", "running"]),
        ("someone talking about the FIRE door, the fire-door", ["fire", "door"]),
        ("is it there?", []),
        ("C++ 2024 ärger", ["c", "2024", "ärger"]),
    ],
)
def test_words_that_tell_something_are_told_from_the_others(query: str, words: list[str]) -> None:
    assert telling_words(query) == words


def moment(rank: int, video: str, start: float, source: Whence, chance: float | None) -> Moment:
    text = None if source == "seen" else "words"
    return Moment(*(rank, Path(video), start, start + 2, 0.5, chance), source=source, text=text)


hits = st.lists(st.integers(1, 2), min_size=1, max_size=2 * COMMON).map(
    lambda cues: [TextHit(1, n, n + 1, "words", "sidecar", 1.0, c) for n, c in enumerate(cues)]
)


@given(hits, st.booleans(), st.sampled_from(["match", "no_match", "unverified"]))
def test_words_never_come_later_where_they_are_rarer_firmer_or_no_picture_matches(
    strictest: list[TextHit], enough: bool, decision: Decision
) -> None:
    first, why = precedence(decision, strictest, enough=enough)
    assert why.startswith("words come first: " if first else "pictures that match come first: ")
    if decision != "match":
        assert first
    fewer = precedence(decision, strictest[:1], enough=enough)[0]
    firmer = precedence(decision, [replace(hit, cues=1) for hit in strictest], enough=enough)[0]
    more = precedence(decision, strictest, enough=True)[0]
    unsure = precedence("no_match", strictest, enough=enough)[0]
    assert min(fewer, firmer, more, unsure) >= first
    # One cue of all the archive that says all of several words is what was asked for.
    assert precedence(decision, [replace(strictest[0], cues=1)], enough=True)[0]


def test_the_first_of_both_ranks_above_either() -> None:
    seen = [moment(n, f"{n}", 0, "seen", 0.9 - n / 10) for n in (1, 2, 3)]
    said = [moment(1, "x", 0, "said", None), moment(2, "3", 1, "said", None)]
    for words_first, expected in ((True, "3x12"), (False, "31x2")):
        ranked = _fused(seen, said, words_first, 0.5)
        assert "".join(str(one.video) for one in ranked) == expected
    assert [one.source for one in ranked] == ["both", "seen", "said", "seen"]


@pytest.mark.parametrize(("chance", "start"), [(0.9, 0.0), (0.1, 1.5), (None, 1.5)])
def test_a_guess_takes_the_time_of_its_words(chance: float | None, start: float) -> None:
    (one,) = _fused(
        [moment(1, "a", 0, "seen", chance)], [moment(1, "a", 1.5, "said", None)], True, 0.5
    )
    assert (one.start, one.source, one.match_probability) == (start, "both", chance)


def test_words_near_a_picture_are_of_it_and_others_are_not() -> None:
    for gap, count in ((NEAR, 1), (NEAR + 0.1, 2)):
        said = [moment(1, "a", 2 + gap, "said", None)]
        assert len(_fused([moment(1, "a", 0, "seen", 0.9)], said, True, 0.5)) == count


places = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40)), max_size=6, unique=True)


@given(places, places, st.booleans())
def test_nothing_is_lost_and_each_list_keeps_its_order(
    seen: list[tuple[str, int]], said: list[tuple[str, int]], words_first: bool
) -> None:
    pictures = [moment(n, video, at, "seen", 0.9) for n, (video, at) in enumerate(seen, 1)]
    words = [moment(n, video, at, "said", None) for n, (video, at) in enumerate(said, 1)]
    ranked = _fused(pictures, words, words_first, 0.5)
    assert [one.rank for one in ranked] == [*range(1, len(ranked) + 1)]
    both = sum(one.source == "both" for one in ranked)
    assert len(ranked) == len(seen) + len(said) - both
    for source, before in (("seen", pictures), ("said", words)):
        order = [(one.video, one.start) for one in before]
        kept = [(one.video, one.start) for one in ranked if one.source == source]
        assert kept == [place for place in order if place in set(kept)]
