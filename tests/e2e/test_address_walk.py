"""Every command that takes an archive, over the address of one on a PostgreSQL server."""

from __future__ import annotations

import json
import re
import shlex
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.e2e.command import finish, run, running
from tests.e2e.test_times_and_tags import completed
from tests.media_files import constant_rate, write_video
from tests.servers import Server
from vsr_edge.backup.migrate import migrate
from vsr_edge.cli.app import app
from vsr_edge.config import load_settings

BICYCLE = "'a bicycle leaning against a wall'"


@dataclass(frozen=True)
class Walk:
    """Command lines, one after the other; how the last of them ends, and what it says.

    ``changes``: the archive, which is one of its own then.
    """

    lines: tuple[str, ...]
    says: str
    code: int = 0
    changes: bool = False


def walk(*lines: str, says: str, code: int = 0, changes: bool = False) -> Walk:
    return Walk(lines, says, code, changes)


WALKS = {
    "index": walk("index NEW", says="1 indexed", changes=True),
    "watch": walk(says="", changes=True),
    "reindex": walk("reindex --bundle lite", says="already: nothing to do"),
    "search": walk(f"search {BICYCLE}", says=r"bikes\.mp4"),
    "cut": walk(f"cut {BICYCLE} --top 1 --out OUT", says=r"\.mp4"),
    "similar": walk("similar bikes.mp4@0:02", says=r"\.mp4"),
    "videos": walk("videos", says=r"bikes\.mp4"),
    "stats": walk("stats", says="videos +3"),
    "remove": walk("remove bikes.mp4 --yes", says=r"removed .*bikes\.mp4", changes=True),
    "prune": walk("prune --dry-run", says="nothing|no |0 "),
    "backup": walk("backup OUT", says="pg_dump", code=2),
    "restore": walk("restore OUT", says="pg_restore", code=2),
    "demo": walk("demo NEW", says="", changes=True),
    "doctor": walk("doctor", says="3 videos"),
    "open": walk(f"search {BICYCLE}", "open 1 --player true", says=""),
    "tag": walk("tag bikes.mp4 +seen", "videos --tag seen", says=r"bikes\.mp4", changes=True),
    "calibrate": walk("calibrate --absent 0.7 --dry-run", says="nothing is changed: --dry-run"),
    "mcp": walk("mcp", says=""),
    "eval": walk("eval QUERIES", says="R1|recall|queries"),
    "serve": walk("serve --host no.such.host.invalid --insecure", says="cannot be had", code=1),
    "serve add-user": walk("serve add-user anna", says="at least", code=2),
    "serve add-token": walk("serve add-token door", says="vsr_"),
    "serve revoke": walk("serve revoke door", says="knows no 'door'", code=2),
    "serve access": walk("serve add-token door", "serve access", says="door"),
    "saved list": walk("saved list", says="no search is saved here yet"),
    "saved run": walk(f"search {BICYCLE} --remember mine", "saved run mine", says=r"bikes\.mp4"),
    "saved forget": walk("saved forget mine", says="no search is saved as", code=1),
    "bundle compare": walk("bundle compare lite lite --queries QUERIES", says="same", code=2),
    "receipt check": walk(
        f"search {BICYCLE} --receipt OUT", "receipt check OUT", says="holds|unchanged|nothing"
    ),
}


def commands(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The names of all commands with an option --archive."""
    command = typer.main.get_command(app) if command is None else command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))
    if any("--archive" in option.opts for option in command.params):
        yield " ".join(path)


def test_no_command_is_left_out() -> None:
    assert set(commands()) == WALKS.keys()


def copied(server: Server, demo_archive: Path) -> str:
    url = server.url().replace("postgres:@", "postgres:hidden@")
    assert "hidden" in url
    migrate(load_settings({"archive": demo_archive}), load_settings({"archive": url}))
    return url


@pytest.fixture(scope="module")
def kept(server: Server, demo_archive: Path) -> str:
    """It is shared: nothing is changed in it."""
    return copied(server, demo_archive)


@pytest.mark.parametrize("name", WALKS)
def test_every_command_takes_an_address(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = WALKS[name]
    if steps.changes:
        url = copied(*map(request.getfixturevalue, ("server", "demo_archive")))
    else:
        url = request.getfixturevalue("kept")
    if name == "mcp":
        pytest.importorskip("mcp")
    monkeypatch.setenv("VSR_EDGE_BESIDE", str(tmp_path / "beside"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new").mkdir()
    write_video(tmp_path / "new" / "numbers.mp4", constant_rate(20))
    asked = {"qid": 1, "query": shlex.split(BICYCLE)[0], "video": "bikes.mp4", "spans": [[0, 10]]}
    (tmp_path / "queries").write_text(json.dumps(asked) + "\n", "utf-8")
    places = {word: str(tmp_path / word.lower()) for word in ("NEW", "OUT", "QUERIES")}
    if name == "watch":
        at = ("--archive", url, "--settle", "0.5s", "--json")
        with running("watch", places["NEW"], *at) as process:
            assert process.stdout is not None
            passed = json.loads(process.stdout.readline())
            process.send_signal(signal.SIGTERM)
            ended = finish(process)
        assert (ended.code, passed["indexed"]) == (0, 1)
    for line in steps.lines:
        words = [places.get(word, word) for word in shlex.split(line)]
        ended = run(*words, "--archive", url)
        assert ended.code == (steps.code if line == steps.lines[-1] else 0), ended
    said = ended.out + ended.err
    assert re.search(steps.says, said), said
    assert "hidden" not in said
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not any(b"hidden" in file.read_bytes() for file in written)


def test_a_shell_completes_over_an_address(kept: str) -> None:
    assert completed(kept, "vsr-edge search --video bik") == ["bikes.mp4"]
    assert completed(f"{kept}x", "vsr-edge search --video bik") == []
    assert completed("postgresql://127.0.0.1:1/db", "vsr-edge videos --tag d") == []
