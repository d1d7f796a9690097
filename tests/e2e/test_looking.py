"""Hits are looked at: on a sheet, on a page, in the terminal, in a player; as a person types it."""

from __future__ import annotations

import base64
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.command import COMMAND, run, succeed
from tests.e2e.terminal import in_terminal
from tests.hits.conftest import answer as answer
from tests.hits.conftest import numbered_archive as numbered_archive
from tests.hits.pictures import number_at, opened
from tests.hits.sixel import decoded
from tests.media_files import number_of
from vsr_edge.answer import SearchResult
from vsr_edge.hits.last import keep_last, last_answer

QUERY = "black and white blocks"
POSIX = pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal or scripts")


@pytest.fixture
def folder(numbered_archive: Path, tmp_path: Path) -> Path:
    """With an archive of its own, of the shared videos."""
    shutil.copytree(numbered_archive / "archive", tmp_path / "archive")
    return tmp_path


@pytest.fixture
def asked(folder: Path, answer: SearchResult) -> Path:
    """The same, and it was searched."""
    keep_last(folder / "archive", answer)
    return folder


def search(root: Path, *options: str | Path) -> tuple[list[dict[str, object]], str]:
    ended = run("search", QUERY, "-k", "2", "-a", root / "archive", "--json", *options)
    assert ended.code in (0, 3), ended
    return ended.document["moments"], ended.err


def test_a_sheet_and_a_page_are_written_beside_the_answer(folder: Path) -> None:
    sheet, page = folder / "out.jpg", folder / "out.html"
    sheet.write_bytes(b"mine")
    ended = run("search", QUERY, "-a", folder / "archive", "--sheet", sheet)
    assert (ended.code, ended.out) == (2, "")
    assert f"{sheet} is there already: name another, or say --force" in ended.err
    assert sheet.read_bytes() == b"mine"
    moments, said = search(folder, "--sheet", sheet, "--html", page, "--pictures", "--force")
    assert f"contact sheet: {sheet}" in said
    assert f"page: {page}" in said
    assert "--pictures shows nothing with --json" in said
    assert opened(sheet.read_bytes()).shape[1] > 800
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page.read_text("utf-8"))
    assert [number_of(opened(base64.b64decode(one))) for one in pictures] == [
        number_at(Path(str(m["video"])), float(str(m["best"]))) for m in moments
    ]
    assert len(list((folder / "archive" / "thumbnails").iterdir())) == len(moments)
    # What is forgotten leaves no picture behind.
    succeed("remove", *(str(m["video"]) for m in moments), "--yes", "-a", folder / "archive")
    assert list((folder / "archive" / "thumbnails").iterdir()) == []


def test_nothing_is_cut_for_a_pipe_and_unless_it_is_asked_for(folder: Path) -> None:
    ended = run("search", QUERY, "-a", folder / "archive", "--pictures")
    assert "\x1b" not in ended.out
    assert "this terminal shows no pictures" in ended.err
    assert not (folder / "archive" / "thumbnails").exists()


@POSIX
def test_kitty_shows_the_moments_under_the_table(folder: Path) -> None:
    command = (*COMMAND, "search", QUERY, "-a", str(folder / "archive"), "-k", "2", "--pictures")
    shown, _ = in_terminal(command, {"COLUMNS": "60", "TERM": "xterm-kitty"})
    data = "".join(re.findall(r"\x1b_G[^;]*;([^\x1b]*)\x1b", shown))
    strip = opened(base64.b64decode(data))
    # Two tiles of 26 characters and a gap of 2, each 10 pixels wide where nothing else is said.
    assert strip.shape == (140, 540, 3)
    moments = last_answer(folder / "archive")["moments"]
    for place, moment in enumerate(moments):
        left = place * 280 + (260 - 233) // 2
        number = number_at(Path(str(moment["video"])), float(str(moment["best"])))
        assert number_of(strip[:, left : left + 233]) == number
        assert Path(str(moment["video"])).name in shown.split("\x1b\\")[-1]
    assert shown.index("score") < shown.index("\x1b_G")


@POSIX
def test_a_terminal_that_says_so_gets_sixel(folder: Path) -> None:
    command = (*COMMAND, "search", QUERY, "-a", str(folder / "archive"), "-k", "2", "--pictures")
    shown, _ = in_terminal(command, {"COLUMNS": "60"}, answer=b"\x1b[?62;4c")
    assert decoded(shown).shape == (140, 540, 4)


@pytest.fixture
def players(tmp_path: Path) -> Path:
    """A folder for the PATH with nothing in it but what a test puts there."""
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def put_player(folder: Path, name: str, code: int = 0) -> None:
    """A program that writes down its arguments, one a line, and ends with this code."""
    program = folder / name
    program.write_text(
        f"#!{sys.executable}\nimport os, sys\nopen({str(folder / 'played')!r}, 'wb').write("
        "b'\\n'.join(map(os.fsencode, [os.path.basename(sys.argv[0]), *sys.argv[1:]])))\n"
        f"print('playing')\nsys.exit({code})\n",
        "utf-8",
    )
    program.chmod(0o755)


def played(folder: Path) -> list[str]:
    return (folder / "played").read_text("utf-8", "surrogateescape").split("\n")


@POSIX
@pytest.mark.parametrize(
    ("there", "arguments"),
    [
        (("mpv", "vlc", "xdg-open"), ["mpv", "--start={start:.3f}", "{video}"]),
        (("vlc", "xdg-open"), ["vlc", "--start-time={start:.3f}", "{video}"]),
        pytest.param(
            ("xdg-open",),
            ["xdg-open", "{video}"],
            marks=pytest.mark.skipif(sys.platform == "darwin", reason="that has open"),
        ),
    ],
)
def test_a_hit_is_played_at_its_second(
    there: tuple[str, ...], arguments: list[str], asked: Path, players: Path, answer: SearchResult
) -> None:
    for name in there:
        put_player(players, name)
    moment = answer.moments[1]
    ended = succeed(
        *("open", "2", "-a", asked / "archive", "--json"), environment={"PATH": str(players)}
    )
    assert played(players) == [
        argument.format(start=moment.start, video=moment.video) for argument in arguments
    ]
    document = ended.document
    assert document["command"][1:] == played(players)[1:]
    assert document["at_start"] == (len(arguments) == 3)
    assert (document["rank"], document["video"]) == (2, str(moment.video))
    assert (document["start"], document["end"]) == (round(moment.start, 3), round(moment.end, 3))
    assert ("cannot be told where to begin" in ended.err) == (len(arguments) == 2)
    assert "playing" in ended.err


@POSIX
def test_the_player_is_chosen_by_option_or_environment(asked: Path, players: Path) -> None:
    for name in ("mpv", "vlc", "my player"):
        put_player(players, name)
    path = {"PATH": str(players)}
    at = ("open", "-a", asked / "archive")
    succeed(*at, environment=path | {"VSR_EDGE_PLAYER": "vlc"})
    assert played(players)[0] == "vlc"
    succeed(*at, "--player", "mpv --fs", environment=path | {"VSR_EDGE_PLAYER": "vlc"})
    assert played(players)[:2] == ["mpv", "--fs"]
    succeed(*at, "--player", players / "my player", environment=path)
    assert played(players)[0] == "my player"
    assert len(played(players)) == 2
    ended = run(*at, "--player", "nothing", environment=path)
    assert ended.code == 2
    assert "there is no program 'nothing'" in ended.err


@POSIX
def test_odd_names_reach_the_player_as_they_are(
    asked: Path, players: Path, answer: SearchResult
) -> None:
    put_player(players, "mpv")
    odd = os.fsdecode(b"-caf\xe9 $(touch x); 'a' \"b\".mp4")
    place = asked / "odd"
    place.mkdir()
    (place / odd).touch()
    moment = replace(answer.moments[0], video=place / odd)
    keep_last(asked / "archive", replace(answer, moments=(moment,)))
    succeed("open", "-a", asked / "archive", environment={"PATH": str(players)}, cwd=place)
    assert played(players)[-1] == str(place / odd)
    assert [one.name for one in place.iterdir()] == [odd]


@POSIX
def test_what_cannot_be_played_says_why(asked: Path, players: Path, answer: SearchResult) -> None:
    at = ("open", "-a", asked / "archive")
    path = {"PATH": str(players)}
    (kept := asked / "archive" / "last-answer.json").rename(asked / "kept")
    ended = run(*at)
    assert ended.code == 2
    assert "ask first, with vsr-edge search" in ended.err
    (asked / "kept").rename(kept)
    ended = run("open", "9", *at[1:], environment=path)
    assert ended.code == 2
    last = len(answer.moments)
    assert f"no hit 9 in the last answer of {asked / 'archive'}: its last is {last}" in ended.err
    ended = run(*at, environment=path)
    assert ended.code == 2
    assert "no player was found: install mpv or VLC" in ended.err
    put_player(players, "mpv", 3)
    ended = run(*at, environment=path)
    assert ended.code == 1
    assert "ended with exit code 3" in ended.err
    moment = replace(answer.moments[0], video=asked / "gone.mp4")
    keep_last(asked / "archive", replace(answer, moments=(moment,)))
    ended = run(*at, "--json", environment=path)
    assert (ended.code, ended.document["kind"]) == (1, "UnreadableMedia")
    assert "the file is gone" in ended.err
