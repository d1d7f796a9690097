"""What the README says to type works as it is written there."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.command import succeed
from tests.export.random_models import save_random_model

PROJECT = Path(__file__).parents[2]


def chapter(title: str) -> str:
    return (PROJECT / "README.md").read_text("utf-8").split(f"## {title}\n", 1)[1].split("\n## ")[0]


def commands(text: str) -> list[str]:
    """The first block of commands after the installation."""
    blocks = [block for block in text.split("\n\n") if block.startswith("    ")]
    return [line.strip() for line in blocks[1].splitlines()]


@pytest.mark.timeout(600)
def test_from_a_checkpoint_to_a_search_in_three_commands(
    tmp_path: Path, demo_clips: list[Path]
) -> None:
    save_random_model("clip", tmp_path / "checkpoint")
    (tmp_path / "videos").mkdir()
    for clip in demo_clips:
        (tmp_path / "videos" / clip.name).symlink_to(clip)
    export, index, search = commands(chapter("Bring your own checkpoint"))
    assert " export encoder " in export
    said = []
    for command in (export, index, search):
        words = shlex.split(command)
        own = {"python": [sys.executable], "vsr-edge": [sys.executable, "-m", "vsr_edge"]}
        done = subprocess.run(
            [*own[words[0]], *words[1:]],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (command, done.stderr[-2000:])
        said.append(done.stdout + done.stderr)
    assert "3 indexed" in said[1] or "indexed 3" in said[1]
    assert "unverified" in said[2]
    verified = succeed("bundle", "verify", "./my-bundle", cwd=tmp_path)
    assert "no trained verifier" in verified.err
