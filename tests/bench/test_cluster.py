"""Indexing on a Ray cluster of several machines, which are raylets of this one, into a folder and
into a server: the rows, what kills cost, and how fast it is.

BENCH_VIDEOS names a folder of further footage, as of a composed benchmark.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.bench.conftest import Place
from tests.bench.figures import show
from tests.bench.sleepers import PACE, asleep, awake
from tests.ingest.archives import footage, index, open_for
from tests.store.archives import content, rows
from vsr_edge.bundle.model import Bundle
from vsr_edge.ingest.executor import Executor, Local
from vsr_edge.ingest.processes import ProcessPool
from vsr_edge.ingest.ray_pool import RayPool
from vsr_edge.ingest.spread import Pool, Spread
from vsr_edge.ingest.summary import IngestSummary
from vsr_edge.ingest.worker import Recipe, Work

pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(7200),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
]

KILLS = int(os.environ.get("BENCH_KILLS", "10"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
# Videos whose frames are made at once.
MADE = 32
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


def indexed(by: Executor, bundle: Bundle, archive: Path | str, videos: list[Path]) -> IngestSummary:
    try:
        return index(bundle, archive, videos, executor=by)
    finally:
        by.close()


def test_two_machines_give_the_rows_of_one(
    bundle: Bundle, benchmark_videos: list[Path], place: Place, tmp_path: Path
) -> None:
    local = index(bundle, tmp_path / "local", benchmark_videos)
    with cluster(1, 1) as two:
        spread = indexed(on(two.address, bundle), bundle, place("ray"), benchmark_videos)
    assert spread.failed == local.failed
    assert content(place("ray")) == content(tmp_path / "local")
    show("equal rows of two machines", videos=spread.indexed, frames=spread.frames)


def at_work(raylet: int | None = None) -> list[int]:
    """The processes that have a file in hand: all, or those of one machine."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            working = folder.name.isdecimal() and b"ray::run_order" in named(folder)
            if working and raylet in (None, parent(folder)):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def named(process: Path) -> bytes:
    return (process / "cmdline").read_bytes()


def parent(process: Path) -> int:
    return int((process / "stat").read_text().rpartition(")")[2].split()[1])


class Struck:
    """A run as of a command, amid which something is killed."""

    def __init__(self, cluster: Any, what: str, archive: Path | str, videos: Path) -> None:
        self.cluster, self.what, self.archive = cluster, what, archive
        command = ["index", str(videos), "--archive", str(archive), "--json"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vsr_edge", *command, "--ray", cluster.address],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def strike(self, after: int, wait: float) -> int | None:
        """Kill when so many videos are stored, and something is in hand of what is killed; how many
        were then. None if the run was over before.
        """
        waited = False
        while self.process.poll() is None:
            done, victims = stored(self.archive), self.victims()
            if done < after or not victims:
                time.sleep(0.02)
            elif not waited:
                time.sleep(wait)
                waited = True
            else:
                self.kill(victims)
                return done
        return None

    def victims(self) -> list[int]:
        return at_work(self.raylet if self.what == "machine" else None)

    @property
    def raylet(self) -> int:
        """Of the machine that is not the head."""
        (node,) = self.cluster.worker_nodes
        return int(node.all_processes["raylet"][0].process.pid)

    def kill(self, victims: list[int]) -> None:
        if self.what == "machine":
            (node,) = self.cluster.worker_nodes
            os.kill(self.raylet, signal.SIGKILL)
            self.cluster.remove_node(node, allow_graceful=False)
        else:
            os.kill(
                self.process.pid if self.what == "driver" else random.choice(victims),
                signal.SIGKILL,
            )

    def outcome(self) -> int:
        """How many files failed in the run that was struck; of a driver's death nobody tells."""
        said, complained = self.process.communicate()
        if self.what == "driver":
            assert self.process.returncode == -signal.SIGKILL
            return 0
        assert said, complained
        return len(json.loads(said)["failed"])


def stored(archive: Path | str) -> int:
    """How many videos are."""
    return int(rows(archive, "SELECT count(*) FROM videos")[0][0])


@pytest.mark.parametrize("what", ["worker", "machine", "driver"])
def test_kills_lose_and_double_nothing(
    what: str, bundle: Bundle, videos: Path, place: Place, tmp_path: Path
) -> None:
    chance = random.Random(7)
    index(bundle, tmp_path / "local", videos)
    expected = content(tmp_path / "local")
    amid: list[int] = []
    missed = failed = 0
    with cluster(1, 1) as two:
        while len(amid) < KILLS:
            archive = place(str(len(amid) + missed))
            open_for(bundle, archive).close()
            run = Struck(two, what, archive, videos)
            done = run.strike(chance.randrange(len(expected) - 1), chance.uniform(0, 0.5))
            if done is None:
                run.process.communicate()
                missed += 1
                continue
            failed += run.outcome()
            amid.append(done)
            left = stored(archive)
            again = indexed(on(two.address, bundle), bundle, archive, [videos])
            print(f"{what}: struck after {done} videos, {left} left, {again.indexed} made up for")
            if what == "machine":
                two.add_node(num_cpus=1)
            assert again.failed == []
            assert content(archive) == expected
            with open_for(bundle, archive) as store:
                assert store.check() == []
                assert len(store.videos()) == len(expected)
    show(
        f"killed: {what}, of {len(expected)} videos so many were stored before: {sorted(amid)}",
        times=len(amid),
        failed_in_that_run=failed,
    )


def descendants() -> list[int]:
    """This process and all that were started by it, the cluster's own included."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                parents[int(folder.name)] = parent(folder)
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
    bundle: Bundle, benchmark_videos: list[Path], place: Place
) -> None:
    """On the same two processors, one after the other, again and again; all are started, and their
    models loaded. Where others use the machine, the time that processors spent says more than the
    clock. What a server itself does is left out of it.
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
                archive = place(f"{name}-{number}")
                summary = index(bundle, archive, benchmark_videos, executor=one)
                after = processor_seconds(who[name]())
                if number:
                    clock[name].append(summary.seconds)
                    spent[name].append(after - before)
                print(
                    f"{number} {name}: {summary.seconds:.1f} s, {after - before:.1f} of processors,"
                    f" load {os.getloadavg()[0]:.1f}"
                )
        for one in by.values():
            one.close()
    for title, found in (("by the clock", clock), ("of processors", spent)):
        show(
            f"seconds {title}, the median of {ROUNDS}, {summary.frames} frames",
            **{name: statistics.median(seconds) for name, seconds in found.items()},
        )
        show(
            "of local in the same round, the median",
            **{
                name: statistics.median(a / b for a, b in zip(seconds, found["local"], strict=True))
                for name, seconds in found.items()
            },
        )


def copies(clip: Path, folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        shutil.copy(clip, folder / f"{number}.mp4")
    return folder


def on_many(address: str, bundle: Bundle, work: Work) -> Spread:
    return executor(bundle, lambda: RayPool(address, work=work))


def test_more_machines_do_more(
    bundle: Bundle, demo_clips: list[Path], place: Place, tmp_path: Path
) -> None:
    """Simulated: each worker sleeps for as long as its file would take it; the rest is real."""
    clip = min(demo_clips, key=lambda path: path.stat().st_size)
    seconds: dict[int, float] = {}
    for machines in MACHINES:
        count = sum(machines)
        folder = copies(clip, tmp_path / str(count), 4 * count)
        with cluster(*machines) as many:
            by = on_many(many.address, bundle, asleep)
            index(bundle, place(f"warm-{count}"), folder, executor=by)
            summary = indexed(by, bundle, place(f"asleep-{count}"), [folder])
            assert summary.indexed == 4 * count
            seconds[count] = summary.seconds
            show(f"simulated, {count} workers", seconds=summary.seconds, frames=summary.frames)
    show(
        f"simulated, {PACE:g} frames a second, as much work for each: efficiency",
        four=seconds[1] / seconds[4],
        sixteen=seconds[1] / seconds[16],
    )


def test_frames_that_are_made_at_once_are_stored(
    bundle: Bundle, demo_clips: list[Path], place: Place, tmp_path: Path
) -> None:
    """By one worker and by sixteen: into a folder through one writer, into a server each itself."""
    clip = min(demo_clips, key=lambda path: path.stat().st_size)
    for machines in (MACHINES[0], MACHINES[-1]):
        count = sum(machines)
        first = copies(clip, tmp_path / f"first-{count}", count)
        folder = copies(clip, tmp_path / str(count), MADE)
        with cluster(*machines) as many:
            by = on_many(many.address, bundle, awake)
            index(bundle, place(f"warm-{count}"), first, executor=by)
            summary = indexed(by, bundle, place(f"awake-{count}"), [folder])
        assert summary.indexed == MADE
        show(
            f"stored, made by {count} workers at once",
            frames=summary.frames,
            seconds=summary.seconds,
            a_second=summary.frames / summary.seconds,
            load=os.getloadavg()[0],
        )
