"""Who may come in: users, tokens, sessions, and what is refused to anybody else."""

from __future__ import annotations

import json
import shutil
import ssl
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import run, succeed
from tests.server.client import Answer, Site, serving
from vsr_edge import open_archive
from vsr_edge.errors import UsageError, VsrEdgeError
from vsr_edge.server import sessions
from vsr_edge.server.access import SCOPES, AccessFile
from vsr_edge.server.served import ServeOptions
from vsr_edge.server.serving import prepare, serve

PASSWORD = "correct horse"


@pytest.fixture
def access(own_archive: Path) -> AccessFile:
    found = AccessFile(own_archive)
    found.add_user("anna", PASSWORD, ["search", "media"])
    return found


@pytest.fixture
def locked(own_archive: Path, access: AccessFile) -> Iterator[Site]:
    assert access.entries()
    with serving(own_archive) as site:
        yield site


def log_in(site: Site, name: str = "anna", password: str = PASSWORD) -> Answer:
    return site.post("/v1/login", {"name": name, "password": password})


def cookie_of(answer: Answer) -> str:
    return answer.header("set-cookie").partition(";")[0]


def test_what_is_kept_lets_nobody_in_who_reads_it(access: AccessFile) -> None:
    _, token = access.add_token("door", ["search"])
    kept = access.path.read_text("utf-8")
    assert stat.S_IMODE(access.path.stat().st_mode) == 0o600
    assert PASSWORD not in kept
    assert token not in kept
    assert "$argon2id$" in kept
    found = access.by_token(token)
    assert found is not None
    assert (found.name, found.scopes) == ("door", ("search",))
    assert access.by_token(found.hash) is None
    assert access.by_password("anna", PASSWORD) is not None
    for name, password in (("anna", "wrong horse"), ("nobody", PASSWORD), ("door", token)):
        assert access.by_password(name, password) is None


def test_a_change_counts_at_once_in_other_processes(access: AccessFile) -> None:
    other = AccessFile(access.path.parent)
    assert set(other.entries()) == {"anna"}
    _, token = access.add_token("door", ["search"])
    assert other.by_token(token) is not None
    access.revoke("door")
    assert other.by_token(token) is None


def test_what_cannot_be_is_refused(access: AccessFile) -> None:
    for name, password, scopes in (
        ("anna", "short", ["search"]),
        ("../anna", PASSWORD, ["search"]),
        ("bert", PASSWORD, ["everything"]),
        ("bert", PASSWORD, []),
    ):
        with pytest.raises(UsageError):
            access.add_user(name, password, scopes)
    with pytest.raises(UsageError, match="already"):
        access.add_token("anna", ["search"])
    with pytest.raises(UsageError):
        access.add_token("door", ["search"], days=0)
    with pytest.raises(UsageError, match="anna"):
        access.revoke("nobody")


def test_a_file_that_cannot_be_read_lets_nobody_in(locked: Site, access: AccessFile) -> None:
    access.path.write_text("{", "utf-8")
    with pytest.raises(VsrEdgeError, match="cannot be read"):
        access.entries()
    assert locked.get("/v1/stats").status == 401
    assert locked.get("/v1/stats", Authorization="Bearer x").status == 500
    access.path.unlink()
    # It was locked when it began, and stays so.
    assert locked.get("/v1/stats").status == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {"hash": None},
        {"hash": 5},
        {"hash": "h\xe4sh"},
        {"name": ["anna"]},
        {"kind": None},
        {"scopes": [5]},
        {"expires": "tomorrow"},
    ],
)
def test_an_entry_that_is_none_is_said_at_the_start(
    own_archive: Path, access: AccessFile, wrong: dict[str, Any]
) -> None:
    access.add_token("door", ["search"])
    kept = json.loads(access.path.read_text("utf-8"))
    kept["entries"][1] |= wrong
    access.path.write_text(json.dumps(kept), "utf-8")
    with (
        open_archive(own_archive, threads=1) as archive,
        pytest.raises(VsrEdgeError, match=r"access\.json cannot be read .*: mend it"),
    ):
        prepare(archive, ServeOptions(port=0))


def test_who_logs_in_has_a_session_until_they_log_out(locked: Site) -> None:
    answer = log_in(locked)
    assert (answer.status, answer.document["name"]) == (200, "anna")
    set_cookie = answer.header("set-cookie").lower()
    assert "httponly" in set_cookie
    assert "samesite=lax" in set_cookie
    assert answer.header("cache-control") == "no-store"
    cookie, csrf = cookie_of(answer), answer.document["csrf"]
    assert locked.get("/v1/stats", Cookie=cookie).status == 200
    assert locked.get("/v1/session", Cookie=cookie).document == answer.document
    known = {"Cookie": cookie, sessions.CSRF_HEADER: csrf}
    assert locked.ask("POST", "/v1/search", {"query": "a man"}, known).status == 200
    assert locked.ask("POST", "/v1/index", {"paths": ["/x"]}, known).status == 403
    assert locked.ask("DELETE", "/v1/session", headers=known).status == 204
    assert locked.get("/v1/stats", Cookie=cookie).status == 401


def test_a_session_ends_by_itself_and_with_its_password(
    locked: Site, access: AccessFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = cookie_of(log_in(locked))
    access.add_user("anna", "another horse", ["search"])
    assert locked.get("/v1/stats", Cookie=cookie).status == 401
    cookie = cookie_of(log_in(locked, password="another horse"))
    assert locked.get("/v1/stats", Cookie=cookie).status == 200
    later = time.time() + sessions.LASTS_SECONDS + 1
    monkeypatch.setattr(sessions, "time", lambda: later)
    assert locked.get("/v1/stats", Cookie=cookie).status == 401


def test_a_session_outlives_its_server_wherever_it_can_be_written(
    own_archive: Path, access: AccessFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(own_archive) as site:
        cookie = cookie_of(log_in(site))
    with serving(own_archive) as site:
        assert site.get("/v1/stats", Cookie=cookie).status == 200
    folder = own_archive / sessions.FOLDER
    (kept,) = folder.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    known, value = sessions.Sessions(access), cookie.partition("=")[2]
    assert known.find(value) is not None
    kept.write_text('{"name": ', "utf-8")
    assert known.find(value) is None

    monkeypatch.setattr(sessions, "MOST_SESSIONS", 3)
    (anna,) = access.entries().values()
    for _ in range(5):
        cookie, begun = known.begin(anna)
    assert len(list(folder.iterdir())) == 3
    assert sessions.Sessions(access).find(cookie) == begun
    shutil.rmtree(folder)
    folder.write_text("no folder", "utf-8")
    cookie, begun = known.begin(anna)
    assert known.find(cookie) == begun
    known.end(cookie)
    assert known.find(cookie) is None


def test_logging_in_cannot_be_tried_for_ever(locked: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sessions.MOST_FAILURES, "name", 3)
    monkeypatch.setitem(sessions.MOST_FAILURES, "address", 5)
    for _ in range(3):
        assert log_in(locked, password="wrong horse").status == 401
    refused = log_in(locked)
    assert refused.status == 429
    assert 0 < int(refused.header("Retry-After")) <= sessions.FAILURES_SECONDS
    assert log_in(locked, "bert").status == 401
    assert log_in(locked, "carl").status == 401
    assert log_in(locked, "dora").status == 429
    later = time.monotonic() + sessions.FAILURES_SECONDS + 1
    monkeypatch.setattr(sessions, "monotonic", lambda: later)
    assert log_in(locked).status == 200


def test_beyond_this_machine_somebody_must_be_let_in_first(own_archive: Path) -> None:
    everywhere = ServeOptions(host="0.0.0.0", port=0)
    with open_archive(own_archive, threads=1) as archive:
        with pytest.raises(UsageError, match="add-user"):
            prepare(archive, everywhere)
        insecure = prepare(archive, ServeOptions(host="0.0.0.0", port=0, insecure=True))
        assert not insecure.locked
        AccessFile(own_archive).add_token("door", ["search"])
        assert prepare(archive, everywhere).locked
        assert prepare(archive, ServeOptions(host="127.0.0.1", port=0)).locked


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"certfile": Path("nope.pem")}, "both"),
        ({"certfile": Path("nope.pem"), "keyfile": Path("nope.pem")}, "no file nope.pem"),
        ({"roots": (Path("nope"),)}, "nope is no folder"),
        ({"host": "no.such.host.invalid", "insecure": True}, "cannot be had"),
    ],
)
def test_what_cannot_be_served_is_said(
    own_archive: Path, options: dict[str, Any], said: str
) -> None:
    with open_archive(own_archive) as archive, pytest.raises(VsrEdgeError, match=said):
        serve(prepare(archive, ServeOptions(**options)), lambda _: None, lambda: None)


OPENSSL = shutil.which("openssl")


def certificate(folder: Path, name: str, *more: str) -> dict[str, Any]:
    """Files of a server's certificate, and of its key."""
    assert OPENSSL is not None
    made = {"certfile": folder / f"{name}.pem", "keyfile": folder / f"{name}.key"}
    asked = [OPENSSL, "req", "-x509", "-newkey", "rsa:2048", "-subj", "/CN=localhost"]
    files = ["-out", str(made["certfile"]), "-keyout", str(made["keyfile"])]
    subprocess.run([*asked, *files, *(more or ("-nodes",))], check=True, capture_output=True)
    return made


@pytest.mark.skipif(OPENSSL is None, reason="openssl makes the certificates")
def test_files_that_are_none_of_tls_are_said_before_anything_is_loaded(
    own_archive: Path, tmp_path: Path
) -> None:
    good, other = (certificate(tmp_path, name) for name in ("good", "other"))
    locked = certificate(tmp_path, "locked", "-passout", "pass:horse")
    bad = tmp_path / "bad.pem"
    with open_archive(own_archive, threads=1) as archive:
        for wrong, said in (
            ({"certfile": bad, "keyfile": bad}, r"bad\.pem is not usable .*BEGIN CERTIFICATE"),
            (good | {"certfile": bad}, r"bad\.pem is not usable .*BEGIN CERTIFICATE"),
            (good | {"certfile": good["keyfile"]}, r"good\.key is not usable .*BEGIN CERT"),
            (good | {"keyfile": bad}, r"bad\.pem is not usable .*certificate in .*good\.pem"),
            (good | {"keyfile": other["keyfile"]}, r"other\.key is not .*KEY_VALUES_MISMATCH"),
        ):
            for content in (b"", b"no PEM", b"\0\xff" * 99):
                bad.write_bytes(content)
                with pytest.raises(UsageError, match=said):
                    prepare(archive, ServeOptions(port=0, **wrong))
        prepare(archive, ServeOptions(port=0, **locked))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(good["certfile"])
    with (
        serving(own_archive, **good) as site,
        site.connected() as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def test_the_command_lets_in_and_out(tmp_path: Path) -> None:
    at = ("--archive", tmp_path / "archive")
    made = succeed("serve", "add-token", "door", *at, "--scope", "search", "--days", "1")
    token = made.out.strip()
    access = AccessFile(tmp_path / "archive")
    entry = access.by_token(token)
    assert entry is not None
    assert entry.expires is not None
    assert 0 < entry.expires - time.time() <= 86_400
    short = run("serve", "add-user", "anna", *at)  # nothing is typed
    assert (short.code, "at least" in short.err) == (2, True)
    listed: Any = json.loads(succeed("serve", "access", *at, "--json").out)
    assert listed["schema"] == "vsr-edge/access/1"
    assert [(one["name"], one["scopes"]) for one in listed["entries"]] == [("door", ["search"])]
    assert listed["token"] is None
    assert token not in succeed("serve", "access", *at).out
    succeed("serve", "revoke", "door", *at)
    assert access.entries() == {}
    assert set(SCOPES) == {"search", "media", "index"}
