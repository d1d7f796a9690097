"""Indexing on a Ray cluster of several machines, which are raylets of this one: the rows, what
kills cost, and how fast it is.

BENCH_VIDEOS names a folder of further footage, as of a composed benchmark.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.bench.figures import show
from tests.bench.sleepers import PACE, asleep
from tests.ingest.archives import content, footage, index, open_for
from vsr_edge.bundle.model import Bundle
from vsr_edge.ingest.executor import Executor, Local
from vsr_edge.ingest.processes import ProcessPool
from vsr_edge.ingest.ray_pool import RayPool
from vsr_edge.ingest.spread import Pool, Spread
from vsr_edge.ingest.summary import IngestSummary
from vsr_edge.ingest.worker import Recipe

pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(7200),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
]

KILLS = int(os.environ.get("BENCH_KILLS", "10"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
MACHINES = ((1,), (4,), (4, 4, 4, 4))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, demo_clips: list[Path]) -> Path:
    """The demo's clips, some of the further footage, and generated videos."""
    folder = tmp_path_factory.mktemp("videos")
    for clip in demo_clips:
        shutil.copy(clip, folder / clip.name)
    for number in range(6):
        footage(folder / f"{number}.mp4", 30.0, first=200 * number)
    return folder


@pytest.fixture(scope="module")
def benchmark_videos(videos: Path) -> list[Path]:
    more = os.environ.get("BENCH_VIDEOS")
    return [videos] if more is None else [videos, Path(more)]


@contextmanager
def cluster(*processors: int) -> Iterator[Any]:
    """A machine for each number, with so many processors; the first is its head."""
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": processors[0]})
    try:
        for number in processors[1:]:
            made.add_node(num_cpus=number)
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


def executor(bundle: Bundle, pool: Callable[[], Pool]) -> Spread:
    folder = str(bundle.manifest.folder)
    return Spread(Recipe(folder, bundle.encoders_id, "cpu", 1, "none"), pool)


def on(address: str, bundle: Bundle) -> Spread:
    return executor(bundle, lambda: RayPool(address))


def indexed(by: Executor, bundle: Bundle, archive: Path, videos: list[Path]) -> IngestSummary:
    try:
        return index(bundle, archive, videos, executor=by)
    finally:
        by.close()


def test_two_machines_give_the_rows_of_one(
    bundle: Bundle, benchmark_videos: list[Path], tmp_path: Path
) -> None:
    local = index(bundle, tmp_path / "local", benchmark_videos)
    with cluster(1, 1) as two:
        spread = indexed(on(two.address, bundle), bundle, tmp_path / "ray", benchmark_videos)
    assert spread.failed == local.failed
    assert content(tmp_path / "ray") == content(tmp_path / "local")
    show("equal rows of two machines", videos=spread.indexed, frames=spread.frames)


def workers() -> list[int]:
    """The processes of tasks."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and b"ray::run_order" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def kill_worker(_: Any, struck: threading.Event) -> None:
    """One that has a file in hand, or the next that has."""
    for _attempt in range(400):
        if running := workers():
            os.kill(random.choice(running), signal.SIGKILL)
            struck.set()
            return
        time.sleep(0.05)


def kill_machine(cluster: Any, struck: threading.Event) -> None:
    """The one that is not the head."""
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    struck.set()


def whole(bundle: Bundle, archive: Path, expected: Any) -> None:
    """Nothing is missing or doubled."""
    assert content(archive) == expected
    with open_for(bundle, archive) as store:
        assert store.check() == []
        assert len(store.videos()) == len(expected)


@pytest.mark.parametrize("what", ["worker", "machine", "driver"])
def test_kills_lose_and_double_nothing(
    what: str, bundle: Bundle, videos: Path, tmp_path: Path
) -> None:
    chance = random.Random(7)
    index(bundle, tmp_path / "local", videos)
    expected = content(tmp_path / "local")
    hit = failed = 0
    with cluster(1, 1) as two:
        started = time.monotonic()
        indexed(on(two.address, bundle), bundle, tmp_path / "warm", [videos])
        seconds = time.monotonic() - started
        if what == "driver":
            started = time.monotonic()
            _command(tmp_path / "command", videos, two.address).wait()
            seconds = time.monotonic() - started
        for number in range(KILLS):
            archive, moment = tmp_path / str(number), chance.uniform(0, 0.9) * seconds
            if what == "driver":
                process = _command(archive, videos, two.address)
                time.sleep(moment)
                process.kill()
                hit += process.wait() == -signal.SIGKILL
            else:
                struck = threading.Event()
                kill = kill_machine if what == "machine" else kill_worker
                timer = threading.Timer(moment, kill, (two, struck))
                timer.start()
                summary = indexed(on(two.address, bundle), bundle, archive, [videos])
                amid = struck.is_set()
                timer.join()
                hit += amid
                failed += len(summary.failed)
                if what == "machine":
                    two.add_node(num_cpus=1)
            indexed(on(two.address, bundle), bundle, archive, [videos])
            whole(bundle, archive, expected)
    show(f"killed: {what}", times=KILLS, amid_work=hit, failed_in_that_run=failed)


def _command(archive: Path, videos: Path, address: str) -> subprocess.Popen[bytes]:
    command = ["index", str(videos), "--archive", str(archive), "--ray", address]
    return subprocess.Popen(
        [sys.executable, "-m", "vsr_edge", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def descendants() -> list[int]:
    """This process and all that were started by it, the cluster's own included."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                parents[int(folder.name)] = int(fields[1])
    found = [os.getpid()]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def processor_seconds(processes: list[int]) -> float:
    total = 0
    for one in processes:
        with suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def test_speed_beside_this_process(
    bundle: Bundle, benchmark_videos: list[Path], tmp_path: Path
) -> None:
    """On the same two processors, one after the other, again and again; all are started, and their
    models loaded. Where others use the machine, the time that processors spent says more than the
    clock.
    """
    pool = ProcessPool(2)
    with cluster(1, 1) as two:
        by: dict[str, Executor] = {
            "local": Local(bundle),
            "processes": executor(bundle, lambda: pool),
            "ray": on(two.address, bundle),
        }
        who: dict[str, Callable[[], list[int]]] = {
            "local": lambda: [os.getpid()],
            "processes": lambda: [os.getpid(), *pool.process_ids],
            "ray": descendants,
        }
        clock: dict[str, list[float]] = {name: [] for name in by}
        spent: dict[str, list[float]] = {name: [] for name in by}
        for number in range(1 + ROUNDS):
            for name, one in by.items():
                before = processor_seconds(who[name]())
                summary = index(bundle, tmp_path / name, benchmark_videos, executor=one)
                after = processor_seconds(who[name]())
                shutil.rmtree(tmp_path / name)
                if number:
                    clock[name].append(summary.seconds)
                    spent[name].append(after - before)
                print(
                    f"{number} {name}: {summary.seconds:.1f} s, {after - before:.1f} of processors"
                )
        for one in by.values():
            one.close()
    for title, found in (("by the clock", clock), ("of processors", spent)):
        best = {name: min(seconds) for name, seconds in found.items()}
        show(f"seconds {title}, the least of {ROUNDS}, {summary.frames} frames", **best)
        show("of local", **{name: value / best["local"] for name, value in best.items()})


def test_more_machines_do_more(bundle: Bundle, demo_clips: list[Path], tmp_path: Path) -> None:
    """Simulated: each worker sleeps for as long as its file would take it; the rest is real."""
    clip = min(demo_clips, key=lambda path: path.stat().st_size)
    seconds: dict[int, float] = {}
    for machines in MACHINES:
        count = sum(machines)
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(4 * count):
            shutil.copy(clip, folder / f"{number}.mp4")
        with cluster(*machines) as many:
            by = executor(bundle, lambda at=many.address: RayPool(at, work=asleep))  # type: ignore[misc]
            index(bundle, tmp_path / f"warm-{count}", folder, executor=by)
            summary = indexed(by, bundle, tmp_path / f"archive-{count}", [folder])
        assert summary.indexed == 4 * count
        seconds[count] = summary.seconds
        show(f"simulated, {count} workers", seconds=summary.seconds, frames=summary.frames)
    show(
        f"simulated, {PACE:g} frames a second, as much work for each: efficiency",
        four=seconds[1] / seconds[4],
        sixteen=seconds[1] / seconds[16],
    )
