"""A command that is forked is what a command is that is started, and says the same."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import forked
from tests.e2e.command import COMMAND, TIMEOUT
from tests.e2e.forked import PROJECT, ForkServer, fork_server

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or bool(os.environ.get("PLAIN_PROCESSES")), reason="nothing is forked"
)

QUERY = "a bicycle leaning against a wall"
Ended = tuple[int, str, str]


@pytest.fixture
def server() -> ForkServer:
    found = fork_server()
    assert found is not None
    return found


def both(
    server: ForkServer, module: str, folder: Path, arguments: list[str], **environment: str
) -> tuple[Ended, Ended]:
    variables = os.environ | {"PYTHONPATH": str(PROJECT)} | environment
    assert server.takes(variables)
    fresh = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
    )
    other = server.run(arguments, folder, variables, TIMEOUT, module)
    one, two = (
        (done.returncode, done.stdout.decode(), done.stderr.decode()) for done in (fresh, other)
    )
    return one, two


def test_a_forked_process_is_what_a_started_one_is(server: ForkServer, tmp_path: Path) -> None:
    arguments = ["7", "", "ein Wort", "\udcff", "--", "-"]
    fresh, other = both(server, "tests.e2e.itself", tmp_path, arguments, VSR_EDGE_X="é")
    assert json.loads(other[1]) == json.loads(fresh[1])
    assert json.loads(other[1])["arguments"][1:] == arguments
    assert other[::2] == fresh[::2] == (7, "to stderr\n")


@pytest.mark.parametrize(
    "command",
    [
        "--version",
        "",
        "search --help",
        "frobnicate",
        "videos --json",
        "videos",
        "stats --json",
        "doctor",
        f'search "{QUERY}" --json',
        f'search "{QUERY}" -k 2 --explain --turns',
        'search "an elephant in a river" --json',
        'search "said" --text',
        "search --like none.jpg",
        'cut "nothing" --out x.mp4',
        "remove nothing.mp4 --yes",
        "saved list --json",
        "bundle show --json",
        "bundle verify lite",
        "index nowhere --json",
    ],
)
def test_a_command_says_and_does_the_same(
    command: str, server: ForkServer, demo_archive: Path, tmp_path: Path
) -> None:
    at = {"VSR_EDGE_ARCHIVE": str(demo_archive), "COLUMNS": "90"}
    fresh, other = both(server, "vsr_edge", tmp_path, shlex.split(command), **at)
    assert without_times(other) == without_times(fresh)


def without_times(ended: Ended) -> Ended:
    """Seconds and milliseconds are each time's own."""
    code, out, err = ended
    named = r"\w*seconds|\w+_ms|encode|retrieve|verify|ground|refine|total"
    for pattern, shown in (
        (rf"\b((?:{named})\W+)[\d.]+", r"\1_"),
        (r"\b[\d.]+ (?=m?s\b)", "_ "),
    ):
        out, err = re.sub(pattern, shown, out), re.sub(pattern, shown, err)
    return code, out, err


def test_an_index_stores_the_same(
    server: ForkServer, demo_clips: list[Path], tmp_path: Path
) -> None:
    shown = []
    variables = dict(os.environ)
    for way in ("fresh", "forked"):
        archive = tmp_path / way
        index = ["index", str(demo_clips[0]), "--archive", str(archive)]
        search = ["search", QUERY, "--archive", str(archive), "--json"]
        if way == "fresh":
            code = subprocess.run([*COMMAND, *index], check=False, capture_output=True).returncode
        else:
            code = server.run(index, tmp_path, variables, TIMEOUT).returncode
        assert code == 0
        found = json.loads(server.run(search, tmp_path, variables, TIMEOUT).stdout)
        shown.append(found["moments"])
    assert shown[0] == shown[1] != []


def test_what_is_read_at_the_start_is_left_to_a_start(server: ForkServer) -> None:
    for name in (
        "PYTHONIOENCODING",
        "LC_ALL",
        "FORCE_COLOR",
        "OMP_NUM_THREADS",
        "TZ",
        "LD_PRELOAD",
    ):
        assert not server.takes(os.environ | {name: "something else"})
    assert not server.takes({n: v for n, v in os.environ.items() if n != "ORT_DISABLE_TELEMETRY"})
    assert not server.takes(os.environ | {"PYTHONPATH": "/elsewhere"})


def test_commands_run_at_the_same_time(server: ForkServer, tmp_path: Path) -> None:
    ended: list[int] = []

    def run() -> None:
        ended.append(server.run(["--version"], tmp_path, dict(os.environ), TIMEOUT).returncode)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == [0] * 6


def test_one_that_takes_too_long_is_killed(server: ForkServer, tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(
        "import os, pathlib, time\n"
        "pathlib.Path('pid').write_text(str(os.getpid()))\n"
        "time.sleep(600)\n"
    )
    with pytest.raises(subprocess.TimeoutExpired):
        server.run([], tmp_path, dict(os.environ), 3, "sleeper")
    process = int((tmp_path / "pid").read_text())
    eventually(lambda: not Path(f"/proc/{process}").exists())


def test_one_that_is_killed_has_that_code(server: ForkServer, tmp_path: Path) -> None:
    (tmp_path / "victim.py").write_text("import os; os.kill(os.getpid(), 9)")
    assert server.run([], tmp_path, dict(os.environ), TIMEOUT, "victim").returncode == -9


def test_the_server_ends_with_the_tests() -> None:
    code = (
        "from tests.e2e.forked import fork_server; server = fork_server()\n"
        "print(server._process.pid, flush=True); import os; os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, check=True, timeout=TIMEOUT
    )
    process = int(done.stdout)
    eventually(lambda: not _runs(process))


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # whoever took it over may be slow to collect it


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_imports_nothing_that_reads_the_environment() -> None:
    code = (
        f"import importlib, sys\nfor name in {forked.IMPORTED}: importlib.import_module(name)\n"
        "print([m for m in ('huggingface_hub', 'matplotlib', 'torch') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, check=True, timeout=TIMEOUT
    )
    assert done.stdout == b"[]\n"
