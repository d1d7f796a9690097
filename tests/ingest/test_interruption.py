"""A run that is interrupted keeps what it finished, and the next one completes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ingest.archives import content, counts, footage, index, open_for, paths_in
from vsr_edge.bundle.model import Bundle
from vsr_edge.ingest.summary import Progress
from vsr_edge.types import Sampling

SAMPLING = Sampling(fps=5)


class InterruptAt:
    """Ctrl-C while the progress of one file is told for the n-th time."""

    def __init__(self, name: str, times: int) -> None:
        self.name = name
        self.times = times

    def __call__(self, now: Progress) -> None:
        self.times -= now.path.name == self.name
        if self.times == 0:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for number in range(4):
        footage(folder / f"{number}.mkv", 5.0, first=100 * number)
    return folder


@pytest.fixture(scope="module")
def undisturbed(bundle: Bundle, videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    index(bundle, folder, videos, SAMPLING)
    return folder


@pytest.mark.parametrize(
    ("name", "times", "kept"),
    [("0.mkv", 1, 0), ("1.mkv", 2, 1), ("2.mkv", 4, 2), ("2.mkv", 5, 3), ("3.mkv", 3, 3)],
)
def test_an_interrupt_keeps_what_was_finished_and_the_next_run_completes_it(
    name: str,
    times: int,
    kept: int,
    bundle: Bundle,
    videos: Path,
    undisturbed: Path,
    tmp_path: Path,
) -> None:
    summary = index(bundle, tmp_path, videos, SAMPLING, on_progress=InterruptAt(name, times))
    assert summary.interrupted
    assert summary.indexed == kept
    assert [path.name for path in paths_in(tmp_path)] == [f"{n}.mkv" for n in range(kept)]
    with open_for(bundle, tmp_path) as store:
        assert store.check() == []
    after = index(bundle, tmp_path, videos, SAMPLING)
    assert not after.interrupted
    expected = {"indexed": 4 - kept, "skipped": kept, "frames": 25 * (4 - kept)}
    assert counts(after) == {key: number for key, number in expected.items() if number}
    assert content(tmp_path) == content(undisturbed)


def test_an_interrupt_amid_a_replacement_leaves_the_old_video(
    bundle: Bundle, tmp_path: Path
) -> None:
    path = footage(tmp_path / "a.mkv", 5.0)
    archive = tmp_path / "archive"
    index(bundle, archive, path, SAMPLING)
    before = content(archive)
    footage(path, 5.0, first=700)
    interrupted = index(bundle, archive, path, SAMPLING, on_progress=InterruptAt("a.mkv", 2))
    assert interrupted.interrupted
    assert content(archive) == before


def test_any_other_error_of_the_caller_is_passed_on_and_spoils_nothing(
    bundle: Bundle, videos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    def broken(now: Progress) -> None:
        if now.done_files == 2:
            raise RuntimeError("the caller's own defect")

    with pytest.raises(RuntimeError, match="own defect"):
        index(bundle, tmp_path, videos, SAMPLING, on_progress=broken)
    assert [path.name for path in paths_in(tmp_path)] == ["0.mkv", "1.mkv"]
    index(bundle, tmp_path, videos, SAMPLING)
    assert content(tmp_path) == content(undisturbed)
