"""What `index` does with words: which are read, when again, and what becomes of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.ingest.archives import counts, footage, index, open_for
from tests.media.subtitle_files import ass, srt, vtt, with_stream
from vsr_edge.bundle.model import Bundle
from vsr_edge.ingest.cues import Listener, tidied
from vsr_edge.ingest.summary import IngestSummary
from vsr_edge.store import open_store
from vsr_edge.store.base import Texts
from vsr_edge.types import Cue, Sampling, StoredVideo, TextSource

COPIES = pytest.mark.skipif(
    int(av.__version__.split(".")[0]) < 15,
    reason="PyAV 14 copies no stream of H.264 that can be decoded",
)

SAID = (Cue(0.5, 1.5, "The fire door"), Cue(2.0, 3.0, "is open"))


class Work:
    """A folder with videos and an archive of them."""

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        self.bundle, self.archive, self.videos = bundle, folder / "archive", folder / "videos"
        self.film = footage(self.videos / "film.mp4", 4.0)

    def index(self, sampling: Sampling | None = None, **options: object) -> IngestSummary:
        return index(self.bundle, self.archive, self.videos, sampling, **options)

    def beside(self, name: str, content: str | bytes) -> Path:
        path = self.videos / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def found(self, query: str) -> list[tuple[str, float, str]]:
        with open_store(self.archive) as store:
            hits = store.find_text(query, 10)
            videos = store.videos_of(hit.video_id for hit in hits)
            return [(videos[h.video_id].video.path.name, h.start, h.source) for h in hits]

    def texts(self, name: str = "film.mp4") -> dict[TextSource, Texts]:
        with open_store(self.archive) as store:
            stored = store.find(self.videos / name)
            assert stored is not None
            return store.texts(stored.video_id)


@pytest.fixture
def work(bundle: Bundle, tmp_path: Path) -> Work:
    return Work(bundle, tmp_path)


def test_a_file_beside_a_video_is_read_when_it_comes_changes_and_goes(work: Work) -> None:
    assert work.index().cues == 0
    path = work.beside("film.en.srt", srt(SAID))
    came = work.index()
    assert (counts(came), came.cues) == ({"skipped": 1}, 2)
    assert work.found("fire door") == [("film.mp4", 0.5, "sidecar")]
    assert work.index().cues == 0
    work.beside("film.en.srt", srt((Cue(1.0, 2.0, "a window"),)))
    os.utime(path, ns=(1, 1))
    assert work.index().cues == 1
    assert (work.found("fire door"), work.found("windows")) == (
        [],
        [("film.mp4", 1.0, "sidecar")],
    )
    path.unlink()
    work.index()
    assert (work.found("window"), "sidecar" in work.texts()) == ([], False)


@COPIES
def test_several_files_and_a_stream_are_all_read(work: Work) -> None:
    work.film.unlink()
    plain = footage(work.videos.parent / "plain.mp4", 4.0)
    with_stream(plain, work.videos / "film.mkv", "subrip", (Cue(1.0, 2.0, "from within"),))
    work.beside("film.srt", srt(SAID))
    work.beside("film.fr.vtt", vtt((Cue(1.0, 2.0, "la porte"),)))
    work.beside("film.signs.ass", ass((Cue(1.0, 2.0, "no entry"),)))
    summary = work.index()
    assert (summary.cues, summary.text_problems) == (5, [])
    assert work.found('"fire door is open"') == [("film.mkv", 0.5, "sidecar")]
    for words in ("porte", "entry"):
        assert work.found(words) == [("film.mkv", 1.0, "sidecar")]
    assert work.found("within") == [("film.mkv", 1.0, "embedded")]


def test_a_broken_file_is_named_once_and_its_video_indexed(work: Work) -> None:
    path = work.beside("film.srt", b"\x89PNG\0\r\n" + bytes(range(256)))
    summary = work.index()
    assert counts(summary)["indexed"] == 1
    (problem,) = summary.text_problems
    assert (problem.path, problem.reason) == (path, "it is no text")
    assert work.index().text_problems == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_words_stay_while_their_file_cannot_be_read(work: Work) -> None:
    path = work.beside("film.srt", srt(SAID))
    work.index()
    os.utime(path, ns=(1, 1))
    path.chmod(0)
    assert len(work.index().text_problems) == 1
    assert len(work.found("fire door")) == 1


def test_a_folder_in_place_of_a_file_is_named_and_words_stay(work: Work) -> None:
    path = work.beside("film.srt", srt(SAID))
    work.index()
    path.unlink()
    path.mkdir()
    (problem,) = work.index().text_problems
    assert problem.path == path
    assert len(work.found("fire door")) == 1


def test_words_that_are_not_in_the_video_are_left_out(work: Work) -> None:
    late = (Cue(3.5, 9.0, "to the end"), Cue(100.0, 101.0, "of a longer version"))
    work.beside("film.srt", srt(late))
    assert work.index().cues == 1
    (cue,) = work.texts()["sidecar"].cues
    assert cue.start == 3.5 < cue.end < 4.1


def listener(stamp: str, heard: list[Path]) -> Listener:
    def read(stored: StoredVideo) -> Iterator[list[Cue]]:
        heard.append(stored.video.path)
        yield [Cue(1.0, 2.0, f"heard by {stamp}")]

    return Listener("speech", stamp, read)


def test_a_listener_hears_each_video_once(work: Work) -> None:
    heard: list[Path] = []
    work.index()
    for _ in range(2):
        work.index(listeners=[listener("alpha", heard)])
    assert heard == [work.film]
    work.index(listeners=[listener("beta", heard)])
    work.index()
    assert heard == [work.film] * 2
    assert (work.found("alpha"), work.found("beta")) == ([], [("film.mp4", 1.0, "speech")])


def test_a_listener_that_fails_loses_no_video_and_no_words(work: Work) -> None:
    def fail(_: StoredVideo) -> Iterable[list[Cue]]:
        raise RuntimeError("the model broke")

    work.index(listeners=[listener("alpha", [])])
    summary = work.index(listeners=[Listener("speech", "beta", fail)])
    assert [problem.reason for problem in summary.text_problems] == [
        "unexpected RuntimeError: the model broke"
    ]
    assert len(work.found("alpha")) == 1


def test_words_stay_when_a_video_is_encoded_anew_moved_or_copied(work: Work) -> None:
    heard: list[Path] = []
    alpha = [listener("alpha", heard)]
    work.beside("film.srt", srt(SAID))
    work.index(listeners=alpha)
    assert work.index(Sampling(fps=2)).indexed == 1
    assert {name for name, _, _ in work.found("alpha")} == {"film.mp4"}
    work.film.rename(work.videos / "moved.mp4")
    (work.videos / "film.srt").rename(work.videos / "moved.srt")
    assert work.index(Sampling(fps=2)).moved == 1
    assert {name for name, _, _ in work.found("alpha")} == {"moved.mp4"}
    assert len(work.found("fire door")) == 1
    (work.videos / "copy.mp4").write_bytes((work.videos / "moved.mp4").read_bytes())
    assert work.index(Sampling(fps=2), listeners=alpha).copied == 1
    # What is said in it, but not what lies beside the other.
    assert {name for name, _, _ in work.found("alpha")} == {"moved.mp4", "copy.mp4"}
    assert [name for name, _, _ in work.found("fire door")] == ["moved.mp4"]
    assert heard == [work.film]


def test_another_video_at_the_same_path_says_other_things(work: Work) -> None:
    work.index(listeners=[listener("alpha", [])])
    footage(work.film, 4.0, first=500)
    work.index()
    assert work.found("alpha") == []


@COPIES
def test_archives_of_before_learn_what_is_within(work: Work) -> None:
    """Known and unchanged, but its streams were never looked at."""
    with_stream(work.film, work.videos / "said.mkv", "ass", SAID)
    work.index()
    with open_for(work.bundle, work.archive) as store, store.writer() as writer:
        for one in store.videos():
            writer.set_texts(one.video_id, "embedded", None)
    assert work.found("fire door") == []
    summary = work.index()
    assert (counts(summary), summary.cues) == ({"skipped": 2}, 2)
    assert len(work.found("fire door")) == 1


some_cues = st.lists(
    st.builds(
        Cue,
        st.floats(-5, 30, allow_nan=False),
        st.floats(-5, 30, allow_nan=False),
        st.sampled_from("abc"),
    ),
    max_size=12,
)


@example([Cue(1e-38, 1e-38, "a"), Cue(3e-185, 1.0, "b")], 0.0)
@given(some_cues, st.floats(0, 20))
def test_tidy_words_lie_in_order_within_the_video(cues: list[Cue], duration: float) -> None:
    found = tidied(cues, duration)
    assert [cue.start for cue in found] == sorted(cue.start for cue in found)
    for cue in found:
        assert 0 <= cue.start < cue.end <= max(duration, 0.001)
        assert cue.text in {one.text for one in cues}
    for cue in cues:
        if 0 <= cue.start <= cue.end and cue.start < duration:
            assert any(one.text == cue.text and one.start <= cue.start for one in found)


def test_what_is_still_shown_is_one() -> None:
    rolling = [Cue(0, 1, "a"), Cue(1.2, 2, "a"), Cue(1.2, 2, "b"), Cue(2, 3, "b"), Cue(9, 10, "a")]
    assert tidied(rolling, 20) == [Cue(0, 2, "a"), Cue(1.2, 3, "b"), Cue(9, 10, "a")]
