"""Several servers of one archive on a PostgreSQL server, each in a process: whichever is asked."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.server.client import TIMEOUT, Answer, Site
from tests.server.test_access import PASSWORD, cookie_of, log_in
from tests.server.test_jobs_served import is_over, until
from tests.server.test_process import command
from tests.server.test_proxies import CONF, NGINX, nginx
from tests.servers import Server
from vsr_edge.backup.migrate import migrate
from vsr_edge.config import load_settings
from vsr_edge.server.access import SCOPES, AccessFile
from vsr_edge.server.sessions import CSRF_HEADER, FOLDER
from vsr_edge.store import open_store

QUERIES = ("a bicycle leaning against a wall", "white blocks", "a man with a bow tie in a car")


@pytest.fixture(scope="module")
def archive(server: Server, served_archive: Path) -> str:
    """It is shared: nothing new is indexed into it."""
    url = server.url()
    migrate(load_settings({"archive": served_archive}), load_settings({"archive": url}))
    return url


@contextmanager
def several(
    count: int, archive: str, folder: Path, root: Path
) -> Iterator[list[tuple[subprocess.Popen[bytes], Site]]]:
    """So many servers, one folder beside the rows for all of them."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("VSR_EDGE_BESIDE", str(folder / "beside"))
        patch.setenv("VSR_EDGE_THREADS", "1")
        yield [
            stack.enter_context(command(archive, folder / f"log{number}", "--roots", root))
            for number in range(count)
        ]


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several") / "beside"
    AccessFile(folder).add_user("anna", PASSWORD, SCOPES)
    return folder


@pytest.fixture(scope="module")
def sites(archive: str, beside: Path, footage: Path) -> Iterator[list[Site]]:
    with several(2, archive, beside.parent, footage) as running:
        yield [site for _, site in running]


@pytest.fixture
def logged_in(sites: list[Site]) -> dict[str, str]:
    """At the first; every one is to know it."""
    answer = log_in(sites[0])
    assert answer.status == 200
    return {"Cookie": cookie_of(answer), CSRF_HEADER: answer.document["csrf"]}


def moments(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.document["moments"]
    return found


def test_all_give_the_same_answers(sites: list[Site], logged_in: dict[str, str]) -> None:
    for query in QUERIES:
        first, *others = (
            moments(site.ask("POST", "/v1/search", {"query": query}, logged_in)) for site in sites
        )
        assert first
        assert all(other == first for other in others)
    listed = [site.ask("GET", "/v1/videos", headers=logged_in) for site in sites]
    assert listed[0].document == listed[1].document
    (video, *_) = listed[0].document["videos"]
    pictures = [
        site.ask("GET", f"/v1/videos/{video['id']}/frame?t=0.5", headers=logged_in)
        for site in sites
    ]
    assert pictures[0].status == 200
    assert pictures[0].header("etag") == pictures[1].header("etag")


def test_who_logs_in_at_one_is_known_to_all_until_they_log_out_at_any(
    sites: list[Site], logged_in: dict[str, str], beside: Path
) -> None:
    first, second = sites
    told = [site.ask("GET", "/v1/session", headers=logged_in).document for site in sites]
    assert told[0] == told[1]
    kept = b"".join(file.read_bytes() for file in (beside / FOLDER).iterdir())
    names = "".join(file.name for file in (beside / FOLDER).iterdir())
    for secret in (logged_in["Cookie"].partition("=")[2], logged_in[CSRF_HEADER]):
        assert secret.encode() not in kept
        assert secret not in names
    without = {"Cookie": logged_in["Cookie"]}
    refused = second.ask("POST", "/v1/search", {"query": QUERIES[0]}, without)
    assert (refused.status, refused.document["kind"]) == (403, "NoCsrfToken")
    # What is saved at one is there at all.
    saved = {"name": "mine", "search": {"query": QUERIES[0]}}
    assert second.ask("POST", "/v1/saved", saved, logged_in).status == 201
    listed = first.ask("GET", "/v1/saved", headers=logged_in).document["saved"]
    assert "mine" in [one["name"] for one in listed]
    assert second.ask("DELETE", "/v1/session", headers=logged_in).status == 204
    assert [site.ask("GET", "/v1/stats", headers=logged_in).status for site in sites] == [401, 401]


def test_any_tells_of_a_job_and_ends_it(
    archive: str, sites: list[Site], logged_in: dict[str, str], footage: Path
) -> None:
    first, second = sites
    first.headers.update(logged_in)
    second.headers.update(logged_in)
    try:
        asked = first.post("/v1/index", {"paths": [str(footage)]}).document["id"]
        done = until(second, asked, is_over)
        assert (done["state"], done["result"]["skipped"]) == ("done", 3), done
        assert first.get(f"/v1/jobs/{asked}").document == done
        with open_store(archive) as store, store.shadow_archive():  # the job waits for that
            asked = first.post("/v1/index", {"paths": [str(footage)]}).document["id"]
            until(second, asked, lambda job: job["state"] == "running")
            ended = second.ask("DELETE", f"/v1/jobs/{asked}")
            assert (ended.status, ended.document["state"]) == (200, "cancelled")
            for site in sites:
                until(site, asked, lambda job: job["state"] == "cancelled")
                assert asked in [one["id"] for one in site.get("/v1/jobs").document["jobs"]]
        assert second.ask("DELETE", "/v1/jobs/0123456789abcdef").status == 404
    finally:
        for site in sites:
            site.headers.clear()


@contextmanager
def balanced(folder: Path, ports: list[int]) -> Iterator[int]:
    """nginx with the example's site, of several servers and without TLS; yields its port."""
    upstream, plain, secured = CONF.read_text("utf-8").split("server {\n")
    one = "    server 127.0.0.1:8200;\n"
    assert one in upstream
    assert "301 https" in plain
    several = "".join(one.replace("8200", str(port)) for port in ports)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    here = f"server {{ listen 127.0.0.1:{port};\n"
    site = upstream.replace(one, several) + here + secured[secured.index("    # A photo") :]
    with nginx(folder, site, listener):
        yield port


def test_one_is_killed_and_the_others_go_on_with_its_searches_and_its_jobs(
    archive: str, tmp_path: Path, footage: Path
) -> None:
    with several(3, archive, tmp_path, footage) as running, ExitStack() as stack:
        (killed, first), *others = running
        if NGINX is None:
            asking = [site for _, site in running]
        else:
            port = stack.enter_context(balanced(tmp_path, [site.port for _, site in running]))
            asking = [Site(None, port)]  # type: ignore[arg-type]
        expected = {query: moments(others[0][1].search(query=query)) for query in QUERIES}
        answers: list[bool] = []
        over = threading.Event()

        def ask() -> None:
            count = 0
            while not over.is_set():
                query = QUERIES[count % 3]
                for site in 3 * asking:  # without a proxy, whoever asks tries the next one
                    try:
                        answer = site.search(query=query)
                    except (OSError, http.client.HTTPException):
                        continue
                    if answer.status == 200:
                        answers.append(answer.document["moments"] == expected[query])
                        break
                else:
                    answers.append(False)
                count += 1

        clients = [threading.Thread(target=ask) for _ in range(2)]
        for client in clients:
            client.start()
        try:
            while len(answers) < 6:
                time.sleep(0.01)
            with open_store(archive) as store, store.shadow_archive():  # the job waits for that
                job = first.post("/v1/index", {"paths": [str(footage)]}).document["id"]
                until(first, job, lambda one: one["state"] == "running")
                killed.kill()
                killed.wait(TIMEOUT)
            before = len(answers)
            while len(answers) < before + 12:
                time.sleep(0.01)
        finally:
            over.set()
            for client in clients:
                client.join(TIMEOUT)
        # None was lost, and all are those that there were.
        assert all(answers), answers
        done = until(others[0][1], job, is_over)
        assert (done["state"], done["result"]["skipped"]) == ("done", 3), done
        for _, site in others:
            assert site.get(f"/v1/jobs/{job}").document == done
        kept = json.loads(next((tmp_path / "beside").glob(f"jobs*/{job}.json")).read_bytes())
        assert kept["state"] == "done"
