"""What people try against a server, each tried here."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.client import Site, serving
from tests.server.conftest import NASTY
from vsr_edge.server.access import SCOPES, AccessFile
from vsr_edge.server.refusals import log
from vsr_edge.server.sessions import COOKIE, CSRF_HEADER

PASSWORD = "correct horse"
OPEN = {"/healthz", "/readyz", "/v1/login"}
TRAVERSALS = (
    "../../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "/etc/passwd",
    "file:///etc/passwd",
    "....//....//etc/passwd",
    "..\\..\\etc\\passwd",
    "etc/passwd%00.mp4",
)
VALUES = {"integer": "1", "number": "1", "string": "0123456789abcdef", "array": "a"}


@pytest.fixture(scope="module")
def locked(
    tmp_path_factory: pytest.TempPathFactory, served_archive: Path
) -> Iterator[tuple[Site, AccessFile]]:
    """A server that lets in by token, with a root to index from."""
    folder = tmp_path_factory.mktemp("locked")
    shutil.copytree(served_archive, folder / "archive")
    (folder / "root").mkdir()
    access = AccessFile(folder / "archive")
    access.add_user("anna", PASSWORD, SCOPES)
    with serving(folder / "archive", roots=(folder / "root",)) as site:
        yield site, access


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each as method, path with parameters filled in, and what is said of it."""
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            filled, query = path, []
            for one in said.get("parameters", []):
                value = VALUES[one["schema"].get("type", "string")]
                if one["in"] == "path":
                    filled = filled.replace("{" + one["name"] + "}", value)
                elif one["required"]:
                    query.append(f"{one['name']}={value}")
            yield method.upper(), filled + ("?" + "&".join(query) if query else ""), said


def body_of(said: dict[str, Any]) -> Any:
    return {} if "requestBody" in said else None


def test_every_route_asks_for_the_right_token(locked: tuple[Site, AccessFile]) -> None:
    site, access = locked
    tokens = {scope: access.add_token(f"only-{scope}", [scope])[1] for scope in SCOPES}
    entry, old = access.add_token("old", SCOPES, days=1)
    entries = access.entries()
    document = site.ask("GET", "/openapi.json", headers=bearer(tokens["search"])).document
    # What is routed is what is described.
    described = {path for path, _ in document["paths"].items()}
    assert {"/v1/search", "/v1/videos/{video_id}/stream", "/v1/jobs/{job_id}"} <= described
    access._write(entries | {"old": type(entry)("old", "token", entry.hash, SCOPES, expires=1.0)})
    seen = set()
    for method, path, said in operations(document):
        route = re.sub(r"\?.*", "", path)
        scopes = {scope for way in said["security"] for some in way.values() for scope in some}
        if route in OPEN:
            assert said["security"] == []
            continue
        assert said["security"], f"{method} {path} is open to all"
        seen |= scopes
        for headers, status in (
            ({}, 401),
            (bearer("vsr_nobody"), 401),
            (bearer(old), 401),
            ({"Authorization": "Basic YW5uYTph"}, 401),
            ({"Authorization": f"Bearer {tokens['search']} x"}, 401),
            ({"Cookie": f"{COOKIE}=nobody"}, 401),
        ):
            answer = site.ask(method, path, body_of(said), headers)
            assert answer.status == status, (method, path, headers)
            assert answer.document["schema"] == "vsr-edge/error/1"
        for scope, token in tokens.items():
            if scopes and scope not in scopes:
                answer = site.ask(method, path, body_of(said), bearer(token))
                assert (answer.status, answer.document["kind"]) == (403, "OutOfScope")
            else:
                answer = site.ask(method, path, body_of(said), bearer(token))
                assert answer.status not in (401, 403, 500), (method, path, answer.body)
    assert seen == set(SCOPES)


def test_the_head_of_a_route_asks_for_no_less_than_the_rest(
    locked: tuple[Site, AccessFile],
) -> None:
    site, access = locked
    _, token = access.add_token("head", SCOPES)
    document = site.ask("GET", "/openapi.json", headers=bearer(token)).document
    asked = [path for method, path, _ in operations(document) if method == "GET"]
    seen = {path: site.ask("HEAD", path).status for path in asked}
    assert {path for path, status in seen.items() if status == 200} == {"/healthz", "/readyz"}
    assert 401 in seen.values()
    assert set(seen.values()) <= {200, 401, 405}


def test_no_route_is_left_out_of_the_description(locked: tuple[Site, AccessFile]) -> None:
    site, access = locked
    _, token = access.add_token("reader", ["search"])
    for method, path in (
        *(("GET", hidden) for hidden in ("/page/", "/redoc", "/docs/oauth2-redirect", "/static/x")),
        ("PUT", "/v1/search"),
        ("TRACE", "/healthz"),
        ("CONNECT", "/v1/search"),
    ):
        assert site.ask(method, path, headers=bearer(token)).status in (404, 405)


def test_no_parameter_leads_to_a_file(locked: tuple[Site, AccessFile]) -> None:
    site, access = locked
    _, token = access.add_token("prober", SCOPES)
    document = site.ask("GET", "/openapi.json", headers=bearer(token)).document
    marker = b"root:"
    for method, path, said in list(operations(document)):
        for attack in TRAVERSALS:
            tried = [path.replace("1", attack, 1), path.replace("0123456789abcdef", attack)]
            tried += [
                f"{path}{'&' if '?' in path else '?'}{one['name']}={attack}"
                for one in said.get("parameters", [])
                if one["in"] == "query"
            ]
            for address in tried:
                safe = address.replace("\\", "%5C")
                answer = site.ask(method, safe, body_of(said), bearer(token))
                assert answer.status < 500, (method, safe, answer.body)
                assert marker not in answer.body
    for attack in TRAVERSALS:
        for asked in ({"query": attack}, {"query": "a", "video": [attack]}):
            answer = site.ask("POST", "/v1/search", asked, bearer(token))
            assert answer.status in (200, 400)
            assert marker not in answer.body
    root = site.served.options.roots[0]
    (root / "out").symlink_to("/etc", target_is_directory=True)
    for path in (*TRAVERSALS, f"{root}/../secret", f"{root}/out", f"{root}/out/passwd", f"{root}x"):
        answer = site.ask("POST", "/v1/index", {"paths": [path]}, bearer(token))
        assert answer.status in (400, 403), (path, answer.body)
    assert site.served.jobs.list() == []


def test_supervisors_may_ask_for_the_head_alone(site: Site) -> None:
    for path in ("/healthz", "/readyz"):
        said = site.raw(
            f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        head, _, body = said.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), said
        assert body == b""
        length = int(site.get(path).header("content-length"))
        assert f"content-length: {length}".encode() in head.lower()
    described = site.get("/openapi.json").document["paths"]
    assert set(described["/readyz"]) == {"get"}
    assert site.ask("HEAD", "/v1/stats").status == 405


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:8200",
        "192.168.1.1",
        "localhost@evil.example",
        "",
        "local host",
    ],
)
def test_a_name_that_is_not_ours_is_refused(site: Site, host: str) -> None:
    said = site.raw(f"GET /v1/stats HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert said.startswith((b"HTTP/1.1 421", b"HTTP/1.1 400")), said
    assert b"dim" not in said


def test_our_own_names_are_not(site: Site, served_archive: Path) -> None:
    for host in ("localhost", f"127.0.0.1:{site.port}", "[::1]:1", "LOCALHOST."):
        assert site.get("/healthz", Host=host).status == 200
    with serving(served_archive, allow_hosts=("Video.Example",)) as named:
        assert named.get("/healthz", Host="video.example:443").status == 200
        assert named.get("/healthz", Host="other.example").status == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_sites_page_changes_nothing(site: Site, headers: dict[str, str]) -> None:
    for path in ("/v1/search", "/v1/index", "/v1/login"):
        answer = site.ask("POST", path, {"query": "a man"}, headers)
        assert (answer.status, answer.document["kind"]) == (403, "ForeignOrigin")


def test_a_form_of_another_site_is_no_json(site: Site) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        for path in ("/v1/index", "/v1/login"):
            answer = site.ask("POST", path, b'{"paths": ["/"]}', {"Content-Type": kind})
            assert answer.status == 415


def test_a_session_without_its_csrf_token_changes_nothing(
    locked: tuple[Site, AccessFile],
) -> None:
    site, access = locked
    _, token = access.add_token("scanner", SCOPES)
    document = site.ask("GET", "/openapi.json", headers=bearer(token)).document
    logged_in = site.post("/v1/login", {"name": "anna", "password": PASSWORD})
    cookie = {"Cookie": logged_in.header("set-cookie").partition(";")[0]}
    changing = 0
    for method, path, said in operations(document):
        if method == "GET" or path in OPEN:
            continue
        changing += 1
        for more in ({}, {CSRF_HEADER: "wrong"}, {CSRF_HEADER: "\xe9"}):
            answer = site.ask(method, path, body_of(said), cookie | more)
            assert (answer.status, answer.document["kind"]) == (403, "NoCsrfToken")
    assert changing >= 4


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Content-Length: 5, 6",
        "Content-Length: -1",
        "Content-Length : 5",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        " folded: value",
        "X\0A: b",
        "X-A: b\rX-B: c",
        "Host: localhost",
        "Authorization: Bearer a\r\nAuthorization: Bearer b",
    ],
)
def test_requests_that_could_be_read_in_two_ways_are_none(site: Site, head: str) -> None:
    hidden = "GET /v1/stats HTTP/1.1\r\nHost: localhost\r\n\r\n"
    said = site.raw(
        f"POST /v1/search HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n0\r\n\r\n{hidden}".encode()
    )
    # One answer, a refusal, and the connection is closed: what came behind is no request.
    assert re.match(rb"HTTP/1\.1 (400|411|415|421|501) ", said), said
    assert said.count(b"HTTP/1.1 ") == 1
    assert b"vsr-edge/stats" not in said


def test_headers_are_no_larger_than_may_be(site: Site) -> None:
    large = "X-A: " + "a" * 100_000
    said = site.raw(f"GET /healthz HTTP/1.1\r\nHost: localhost\r\n{large}\r\n\r\n".encode())
    assert said.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("bytes=0-0," * 1000 + "1-1", 200),
        ("bytes=0-9,5-14", 200),
        ("bytes=-0", 416),
        ("bytes=99999999-", 416),
        ("bytes=5-4", 416),
        ("bytes=-", 200),
        ("bytes=a-b", 200),
        ("bytes=1-" + "9" * 500, 200),
        ("items=0-1", 200),
        ("bytes= 0 - 1", 200),
    ],
)
def test_odd_ranges_send_no_more_than_the_file(
    site: Site, footage: Path, asked: str, status: int
) -> None:
    listed = site.get("/v1/videos").document["videos"]
    video = next(one["id"] for one in listed if one["video"].endswith(NASTY))
    answer = site.get(f"/v1/videos/{video}/stream", Range=asked)
    assert answer.status == status
    size = (footage / NASTY).stat().st_size
    assert len(answer.body) <= size
    if status == 416:
        assert answer.header("Content-Range") == f"bytes */{size}"


def test_names_and_queries_with_html_are_text(site: Site) -> None:
    found = site.search(query="<script>alert(1)</script>", one_shot=True)
    for answer in (found, site.get("/v1/videos"), site.get("/v1/nope/<script>")):
        assert answer.header("content-type").startswith("application/json")
        assert answer.header("x-content-type-options") == "nosniff"
    page = site.get("/docs")
    assert page.status == 200
    text = page.body.decode()
    assert not re.search(r"<script|<style| on\w+=|(src|href)=\"?https?:", text)


def test_every_response_tells_browsers_to_be_careful(site: Site) -> None:
    for answer in (
        site.get("/healthz"),
        site.get("/docs"),
        site.get("/nope"),
        site.search(),
        site.get("/healthz", Host="evil.example"),
    ):
        policy = answer.header("content-security-policy")
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.header("referrer-policy") == "no-referrer"
        assert answer.header("x-frame-options") == "DENY"


def test_what_nobody_expected_says_nothing_of_the_inside(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Any:
        raise ZeroDivisionError("an inner secret")

    monkeypatch.setattr(site.served, "opened", broken)
    monkeypatch.setattr(log, "disabled", True)
    answer = site.get("/v1/stats")
    assert (answer.status, answer.document["kind"]) == (500, "InternalError")
    assert b"secret" not in answer.body
    assert site.get("/healthz").status == 200
