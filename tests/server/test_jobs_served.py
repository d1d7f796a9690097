"""Indexing over the network: below the roots, one at a time, with progress, to be cancelled."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.media_files import constant_rate, write_video
from tests.server.client import Site, serving
from tests.servers import Server
from vsr_edge import open_archive
from vsr_edge.ingest.failures import failed_files
from vsr_edge.server import jobs as jobs_module
from vsr_edge.server.indexer import NICE
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


def assert_nice(process: int) -> None:
    """That searches come before it, also where Linux shares the processors out by session."""
    assert os.getpriority(os.PRIO_PROCESS, process) == NICE
    group = Path(f"/proc/{process}/autogroup")
    if group.exists():
        assert group.read_text("ascii").split()[-2:] == ["nice", str(NICE)]


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


def test_a_job_indexes_into_an_archive_on_a_server(
    server: Server, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    url = server.url().replace("postgres:@", "postgres:hidden@")
    assert "hidden" in url
    with serving(url, roots=(root,)) as site:
        job = site.post("/v1/index", {"paths": [str(root)], "tags": ["fresh"]}).document["id"]
        done = until(site, job, is_over)
        assert (done["state"], done["result"]["indexed"]) == ("done", 1), done
        found = site.search(query="white blocks", tags=["fresh"], one_shot=True)
        assert found.document["moments"]
    with open_archive(url) as archive:
        assert [one.video.path.name for one in archive.videos()] == ["new.mkv"]
    kept = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert f"{job}.json" in {file.name for file in kept}
    assert not any(b"hidden" in file.read_bytes() for file in kept)


def test_a_job_that_is_cancelled_keeps_what_it_finished(own_archive: Path, tmp_path: Path) -> None:
    for number in range(40):
        write_video(tmp_path / f"{number:02}.mp4", constant_rate(20 + number))
    with serving(own_archive, roots=(tmp_path,)) as site:
        job = site.post("/v1/index", {"paths": [str(tmp_path)], "exclude": ["archive"]}).document
        waiting = site.post("/v1/index", {"paths": [str(tmp_path)]}).document
        assert site.ask("DELETE", f"/v1/jobs/{waiting['id']}").document["state"] == "cancelled"
        until(site, job["id"], lambda one: (one["progress"] or {"done_files": 0})["done_files"] > 0)
        if (process := site.served.jobs._process) is not None:
            assert_nice(process.pid)
        assert site.ask("DELETE", f"/v1/jobs/{job['id']}").document["state"] == "cancelled"
        while site.served.jobs._process is not None:
            time.sleep(0.02)
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


def test_no_link_leads_out_of_the_roots(tmp_path: Path, footage: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    (root / "deep").mkdir(parents=True)
    shutil.copy(footage / "numbers.mkv", root / "deep" / "own.mkv")
    (root / "inner.mkv").symlink_to(root / "deep" / "own.mkv")
    out.mkdir()
    write_video(out / "secret.mp4", constant_rate(25))
    (out / "secret.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nsecret\n", "utf-8")
    (root / "linked.mp4").symlink_to(out / "secret.mp4")
    (root / "relative.mp4").symlink_to("../out/secret.mp4")
    (root / "chain.mp4").symlink_to("linked.mp4")
    (root / "folder").symlink_to(out, target_is_directory=True)
    (root / "circle.mp4").symlink_to("circle.mp4")
    write_video(root / "said.mp4", constant_rate(35))
    (root / "said.srt").symlink_to(out / "secret.srt")
    (root / "broken.mp4").write_text("no video", "utf-8")
    with serving(tmp_path / "archive", roots=(root,)) as site:
        for named in ("linked.mp4", "linked.mp4#0", "folder", "folder/secret.mp4"):
            refused = site.post("/v1/index", {"paths": [str(root / named)]})
            assert (refused.status, refused.document["kind"]) == (403, "OutsideRoots"), named
        job = site.post("/v1/index", {"paths": [str(root)]}).document["id"]
        done = until(site, job, is_over)
    assert done["state"] == "done", done
    assert done["result"]["indexed"] + done["result"]["copied"] == 2
    failed = {Path(one["video"]).name: one["reason"] for one in done["result"]["failed"]}
    assert {name for name, reason in failed.items() if "leads out" in reason} == {
        *("linked.mp4", "relative.mp4", "chain.mp4", "said.mp4")
    }
    assert failed.keys() - {"circle.mp4"} > {"broken.mp4"}
    assert "said.srt" in failed["said.mp4"]
    with open_archive(tmp_path / "archive") as archive:
        stored = {one.video.path.name for one in archive.videos()}
        assert stored == {"own.mkv", "inner.mkv"}
        kept = {one.path.name for one in failed_files(tmp_path / "archive", archive.store)}
    assert kept == failed.keys()


def test_what_failed_is_known_until_all_is_tried_again(own_archive: Path, tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    for folder in (root, elsewhere):
        folder.mkdir()
        (folder / "broken.mp4").write_text("no video", "utf-8")
        (folder / "later.mp4").write_text("no video", "utf-8")

    def kept() -> set[Path]:
        with open_archive(own_archive) as archive:
            return {one.path for one in failed_files(own_archive, archive.store)}

    with serving(own_archive, roots=(root, elsewhere)) as site:
        for asked, known in (
            ({"paths": [str(root), str(elsewhere)]}, 4),
            # Some of a folder was tried: the rest of it is as before.
            ({"paths": [str(root)], "exclude": ["later*"]}, 4),
            # All was: what is no file any more is none that failed.
            ({"paths": [str(root)]}, 3),
        ):
            if known == 3:
                (root / "later.mp4").unlink()
                (root / "later.mp4").mkdir()
            job = site.post("/v1/index", asked).document["id"]
            assert until(site, job, is_over)["state"] == "done"
            assert len(kept()) == known, asked


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
        before = Jobs(archive.settings, [footage])
        asked = before.add([str(footage)])
        # As after a kill: it ran, and nobody wrote down how it ended.
        before._change(asked.id, state="running")
        before.close()
        (own_archive / "jobs" / "torn.json").write_text('{"schema": ', "utf-8")
        after = Jobs(archive.settings, [footage])
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


def test_a_job_waits_for_whoever_writes(own_archive: Path, footage: Path) -> None:
    with serving(own_archive, roots=(footage,)) as site, open_archive(own_archive) as other:
        with other.store.writer():
            job = site.post("/v1/index", {"paths": [str(footage)]}).document["id"]
            until(site, job, lambda one: one["state"] == "running")
            time.sleep(3)
            now = site.get(f"/v1/jobs/{job}").document
            assert now["state"] == "running", now["error"]
        done = until(site, job, is_over)
    assert (done["state"], done["result"]["skipped"]) == ("done", 3), done
