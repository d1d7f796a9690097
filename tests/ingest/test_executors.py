"""One suite for all that may decode and encode: this process, others, a Ray cluster."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.ingest.archives import content, counts, footage, index, open_for, paths_in
from tests.ingest.workers import blind, killed_once, poisonable, slow
from tests.media.test_streams import write_streams
from tests.media_files import constant_rate, picture, truncated, write_sound, write_video
from vsr_edge import open_archive
from vsr_edge.bundle.model import Bundle
from vsr_edge.errors import BundleMismatch, UsageError, WorkerError
from vsr_edge.ingest.executor import Executor, Local
from vsr_edge.ingest.processes import ProcessPool
from vsr_edge.ingest.spread import Pool, Spread
from vsr_edge.ingest.summary import Progress
from vsr_edge.ingest.worker import PIECE_FRAMES, Excerpt, Recipe, Work, encode_file, in_lines
from vsr_edge.types import Sampling

HAS_RAY = find_spec("ray") is not None
EVERY = ("local", "processes", *(["ray"] if HAS_RAY else []))
WORKERS = 2

Make = Callable[..., Executor]


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    """One machine of two processors, started once; every pool after it finds it running."""
    from vsr_edge.ingest.ray_pool import RayPool

    pool = RayPool(local_processors=WORKERS)
    yield
    pool.close()
    with warnings.catch_warnings():  # Ray leaves its logs open
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def make(request: pytest.FixtureRequest, bundle: Bundle) -> Iterator[Make]:
    """Executors of each kind, closed at the end."""
    kind = request.param
    if kind == "ray":
        request.getfixturevalue("ray_cluster")
    made: list[Executor] = []

    def executor(work: Work = encode_file, encoders_id: str | None = None) -> Executor:
        recipe = Recipe(
            str(bundle.manifest.folder), encoders_id or bundle.encoders_id, "cpu", 1, "none"
        )
        made.append(
            Local(bundle, 1) if kind == "local" else Spread(recipe, lambda: _pool(kind, work))
        )
        return made[-1]

    yield executor
    for one in made:
        one.close()


def _pool(kind: str, work: Work) -> Pool:
    if kind == "processes":
        return ProcessPool(WORKERS, work)
    from vsr_edge.ingest.ray_pool import RayPool

    return RayPool(work=work)


every = pytest.mark.parametrize("make", EVERY, indirect=True)
spread = pytest.mark.parametrize("make", EVERY[1:], indirect=True)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an archive meets: videos, copies, a still one of many frames, damage, and no videos."""
    folder = tmp_path_factory.mktemp("videos")
    for number, name in enumerate(("a.mp4", "b.mkv", "sub/c.mp4")):
        footage(folder / name, first=100 * number)
    shutil.copy(folder / "a.mp4", folder / "sub" / "a-again.mp4")

    def still(_: int, width: int, height: int) -> NDArray[np.uint8]:
        return picture(700, width, height)

    write_video(folder / "still.mp4", constant_rate(PIECE_FRAMES + 40, 1.0), draw=still)
    truncated(footage(folder / "cut.mkv", 10.0, first=500), 0.7)
    write_sound(folder / "sound.mp4", "aac")
    (folder / "text.mp4").write_text("Shopping: milk, bread\n" * 100)
    (folder / "empty.mp4").touch()
    return folder


@pytest.fixture(scope="module")
def undisturbed(bundle: Bundle, videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    index(bundle, folder, videos)
    return folder


@every
def test_the_rows_are_the_same_whoever_encodes(
    make: Make, bundle: Bundle, videos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    executor = make()
    summary = index(bundle, tmp_path, videos, executor=executor, on_progress=seen.append)
    frames = 12 + 7 + PIECE_FRAMES + 40
    expected = {"indexed": 5, "copied": 1, "frames": frames, "partial": 1, "failed": 3}
    assert counts(summary) == expected
    assert {report.path.name: report.reason for report in summary.failed} == {
        "sound.mp4": "there is no video in it, only sound, pictures or data",
        "text.mp4": "not a media file, or too damaged to be opened",
        "empty.mp4": "the file is empty",
    }
    assert content(tmp_path) == content(undisturbed)
    with open_for(bundle, tmp_path) as store:
        assert store.check() == []
    for before, after in pairwise(seen):
        assert before.done_bytes <= after.done_bytes
        assert before.done_files <= after.done_files
        # Of files alike that are encoded at once one becomes a copy: what was read of it counts no
        # more.
        assert before.frames <= after.frames + 4
        assert before.media_seconds <= after.media_seconds + 4 + 1e-9
    assert any(now.frames > 0 and now.done_files < 5 for now in seen)
    last = seen[-1]
    assert (last.done_files, last.done_bytes) == (last.total_files, last.total_bytes)
    assert last.frames == summary.frames
    again = index(bundle, tmp_path, videos, executor=executor)
    assert counts(again) == {"skipped": 6, "failed": 3}


@every
def test_touched_moved_copied_and_changed_files_need_what_they_need(
    make: Make, bundle: Bundle, tmp_path: Path
) -> None:
    videos, archive = tmp_path / "videos", tmp_path / "archive"
    for number, name in enumerate("abc"):
        footage(videos / f"{name}.mp4", first=100 * number)
    index(bundle, archive, videos)
    os.utime(videos / "a.mp4", ns=(10**18, 10**18))
    (videos / "b.mp4").rename(videos / "moved.mp4")
    shutil.copy(videos / "a.mp4", videos / "copy.mp4")
    footage(videos / "c.mp4", 6.0, first=1000)
    summary = index(bundle, archive, videos, executor=make())
    expected = {"indexed": 1, "frames": 6, "skipped": 1, "moved": 1, "copied": 1}
    assert counts(summary) == expected
    index(bundle, tmp_path / "fresh", videos)
    assert content(archive) == content(tmp_path / "fresh")


@every
def test_all_streams_of_a_file_are_known_again(make: Make, bundle: Bundle, tmp_path: Path) -> None:
    path = write_streams(tmp_path / "drive.mp4", [(160, 96, 30, 0), (160, 96, 30, 1000)])
    executor = make()
    first = index(bundle, tmp_path / "archive", path, executor=executor, stream="all")
    assert (first.indexed, first.failed) == (2, [])
    assert paths_in(tmp_path / "archive") == [path, path.with_name("drive.mp4#1")]
    again = index(bundle, tmp_path / "archive", path, executor=executor, stream="all")
    assert counts(again) == {"skipped": 2}


@every
def test_an_interrupt_keeps_what_was_stored_and_leaves_nothing_running(
    make: Make, bundle: Bundle, videos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    def interrupt(now: Progress) -> None:
        if now.done_files == 3:
            raise KeyboardInterrupt

    executor = make()
    summary = index(bundle, tmp_path, videos, executor=executor, on_progress=interrupt)
    assert summary.interrupted
    assert len(paths_in(tmp_path)) == summary.indexed + summary.copied < 6
    _settled(executor)
    # The same one goes on.
    assert not index(bundle, tmp_path, videos, executor=executor).interrupted
    assert content(tmp_path) == content(undisturbed)


def _settled(executor: Executor) -> None:
    """Wait until nothing works for it any more; a test that waits too long fails."""
    if not isinstance(executor, Spread) or executor._pool is None:
        return
    if isinstance(executor._pool, ProcessPool):
        assert executor._pool.process_ids == []
        return
    import ray

    while ray.available_resources().get("CPU", 0) < WORKERS:
        time.sleep(0.1)


@spread
def test_a_file_that_kills_its_worker_fails_alone_after_two_tries(
    make: Make, bundle: Bundle, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    videos = tmp_path / "videos"
    for number in range(3):
        footage(videos / f"{number}.mp4", 2.0, first=100 * number)
    footage(videos / "0-poison.mp4", 2.0, first=900)
    summary = index(bundle, tmp_path / "archive", videos, executor=make(poisonable))
    assert counts(summary) == {"indexed": 3, "frames": 12, "failed": 1}
    (report,) = summary.failed
    assert report.path.name == "0-poison.mp4"
    assert report.reason.startswith("it ended 2 workers that read it (")
    assert capfd.readouterr().out == ""
    assert [path.name for path in paths_in(tmp_path / "archive")] == [
        f"{number}.mp4" for number in range(3)
    ]


@spread
def test_a_worker_that_is_lost_costs_no_file(make: Make, bundle: Bundle, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    for number in range(2):
        footage(videos / f"{number}.mp4", 2.0, first=100 * number)
    summary = index(bundle, tmp_path / "archive", videos, executor=make(killed_once))
    assert counts(summary) == {"indexed": 2, "frames": 8}
    index(bundle, tmp_path / "fresh", videos)
    assert content(tmp_path / "archive") == content(tmp_path / "fresh")


@spread
def test_a_file_that_the_worker_does_not_see_is_said_to_be_mounted_there(
    make: Make, bundle: Bundle, tmp_path: Path
) -> None:
    path = footage(tmp_path / "a.mp4", 1.0)
    summary = index(bundle, tmp_path / "archive", path, executor=make(blind))
    (report,) = summary.failed
    assert report.reason.startswith("the worker on ")
    assert report.reason.endswith(f" does not see {path}: mount it there")


@spread
def test_workers_with_another_bundle_end_the_run(
    make: Make, bundle: Bundle, tmp_path: Path
) -> None:
    path = footage(tmp_path / "a.mp4", 1.0)
    with pytest.raises(BundleMismatch, match=r"the worker on .*install the same one"):
        index(bundle, tmp_path / "archive", path, executor=make(encoders_id="of another"))


@spread
def test_only_so_many_files_are_in_hand(make: Make, bundle: Bundle, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    for number in range(12):
        footage(videos / f"{number}.mp4", 1.0, first=100 * number)
    in_hand: list[int] = []
    executor = make(slow)

    def look(now: Progress) -> None:
        begun = len({path.stem for path in videos.iterdir() if path.suffix != ".mp4"})
        in_hand.append(begun - now.done_files)

    assert index(bundle, tmp_path / "archive", videos, executor=executor, on_progress=look).indexed
    assert isinstance(executor, Spread)
    assert executor._pool is not None
    assert max(in_hand) <= executor._pool.room == 2 * WORKERS


def test_a_content_is_known_by_all_of_its_fingerprint() -> None:
    contents = in_lines(["ab", "cd#1"])
    contents += b"ef\n"
    excerpt = Excerpt((), bytes(contents))
    asked = ("ab", "cd#1", "ef", "a", "b", "cd", "f", "", "#1")
    assert [one for one in asked if excerpt.holds(one, Sampling())] == ["ab", "cd#1", "ef"]
    assert excerpt.of_size(1, Sampling()) == {"ab", "cd#1", "ef"}
    assert not Excerpt().holds("ab", Sampling())


def test_nothing_is_started_where_all_is_known(
    bundle: Bundle, videos: Path, undisturbed: Path, tmp_path: Path
) -> None:
    def never() -> Pool:
        raise AssertionError("there is nothing to do")

    archive = tmp_path / "archive"
    shutil.copytree(undisturbed, archive)
    recipe = Recipe("lite", bundle.encoders_id, "cpu", 1, "none")
    sound = [videos / name for name in ("a.mp4", "b.mkv", "still.mp4", "cut.mkv", "sub")]
    summary = index(bundle, archive, sound, executor=Spread(recipe, never))
    assert counts(summary) == {"skipped": 6}


def test_processes_that_cannot_start_say_why(bundle: Bundle, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text("import os; os.write(2, b'no way'); os._exit(7)")
    path = footage(tmp_path / "a.mp4", 1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(broken))
        pool = ProcessPool(1)
        executor = Spread(Recipe("lite", bundle.encoders_id, "cpu", 1, "none"), lambda: pool)
        with pytest.raises(WorkerError, match=r"exit code 7\): no way; index without --processes"):
            index(bundle, tmp_path / "archive", path, executor=executor)
        executor.close()


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_processes_end_with_whoever_started_them(bundle: Bundle, tmp_path: Path) -> None:
    footage(tmp_path / "a.mp4", 1.0)
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from tests.ingest.workers import slow\n"
        "from vsr_edge.ingest.processes import ProcessPool\n"
        "from vsr_edge.ingest.scan import FoundFile\n"
        "from vsr_edge.ingest.worker import Begun, Excerpt, Order, Recipe\n"
        "from vsr_edge.types import Sampling\n"
        f"recipe = Recipe({str(bundle.manifest.folder)!r}, '', 'cpu', 1, 'none')\n"
        f"file = FoundFile(Path({str(tmp_path / 'a.mp4')!r}))\n"
        "pool = ProcessPool(1, slow)\n"
        "pool.submit(1, Order(recipe, file, Sampling(), None, Excerpt()))\n"
        "pool.receive()\n"
        "print(*pool.process_ids, pool._folder, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    process, folder = done.stdout.split()
    while _runs(int(process)) or Path(folder).exists():
        time.sleep(0.05)


def _runs(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process_id}/stat")
    # Where nobody collects what has ended, it stays a zombie.
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_ways_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with open_archive(tmp_path / "archive") as archive:
        with pytest.raises(UsageError, match="choose one"):
            archive.index(tmp_path, processes=2, ray="local")
        with pytest.raises(UsageError, match="between 1 and"):
            archive.index(tmp_path, processes=0)


@pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed")
def test_addresses_that_lead_nowhere_are_refused(tmp_path: Path) -> None:
    path = footage(tmp_path / "a.mp4", 1.0)
    with open_archive(tmp_path / "archive") as archive:
        for address, error, said in (
            ("ray://head:10001", UsageError, "for clients"),
            ("somewhere", UsageError, "HOST:PORT"),
            ("127.0.0.1:1", WorkerError, "no Ray cluster answers at 127.0.0.1:1"),
        ):
            with pytest.raises(error, match=said):
                archive.index(path, ray=address)


def test_without_ray_its_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    path = footage(tmp_path / "a.mp4", 1.0)
    with (
        open_archive(tmp_path / "archive") as archive,
        pytest.raises(UsageError, match=r"pip install 'vsr-edge\[ray\]'"),
    ):
        archive.index(path, ray="local")
