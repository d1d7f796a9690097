"""Indexing over the network: below the roots, one at a time, with progress, to be cancelled."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.media_files import constant_rate, write_video
from tests.server.client import Site, serving
from vsr_edge import open_archive
from vsr_edge.server import jobs as jobs_module
from vsr_edge.server.jobs import Jobs


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, footage: Path) -> Path:
    folder = tmp_path_factory.mktemp("site") / "root"
    folder.mkdir()
    shutil.copy(footage / "numbers.mkv", folder / "new.mkv")
    (folder / "broken.mp4").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Site]:
    """A server of an archive that is not there yet."""
    with serving(tmp_path_factory.mktemp("empty") / "archive", roots=(root,)) as site:
        yield site


def until(site: Site, job: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    while True:
        found: dict[str, Any] = site.get(f"/v1/jobs/{job}").document
        if is_so(found):
            return found
        time.sleep(0.05)


def is_over(job: dict[str, Any]) -> bool:
    return job["state"] not in ("queued", "running")


def test_a_job_makes_the_archive_that_is_searched_then(empty: Site, root: Path) -> None:
    assert empty.get("/readyz").status == empty.ask("HEAD", "/readyz").status == 503
    assert empty.search(query="a man").document["kind"] == "ArchiveNotFound"
    asked = empty.post("/v1/index", {"paths": [str(root)], "tags": ["fresh"]})
    assert asked.status == 202
    assert asked.header("Location") == f"/v1/jobs/{asked.document['id']}"
    assert asked.document["state"] in ("queued", "running")
    done = until(empty, asked.document["id"], is_over)
    assert done["state"] == "done", done
    assert done["result"]["schema"] == "vsr-edge/index/1"
    assert done["result"]["indexed"] == 1
    assert done["result"]["failed"][0]["video"] == str(root / "broken.mp4")
    assert done["progress"]["total_files"] == 2
    assert empty.get("/readyz").status == 200
    assert empty.search(query="white blocks", tags=["fresh"], one_shot=True).document["moments"]
    assert [one["id"] for one in empty.get("/v1/jobs").document["jobs"]] == [done["id"]]


def test_a_job_that_is_cancelled_keeps_what_it_finished(own_archive: Path, tmp_path: Path) -> None:
    for number in range(40):
        write_video(tmp_path / f"{number:02}.mp4", constant_rate(20 + number))
    with serving(own_archive, roots=(tmp_path,)) as site:
        job = site.post("/v1/index", {"paths": [str(tmp_path)], "exclude": ["archive"]}).document
        waiting = site.post("/v1/index", {"paths": [str(tmp_path)]}).document
        assert site.ask("DELETE", f"/v1/jobs/{waiting['id']}").document["state"] == "cancelled"
        until(site, job["id"], lambda one: (one["progress"] or {"done_files": 0})["done_files"] > 0)
        assert site.ask("DELETE", f"/v1/jobs/{job['id']}").document["state"] == "cancelled"
        while site.served.jobs._process is not None:
            pass
        ended = site.get(f"/v1/jobs/{job['id']}").document
        assert ended["state"] == "cancelled"
        assert site.get(f"/v1/jobs/{waiting['id']}").document["state"] == "cancelled"
        assert site.ask("DELETE", f"/v1/jobs/{job['id']}").document == ended
    with open_archive(own_archive) as archive:
        assert archive.check() == []
        assert len(archive.videos(str(tmp_path))) >= 1


def test_without_roots_nothing_is_indexed(site: Site, tmp_path: Path) -> None:
    refused = site.post("/v1/index", {"paths": [str(tmp_path)]})
    assert (refused.status, refused.document["kind"]) == (403, "NoRoots")


def test_only_so_many_wait(empty: Site, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "MOST_WAITING", 0)
    refused = empty.post("/v1/index", {"paths": [str(root)]})
    assert (refused.status, refused.document["kind"]) == (429, "Busy")


def test_a_job_runs_no_code_of_the_folder_that_the_server_was_started_in(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    for name in ("json", "numpy", "vsr_edge"):
        (here / f"{name}.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')\n", "utf-8")
    monkeypatch.chdir(here)
    with serving(tmp_path / "archive", roots=(root,)) as site:
        job = site.post("/v1/index", {"paths": [str(root)]}).document
        assert until(site, job["id"], is_over)["state"] == "done"
    assert not (tmp_path / "run").exists()


def test_what_was_not_finished_is_taken_up_again(own_archive: Path, footage: Path) -> None:
    with open_archive(own_archive) as archive:
        before = Jobs(archive.settings)
        asked = before.add([str(footage)])
        # As after a kill: it ran, and nobody wrote down how it ended.
        before._change(asked.id, state="running")
        (own_archive / "jobs" / "torn.json").write_text('{"schema": ', "utf-8")
        after = Jobs(archive.settings)
        after.begin()
        try:
            while (job := after.find(asked.id)) is None or job.state in ("queued", "running"):
                time.sleep(0.05)
            assert job.state == "done"
            assert job.result is not None
            assert (job.result["indexed"], job.result["skipped"]) == (0, 3)
        finally:
            after.close()
    kept = json.loads((own_archive / "jobs" / f"{asked.id}.json").read_text("utf-8"))
    assert (kept["schema"], kept["state"]) == ("vsr-edge/job/1", "done")
