"""The units in deploy/ are ones that systemd takes, and name a command that there is."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.command import succeed

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = "vsr-edge-watch.service"


def test_the_unit_runs_a_command_with_options_that_there_are() -> None:
    (line,) = re.findall(r"^ExecStart=(.*)$", (DEPLOY / UNIT).read_text("utf-8"), re.MULTILINE)
    program, command, *words = shlex.split(line)
    assert Path(program).name == "vsr-edge"
    out = succeed(command, "--help").out
    assert [word for word in words if word.startswith("--") and f"{word} " not in out] == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
@pytest.mark.parametrize("hardened", [False, True])
def test_systemd_takes_the_unit(tmp_path: Path, hardened: bool) -> None:
    text = (DEPLOY / UNIT).read_text("utf-8")
    # What it is to run and as whom, this machine does not have.
    text = re.sub(r"^ExecStart=\S+", f"ExecStart={shutil.which('true')}", text, flags=re.MULTILINE)
    text = re.sub(r"^(User|Group)=.*", r"\1=root", text, flags=re.MULTILINE)
    (tmp_path / UNIT).write_text(text, "utf-8")
    if hardened:
        (tmp_path / f"{UNIT}.d").mkdir()
        shutil.copy(DEPLOY / "hardened.conf", tmp_path / f"{UNIT}.d")
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / UNIT],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    # It has a word on the machine's own units too.
    said = [line for line in done.stderr.splitlines() if UNIT in line]
    assert (done.returncode, said) == (0, [])
