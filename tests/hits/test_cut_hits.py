"""Which hits are cut, into which files, and that one bad file does not stop the others."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.media.test_trim import seen
from tests.media_files import constant_rate, write_video
from vsr_edge.answer import Moment, SearchResult, Verdict
from vsr_edge.errors import UsageError
from vsr_edge.hits.cuts import CutSummary, Hit, cut_hits, hits_of, hits_of_last, targets_of
from vsr_edge.hits.names import cut_name, safe_name
from vsr_edge.types import Decision


def answer(threshold: float | None, *likely: float | None) -> SearchResult:
    decision: Decision = "unverified" if threshold is None else "match"
    moments = tuple(
        Moment(rank, Path(f"/v/{rank}.mp4"), rank, rank + 1.0, 0.3, share)
        for rank, share in enumerate(likely, 1)
    )
    return SearchResult("a car", Verdict(decision, None, threshold), moments, (), {}, "b")


def test_guesses_are_cut_only_where_that_is_said() -> None:
    found = answer(0.5, 0.9, 0.6, 0.3)
    assert [one.number for one in hits_of(found)] == [1, 2]
    assert [one.number for one in hits_of(found, guesses=True)] == [1, 2, 3]
    assert [one.number for one in hits_of(found, min_probability=0.7)] == [1]
    assert [one.number for one in hits_of(found, guesses=True, min_probability=0.2)] == [1, 2, 3]
    assert [one.number for one in hits_of(answer(None, None, None))] == [1, 2]


def test_moments_of_the_last_answer_are_named_by_their_ranks() -> None:
    kept = asdict(answer(0.5, 0.9, 0.6, 0.3))
    for said, numbers in {"3,1": [3, 1], "2-3": [2, 3], "all": [1, 2, 3], "1, 1-2": [1, 2]}.items():
        assert [one.number for one in hits_of_last(kept, said)] == numbers
    assert hits_of_last(kept, "2")[0] == Hit(2, Path("/v/2.mp4"), 2.0, 3.0, "a car", 0.3, 0.6)
    for said in ("4", "0", "", "x", "1,", "1-9", "-1"):
        with pytest.raises(UsageError, match="moment"):
            hits_of_last(kept, said)
    with pytest.raises(UsageError, match="search again"):
        hits_of_last({"moments": [{"rank": 1}]}, "1")


@given(st.text(max_size=60) | st.sampled_from(["x" * 300, "é" * 200, "con", "NUL.a", ".", ""]))
def test_names_are_taken_by_every_system(text: str) -> None:
    name = safe_name(text)
    assert name
    assert len(name.encode()) <= 121
    assert not set('/\\:*?"<>|\n\0 ') & set(name)
    assert name[0] not in ".-"
    assert name[-1] not in ". "
    assert safe_name(name) == name


def test_names_say_the_video_and_the_span() -> None:
    path = Path("/videos/cam 1: door.mp4")
    assert cut_name(1, path, 83.0, 90.04, ".mp4") == "01_cam_1_door_1m23.0s-1m30.0s.mp4"
    assert cut_name(12, Path("a.mp4#1"), 0, 3600, ".mkv") == "12_a_1_0m00.0s-1h00m00.0s.mkv"
    assert safe_name("CON.txt") == "_CON.txt"
    assert safe_name("日本" * 100) == "日本" * 20


def test_one_bad_file_does_not_stop_the_others(tmp_path: Path) -> None:
    good = write_video(tmp_path / "a.mp4", constant_rate(50))
    bad = tmp_path / "b.mp4"
    bad.write_text("no video")
    hits = [Hit(n, path, 2.0, 3.0, "x") for n, path in enumerate((good, bad, good), 1)]
    targets = targets_of(hits, tmp_path / "out", pad=0.5)
    done = cut_hits(hits, targets, pad=0.5)
    assert [cut.hit.number for cut in done.cuts] == [1, 3]
    assert [path for path, _ in done.failed] == [bad]
    assert seen(done.cuts[0].trimmed.path).numbers == list(range(15, 35))
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == [
        "01_a_0m01.5s-0m03.5s.mp4",
        "03_a_0m01.5s-0m03.5s.mp4",
    ]
    with pytest.raises(UsageError, match=r"exists already.*--force"):
        targets_of(hits, tmp_path / "out", pad=0.5)
    assert targets_of(hits, tmp_path / "out", pad=0.5, force=True) == targets
    with pytest.raises(UsageError, match="one file for 3 cuts"):
        targets_of(hits, tmp_path / "one.mp4")


@pytest.mark.parametrize("copy", [False, True])
def test_what_was_lost_amid_a_cut_is_heard_at_its_next_picture(copy: bool, tmp_path: Path) -> None:
    if copy and int(av.__version__.split(".")[0]) < 15:
        pytest.skip("PyAV 14 copies no stream of H.264 that can be decoded")
    path = write_video(tmp_path / "a.mkv", constant_rate(50), keyframe_interval=10)
    hits = [Hit(n, path, 1.0, 3.0, "x") for n in (1, 2)]
    targets = [tmp_path / "out" / f"{n}.mkv" for n in (1, 2)]
    summary, told = CutSummary(), list[int]()

    def heard(done: int, _: int) -> None:
        told.append(done)
        if told.count(1) == 9:  # amid the second
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_hits(hits, targets, copy=copy, on_done=heard, summary=summary)
    assert [cut.hit.number for cut in summary.cuts] == [1]
    assert list((tmp_path / "out").iterdir()) == targets[:1]


def test_a_folder_that_cannot_be_written_is_said_of_each(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", constant_rate(20))
    hits = [Hit(1, path, 0.0, 1.0, "x")]
    done = cut_hits(hits, [tmp_path / ("n" * 300 + ".mp4")])
    assert done.cuts == []
    assert "cannot be written" in done.failed[0][1]
