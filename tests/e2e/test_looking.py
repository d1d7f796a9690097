"""Hits are looked at: on a sheet, on a page, in the terminal, in a player; as a person types it."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.command import COMMAND, TIMEOUT, run, succeed
from tests.hits.conftest import numbered_archive as numbered_archive
from tests.hits.pictures import number_at, opened
from tests.hits.sixel import decoded
from tests.media_files import number_of

QUERY = "black and white blocks"
POSIX = pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal or scripts")


@pytest.fixture
def folder(numbered_archive: Path, tmp_path: Path) -> Path:
    """The videos and an archive of them, not shared."""
    root = tmp_path / "numbered"
    shutil.copytree(numbered_archive, root)
    # The same paths as in the archive.
    return root


def search(root: Path, *options: str | Path) -> tuple[list[dict[str, object]], str]:
    ended = run("search", QUERY, "-k", "2", "-a", root / "archive", "--json", *options)
    assert ended.code in (0, 3), ended
    return ended.document["moments"], ended.err


def test_a_sheet_and_a_page_are_written_beside_the_answer(folder: Path) -> None:
    sheet, page = folder / "out.jpg", folder / "out.html"
    moments, said = search(folder, "--sheet", sheet, "--html", page)
    assert f"contact sheet: {sheet}" in said
    assert f"page: {page}" in said
    assert Image.open(sheet).format == "JPEG"
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page.read_text("utf-8"))
    assert [number_of(opened(base64.b64decode(one))) for one in pictures] == [
        number_at(Path(str(m["video"])), float(str(m["best"]))) for m in moments
    ]
    assert len(list((folder / "archive" / "thumbnails").iterdir())) == len(moments)
    # What is forgotten leaves no picture behind.
    succeed("remove", *(str(m["video"]) for m in moments), "--yes", "-a", folder / "archive")
    assert list((folder / "archive" / "thumbnails").iterdir()) == []


def test_nothing_is_cut_unless_it_is_asked_for(folder: Path) -> None:
    search(folder)
    assert not (folder / "archive" / "thumbnails").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--sheet", "there.jpg"), "there.jpg is there already: name another, or say --force"),
        (("--html", "there.jpg"), "there.jpg is there already"),
        (("--sheet", "out.gif"), "a contact sheet's name ends in .jpg"),
        (("--html", "no/out.html"), "name a file in a folder that is there"),
        (("--html", "."), "cannot be written"),
        (("--html", "a.jpg", "--sheet", "a.jpg"), "both name a.jpg"),
    ],
)
def test_what_cannot_be_written_is_said_before_the_search(
    options: tuple[str, ...], message: str, folder: Path
) -> None:
    (folder / "there.jpg").write_bytes(b"mine")
    ended = run("search", QUERY, "-a", folder / "archive", *options, cwd=folder)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert (folder / "there.jpg").read_bytes() == b"mine"


def test_force_overwrites(folder: Path) -> None:
    (folder / "there.jpg").write_bytes(b"mine")
    search(folder, "--sheet", folder / "there.jpg", "--force")
    assert Image.open(folder / "there.jpg").format == "JPEG"


def in_terminal(
    environment: Mapping[str, str], *arguments: object, answer: bytes = b""
) -> tuple[str, str]:
    """What the command shows on a terminal, which gives this answer when it is asked what it is;
    and what it says on stderr.
    """
    import pty

    ours, theirs = pty.openpty()
    clean = {k: v for k, v in os.environ.items() if k not in {"TMUX", "TERM_PROGRAM"}}
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=clean | {"COLUMNS": "60", "TERM": "xterm"} | environment,
        start_new_session=True,
        preexec_fn=lambda: _controlled_by(theirs),
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
                if answer and b"\x1b[c" in chunk:
                    os.write(ours, answer)
        except OSError:
            pass  # how Linux says that the other end is closed
        assert process.stderr is not None
        said = process.stderr.read().decode("utf-8")
        process.wait(TIMEOUT)
    os.close(ours)
    assert process.returncode in (0, 3), said
    return shown.decode("utf-8"), said


def _controlled_by(terminal: int) -> None:
    import fcntl
    import termios

    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


@POSIX
def test_kitty_shows_the_moments_under_the_table(folder: Path) -> None:
    at = ("-a", folder / "archive", "-k", "2", "--pictures")
    shown, _ = in_terminal({"TERM": "xterm-kitty"}, "search", QUERY, *at)
    data = "".join(re.findall(r"\x1b_G[^;]*;([^\x1b]*)\x1b", shown))
    strip = opened(base64.b64decode(data))
    # Two tiles of 26 characters and a gap of 2, each 10 pixels wide where nothing else is said.
    assert strip.shape == (140, 540, 3)
    moments, _ = search(folder)
    for place, moment in enumerate(moments):
        left = place * 280 + (260 - 233) // 2
        number = number_at(Path(str(moment["video"])), float(str(moment["best"])))
        assert number_of(strip[:, left : left + 233]) == number
        assert Path(str(moment["video"])).name in shown.split("\x1b\\")[-1]
    assert shown.index("score") < shown.index("\x1b_G")


@POSIX
@pytest.mark.parametrize(
    ("answer", "able"),
    [(b"\x1b[?62;4;6c", True), (b"typed\x1b[?62;1;4c", True), (b"\x1b[?62;14c", False)],
)
def test_a_terminal_is_asked_for_sixel(answer: bytes, able: bool, folder: Path) -> None:
    at = ("-a", folder / "archive", "-k", "2", "--pictures")
    shown, said = in_terminal({}, "search", QUERY, *at, answer=answer)
    assert shown.count("\x1b[c") == 1
    if able:
        assert decoded(shown).shape == (140, 540, 4)
    else:
        assert "\x1bP" not in shown
        assert "this terminal shows no pictures" in said
    assert "score" in shown


@POSIX
def test_a_terminal_that_does_not_answer_gets_the_table(folder: Path) -> None:
    shown, said = in_terminal({}, "search", QUERY, "-a", folder / "archive", "--pictures")
    assert "this terminal shows no pictures" in said
    assert "score" in shown


def test_a_pipe_and_json_get_no_pictures(folder: Path) -> None:
    ended = run("search", QUERY, "-a", folder / "archive", "--pictures")
    assert "\x1b" not in ended.out
    assert "this terminal shows no pictures" in ended.err
    _, said = search(folder, "--pictures")
    assert "--pictures shows nothing with --json" in said


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
    there: tuple[str, ...], arguments: list[str], folder: Path, players: Path
) -> None:
    for name in there:
        put_player(players, name)
    moments, _ = search(folder)
    for moment in moments:
        ended = succeed(
            *("open", str(moment["rank"]), "-a", folder / "archive", "--json"),
            environment={"PATH": str(players)},
        )
        assert played(players) == [argument.format(**moment) for argument in arguments]
        document = ended.document
        assert document["at_start"] == (len(arguments) == 3)
        assert {k: document[k] for k in ("rank", "video", "start", "end")} == {
            k: moment[k] for k in ("rank", "video", "start", "end")
        }
        assert ("cannot be told where to begin" in ended.err) == (len(arguments) == 2)
        assert "playing" in ended.err


@POSIX
def test_the_player_is_chosen_by_option_or_environment(folder: Path, players: Path) -> None:
    for name in ("mpv", "vlc", "my player"):
        put_player(players, name)
    search(folder)
    path = {"PATH": str(players)}
    at = ("open", "-a", folder / "archive")
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
def test_odd_names_reach_the_player_as_they_are(folder: Path, players: Path) -> None:
    put_player(players, "mpv")
    odd = os.fsdecode(b"-caf\xe9 $(touch x); 'a' \"b\".mp4")
    source = folder / "videos" / "a.mp4"
    place = folder / "odd"
    place.mkdir()
    shutil.copy(source, place / odd)
    succeed("index", place, "-a", folder / "other")
    run("search", QUERY, "-a", folder / "other")
    succeed("open", "-a", folder / "other", environment={"PATH": str(players)}, cwd=place)
    assert played(players)[-1] == str(place / odd)
    assert [one.name for one in place.iterdir()] == [odd]


@POSIX
def test_what_cannot_be_played_says_why(folder: Path, players: Path) -> None:
    at = ("open", "-a", folder / "archive")
    path = {"PATH": str(players)}
    (folder / "archive" / "last-answer.json").unlink(missing_ok=True)
    ended = run(*at)
    assert ended.code == 2
    assert "ask first, with vsr-edge search" in ended.err
    moments, _ = search(folder)
    ended = run(*at[:1], "9", *at[1:], environment=path)
    assert ended.code == 2
    assert (
        f"there is no hit 9 in the last answer of {folder / 'archive'}: its last is 2" in ended.err
    )
    ended = run(*at, environment=path)
    assert ended.code == 2
    assert "no player was found: install mpv or VLC" in ended.err
    put_player(players, "mpv", 3)
    ended = run(*at, environment=path)
    assert ended.code == 1
    assert "ended with exit code 3" in ended.err
    gone = Path(str(moments[0]["video"]))
    moved = gone.rename(gone.with_suffix(".away"))
    try:
        ended = run(*at, "--json", environment=path)
        assert (ended.code, ended.document["kind"]) == (1, "UnreadableMedia")
        assert "the file is gone" in ended.err
    finally:
        moved.rename(gone)
