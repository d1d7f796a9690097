"""The command: subtitles beside videos, searched by their words, alone and beside what is seen."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.command import run, succeed
from tests.e2e.test_documents import described
from tests.media.subtitle_files import srt
from vsr_edge.types import Cue

SAID = (
    Cue(1.0, 2.0, "Mind the fire"),
    Cue(2.1, 3.0, "door behind you."),
    Cue(4.0, 5.0, "A bicycle leaning against a wall, they said"),
)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, demo_clips: list[Path]) -> Path:
    """A folder with the shortest of the demo's clips, its subtitles, some that are broken, and an
    archive of it.
    """
    folder = tmp_path_factory.mktemp("words")
    (folder / "videos").mkdir()
    clip = next(clip for clip in demo_clips if "bikes" in clip.name)
    shutil.copy(clip, folder / "videos" / "bikes.mp4")
    (folder / "videos" / "bikes.en.srt").write_text(srt(SAID))
    (folder / "videos" / "bikes.vtt").write_text("")
    indexed = succeed("index", folder / "videos", "--archive", folder / "archive", "--json")
    assert described(indexed, "index")["cues"] == 3
    assert f"words: {folder / 'videos' / 'bikes.vtt'}: it is empty" in indexed.err
    assert "words: 3 cues were read" in indexed.err
    return folder


def test_a_phrase_is_found_with_its_moment(work: Path) -> None:
    at = ("--archive", work / "archive")
    shown = succeed("search", "--text", "fire door", *at)
    assert "0:01.0" in shown.out
    assert "Mind the fire door behind you." in shown.out
    found = described(succeed("search", "--text", '"fire door"', *at, "--json"), "search")
    (moment,) = found["moments"]
    assert (moment["start"], moment["end"], moment["source"]) == (1.0, 3.0, "said")
    assert (moment["text_source"], moment["match_probability"]) == ("sidecar", None)
    assert (found["verdict"], found["confidence"]) == ("match", None)
    assert "the words are there" in succeed("search", "--text", "door", *at, "--explain").err


def test_what_nobody_says_is_not_found(work: Path, demo_archive: Path) -> None:
    absent = run("search", "--text", "elephant", "--archive", work / "archive")
    assert (absent.code, absent.out) == (3, "")
    assert "nowhere are all these words near one another" in absent.err
    silent = run("search", "--text", "elephant", "--archive", demo_archive)
    assert silent.code == 3
    assert "no words are known of these videos" in silent.err
    for wrong in ("", "?!"):
        assert run("search", "--text", wrong, "--archive", work / "archive").code == 2


def test_a_plain_search_asks_both_and_says_whence(work: Path) -> None:
    query = ("search", "a bicycle leaning against a wall", "--archive", work / "archive", "--json")
    both = described(succeed(*query), "search")["moments"]
    assert {"seen", "both", "said"} >= {moment["source"] for moment in both} > {"seen"} or (
        both[0]["source"] == "both"
    )
    seen = described(run(*query, "--no-text"), "search")["moments"]
    assert {(moment["source"], moment["text"]) for moment in seen} == {("seen", None)}


def test_words_make_a_match_where_no_picture_does(work: Path) -> None:
    query = ("search", "someone who says mind the fire door", "--archive", work / "archive")
    found = succeed(*query)
    assert "Mind the fire door behind you." in found.out.splitlines()[1]
    assert "1?" not in found.out.splitlines()[1]


def test_words_are_counted(work: Path) -> None:
    at = ("--archive", work / "archive")
    assert described(succeed("stats", *at, "--json"), "stats")["cues"] == 3
    assert "3 subtitles" in succeed("stats", *at).out
    assert succeed("doctor", *at).code == 0
