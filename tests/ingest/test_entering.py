"""Workers that store what they encode, in an archive that many write to."""

from __future__ import annotations

import pickle
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.ingest.archives import footage, open_for
from tests.ingest.workers import killed_when_stored, poisonable
from tests.servers import Server
from tests.store.archives import content
from vsr_edge.bundle.model import Bundle
from vsr_edge.ingest.executor import Event, Executor
from vsr_edge.ingest.processes import ProcessPool
from vsr_edge.ingest.run import ingest
from vsr_edge.ingest.spread import Pool, Spread
from vsr_edge.ingest.summary import IngestSummary, Progress
from vsr_edge.ingest.worker import Recipe, Work, encode_file
from vsr_edge.store.postgres.pg_connection import Address, connect
from vsr_edge.types import FrameFeatures, Sampling

KINDS = ("processes", *(["ray"] if find_spec("ray") is not None else []))


def executor(kind: str, bundle: Bundle, work: Work = encode_file) -> Spread:
    def pool() -> Pool:
        if kind == "processes":
            return ProcessPool(2, work)
        from vsr_edge.ingest.ray_pool import RayPool

        return RayPool(local_processors=2, work=work)

    return Spread(Recipe(str(bundle.manifest.folder), bundle.encoders_id, "cpu", 1, "none"), pool)


def index(
    bundle: Bundle, place: Path | str, videos: Path, by: Executor | None = None, **how: object
) -> IngestSummary:
    try:
        with open_for(bundle, place) as store:
            return ingest(store, bundle, [videos], Sampling(), threads=1, executor=by, **how)  # type: ignore[arg-type]
    finally:
        if by is not None:
            by.close()


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    for number in range(4):
        footage(folder / f"{number}.mp4", 2.0, first=100 * number)
    shutil.copy(folder / "0.mp4", folder / "twin.mp4")
    (folder / "text.mp4").write_text("no video")
    return folder


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_workers_store_what_one_writer_would(
    kind: str, server: Server, bundle: Bundle, videos: Path, tmp_path: Path
) -> None:
    index(bundle, tmp_path / "alone", videos)
    url = server.url()
    seen: list[Progress] = []
    by = executor(kind, bundle)
    given = _frames_given(by)
    summary = index(bundle, url, videos, by, on_progress=seen.append)
    # Twins that are encoded at the same time may both be.
    assert summary.indexed + summary.copied == 5
    assert [one.path.name for one in summary.failed] == ["text.mp4"]
    assert not given
    assert content(url) == content(tmp_path / "alone")
    assert (seen[-1].done_files, seen[-1].done_bytes) == (6, seen[-1].total_bytes)
    assert seen[-1].frames == summary.frames
    again = index(bundle, url, videos, executor(kind, bundle))
    assert (again.skipped, again.indexed) == (5, 0)


def _frames_given(by: Spread) -> list[int]:
    """How many frames come from the workers, as they come."""
    given: list[int] = []
    delivered = by._delivered

    def watched(*arguments: object) -> list[Event]:
        events = list(delivered(*arguments))  # type: ignore[arg-type]
        given.extend(len(event) for event in events if isinstance(event, FrameFeatures))
        return events

    by._delivered = watched  # type: ignore[method-assign, assignment]
    return given


def test_who_is_killed_when_its_video_is_stored_leaves_it_whole_and_once(
    server: Server, bundle: Bundle, videos: Path, tmp_path: Path
) -> None:
    index(bundle, tmp_path / "alone", videos)
    url = server.url()
    summary = index(bundle, url, videos, executor("processes", bundle, killed_when_stored))
    assert [one.path.name for one in summary.failed] == ["text.mp4"]
    assert summary.skipped >= 4
    assert content(url) == content(tmp_path / "alone")


def test_what_kills_its_worker_fails_alone_and_leaves_no_row(
    server: Server, bundle: Bundle, videos: Path
) -> None:
    footage(videos / "poison.mp4", 2.0, first=900)
    url = server.url()
    summary = index(bundle, url, videos, executor("processes", bundle, poisonable))
    reasons = {one.path.name: one.reason for one in summary.failed}
    assert reasons.keys() == {"text.mp4", "poison.mp4"}
    assert reasons["poison.mp4"].startswith("it ended 2 workers that read it (")
    with open_for(bundle, url) as store:
        assert len(store.videos()) == 5
        assert store.check() == []


def test_an_interrupt_leaves_whole_videos(
    server: Server, bundle: Bundle, videos: Path, tmp_path: Path
) -> None:
    index(bundle, tmp_path / "alone", videos)
    url = server.url()

    def interrupt(now: Progress) -> None:
        if now.done_files == 2:
            raise KeyboardInterrupt

    by = executor("processes", bundle)
    assert index(bundle, url, videos, by, on_progress=interrupt).interrupted
    with open_for(bundle, url) as store:
        assert store.check() == []
    index(bundle, url, videos, executor("processes", bundle))
    assert content(url) == content(tmp_path / "alone")


def test_the_password_goes_along_and_is_not_shown(
    server: Server, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "s3cret")
    with open_for(bundle, server.url()) as store:
        shared = store.shared()
    assert shared is not None
    assert "s3cret" not in repr(shared)
    monkeypatch.delenv("PGPASSWORD")
    there = pickle.loads(pickle.dumps(shared))
    assert isinstance(there.address, Address)
    connection = connect(there.address)
    assert connection.info.password == "s3cret"
    connection.close()
    with there.writing() as (beside, writer):
        assert writer is not None
        assert beside.videos() == []
