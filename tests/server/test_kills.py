"""Killed and killed again, amid indexing and searching, the server loses nothing."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench.figures import show
from tests.media_files import constant_rate, write_video
from tests.server.client import TIMEOUT, Site
from tests.server.test_process import command
from vsr_edge import open_archive

QUERIES = ("a bicycle leaning against a wall", "an elephant in a river", "white blocks")


@contextlib.contextmanager
def asked_all_the_while(site: Site) -> Iterator[list[dict[str, Any]]]:
    """Searches by two clients at once for as long as the server answers; their answers."""
    answers: list[dict[str, Any]] = []
    over = threading.Event()

    def ask() -> None:
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            while not over.is_set():
                answers.append(site.search(query=QUERIES[len(answers) % 3]).document)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    try:
        yield answers
    finally:
        over.set()
        for thread in asking:
            thread.join(TIMEOUT)


def moments(site: Site, query: str) -> list[dict[str, Any]]:
    """What is found in the footage of before."""
    document = site.search(query=query, tags=["-new"]).document
    found: list[dict[str, Any]] = document["moments"]
    return found


def survives(folder: Path, archive: Path, kills: int, videos: int) -> dict[str, float]:
    """Kill a server so often amid a job and searches; whatever was indexed stays, once each."""
    root, log, lots = folder / "root", folder / "log", random.Random(kills)
    root.mkdir()
    for number in range(videos):
        write_video(root / f"{number:03}.mp4", constant_rate(20 + number))
    job, stored, drained, answered = "", 0, [], 0
    before: dict[str, list[dict[str, Any]]] = {}
    for kill in range(kills):
        with command(archive, log, "--roots", root) as (process, site):
            if not job:
                before = {query: moments(site, query) for query in QUERIES}
                assert all(before.values())
                asked = {"paths": [str(root)], "tags": ["new"]}
                job = site.post("/v1/index", asked).document["id"]
            with asked_all_the_while(site) as answers:
                # However slow the machine is, before the last kill something is stored.
                least = int(kill == kills - 1)
                while ((now := site.get(f"/v1/jobs/{job}").document)["progress"] or {}).get(
                    "done_files", -1
                ) < least:
                    assert now["state"] in ("queued", "running"), now
                    time.sleep(0.02)
                time.sleep(lots.uniform(0, 1))
                process.kill()
                process.wait(TIMEOUT)
            assert all("moments" in answer for answer in answers)
            answered += len(answers)
        with open_archive(archive) as opened:
            there = len(opened.videos(where=opened.where(tags=["new"])))
            assert there >= stored
            stored = there
    assert 0 < stored < videos, "there were too few videos, or too many, to be killed amid them"
    with command(archive, log, "--roots", root) as (process, site):
        while (now := site.get(f"/v1/jobs/{job}").document)["state"] in ("queued", "running"):
            time.sleep(0.1)
        assert (now["state"], now["result"]["failed"]) == ("done", []), now
        told = now["result"]
        assert told["skipped"] >= stored
        assert sum(told[how] for how in ("indexed", "skipped", "copied", "moved")) == videos
        assert {query: moments(site, query) for query in QUERIES} == before
        # Told to end amid another job and searches, it does so, too.
        site.post("/v1/index", {"paths": [str(root)]})
        with asked_all_the_while(site):
            time.sleep(0.5)
            began = time.perf_counter()
            process.send_signal(signal.SIGTERM)
            assert process.wait(TIMEOUT) == 0
            drained.append(time.perf_counter() - began)
    with open_archive(archive) as opened:
        assert opened.check() == []
        paths = [one.video.path for one in opened.videos(where=opened.where(tags=["new"]))]
        assert sorted(paths) == sorted(root.iterdir())
    for line in log.read_text("utf-8").splitlines():
        assert not line.startswith("{") or json.loads(line)["level"] == "info", line
    return {"kills": kills, "stored_before_the_last": stored, "answers": answered} | {
        "s_to_end": drained[0]
    }


def own(folder: Path, archive: Path) -> Path:
    return Path(shutil.copytree(archive, folder / "archive"))


@pytest.mark.slow
def test_killed_three_times_it_loses_nothing(served_archive: Path, tmp_path: Path) -> None:
    survives(tmp_path, own(tmp_path, served_archive), 3, 40)


@pytest.mark.bench
@pytest.mark.timeout(3600)
def test_killed_twenty_times_it_loses_nothing(served_archive: Path, tmp_path: Path) -> None:
    show("kill -9", **survives(tmp_path, own(tmp_path, served_archive), 20, 120))
