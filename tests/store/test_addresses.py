"""Addresses of archives on a server: what they mean, what is refused, and what is never shown."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from vsr_edge.cli.app import app
from vsr_edge.config import without_password
from vsr_edge.errors import UsageError
from vsr_edge.store.postgres.pg_connection import Address
from vsr_edge.store.postgres.pg_filters import _expression, matcher

REFUSED = "postgresql://u:secret@127.0.0.1:1/db"
# What is in globs, and in names that they match or nearly match.
SIGNS = st.text("*?[]^-\\/ab.&|~Z\U0001f3a5", max_size=9)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:secret@h:1/db", "postgresql://u@h:1/db"),
        ("postgresql://u:sec/ret@h/db", "postgresql://u@h/db"),
        ("postgresql://u@x:secret@h/db", "postgresql://u@x@h/db"),
        ("postgresql://u:sec@ret@h/db", "postgresql://u@h/db"),
        ("postgresql://u:sec#ret@h/db", "postgresql://u@h/db"),
        ("postgresql://u:sec?ret@h/db", "postgresql://u@h/db"),
        ("postgresql://u:secret@[::1]:5/db", "postgresql://u@[::1]:5/db"),
        ("postgresql://h:1/db?user=u&password=secret@x", "postgresql://h:1/db?user=u&password=…"),
        ("postgresql://u@[::1]:5/db", "postgresql://u@[::1]:5/db"),
        ("postgresql://h:1/db", "postgresql://h:1/db"),
        ("postgresql:///db?host=/run/pg", "postgresql:///db?host=/run/pg"),
    ],
)
def test_no_password_is_shown_however_it_is_written(url: str, shown: str) -> None:
    assert without_password(url) == shown
    assert without_password(f"to {url} failed") == f"to {shown} failed"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://[::1/db",
        "postgresql://u:secret@[::1/db",
        "postgresql://u:sec/secret@h/db",
        "postgresql://u:1/secret@h/db",
        "postgresql://u@x:secret@h/db",
        "postgresql://u:secret#more@h/db",
        "postgresql://u:secret@h/db#schema",
        "postgresql://u:secret@h:port/db",
        "postgresql://u:secret@h/db?nothing=known",
        "postgresql://u:secret@h/db?schema=Large",
        "postgresql://u:secret@h/db?schema=cams_2024",
    ],
)
def test_what_is_no_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        Address.of(url)
    assert "secret" not in str(refused.value)


def test_libpq_is_told_what_the_address_says() -> None:
    from psycopg.conninfo import conninfo_to_dict

    options = "application_name=a+b%20c%26d"
    address = Address.of(f"postgresql://u:p%23w@h1:5,h2:6/db?{options}&schema=my%5Fcams")
    assert address.schema == "my_cams"
    told = {"user": "u", "password": "p#w", "host": "h1,h2", "port": "5,6", "dbname": "db"}
    assert conninfo_to_dict(address.conninfo) == told | {"application_name": "a+b c&d"}


@pytest.mark.parametrize("by", ["option", "environment"])
@pytest.mark.parametrize(
    "command",
    [
        "backup OUT",
        "calibrate",
        "demo IN",
        "doctor",
        "index IN",
        "mcp",
        "prune",
        "reindex --bundle lite",
        "remove a",
        "restore OUT",
        "search man",
        "serve --port 0",
        "stats",
        "tag a +b",
        "videos",
        "watch IN",
    ],
)
def test_an_address_is_never_a_folder(
    command: str, by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "environment" and command.startswith("demo"):
        pytest.skip("the demo has an archive of its own")
    if command == "mcp":
        pytest.importorskip("mcp")
    (tmp_path / "in").mkdir()
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for name in ("HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    words = [
        {"IN": str(tmp_path / "in"), "OUT": str(tmp_path / "out")}.get(word, word)
        for word in command.split()
    ]
    if by == "option":
        words += ["--archive", REFUSED]
    else:
        monkeypatch.setenv("VSR_EDGE_ARCHIVE", REFUSED)
    done = CliRunner().invoke(app, words)
    assert done.exit_code in {1, 2}, done.output
    assert not done.exception or isinstance(done.exception, SystemExit), done.exception
    assert "127.0.0.1:1/db" in done.output or "pg_dump" in done.output
    assert "secret" not in done.output
    assert sorted(tmp_path.rglob("*")) == [here, tmp_path / "in"]


@given(SIGNS, SIGNS)
def test_globs_match_what_those_of_sqlite_do(glob: str, name: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        (expected,) = connection.execute("SELECT ? GLOB ?", [name, glob]).fetchone()
    assert bool(re.compile(_expression(glob), re.DOTALL).fullmatch(name)) == bool(expected)


@pytest.mark.parametrize(
    "glob", ["[a-[]", "[a-\\]", "[z-a-b]", "[]-a]", "[^]-a]", "[a-c-e]", "[-]"]
)
def test_brackets_hold_what_those_of_sqlite_do(glob: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        for sign in map(chr, range(1, 128)):
            (expected,) = connection.execute("SELECT ? GLOB ?", [sign, glob]).fetchone()
            assert bool(re.fullmatch(_expression(glob), sign, re.DOTALL)) == bool(expected), sign


def test_many_stars_take_no_time_that_doubles_with_each() -> None:
    # For ever, were each star tried with all others.
    match = matcher("*a" * 40 + "*b")
    assert not match("/v/" + "a" * 4000)
    assert match("/v/" + "a" * 4000 + "b")
