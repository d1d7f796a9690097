"""What a person sees in a terminal of 80 and of 40 columns."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.command import COMMAND, TIMEOUT, succeed
from vsr_edge.evaluation.benchmarks import write_queries
from vsr_edge.evaluation.records import Query

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
WIDTHS = (80, 40)


def in_terminal(*arguments: object, width: int) -> list[str]:
    """The lines that the command shows on a terminal of that width."""
    import pty

    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"COLUMNS": str(width), "TERM": "xterm"},
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 4096):
                shown += chunk
        except OSError:
            pass  # how Linux says that the other end is closed
        process.wait(TIMEOUT)
    os.close(ours)
    assert process.returncode in (0, 3)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode("utf-8"))
    return plain.replace("\r\n", "\n").splitlines()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("command", [("videos",), ("search", "a man in a car")])
def test_paths_are_never_broken_inside(
    command: tuple[str, ...], width: int, demo_archive: Path, demo_clips: list[Path]
) -> None:
    lines = in_terminal(*command, "--archive", demo_archive, width=width)
    assert max(map(len, lines)) <= width
    shown = {word for line in lines for word in line.split()}
    for clip in demo_clips:
        assert any(word.endswith(clip.name) for word in shown)
    whole = {part for clip in demo_clips for part in clip.parts}
    for word in shown:
        if "/" in word:
            assert all(part in whole or "…" in part for part in word.strip("/").split("/")), word


@pytest.mark.parametrize("width", WIDTHS)
def test_every_table_fits(width: int, demo_archive: Path, tmp_path: Path) -> None:
    write_queries(
        tmp_path / "queries.jsonl",
        [Query(1, "a bicycle at a wall", "bikes.mp4", ((7.5, 9.7),)), Query(2, "a ship", None, ())],
        "jsonl",
    )
    at = ("--archive", demo_archive)
    for command, said in (
        (("eval", tmp_path / "queries.jsonl", *at), "mean IoU in the right video"),
        (("doctor", *at), "onnxruntime"),
        (("stats", *at), "encoders"),
        (("bundle", "list"), "openai/"),
        (("bundle", "show"), "image.onnx"),
    ):
        lines = in_terminal(*command, width=width)
        assert max(map(len, lines)) <= width, lines
        assert said in " ".join(line.strip() for line in lines)
        # Numbers and intervals are whole: brackets close in the line where they open.
        assert all(line.count("[") == line.count("]") for line in lines), lines


def test_a_pipe_has_whole_paths_at_any_width(demo_archive: Path, demo_clips: list[Path]) -> None:
    out = succeed("videos", "--archive", demo_archive, environment={"COLUMNS": "40"}).out
    assert {line.split()[0] for line in out.splitlines()[1:]} == set(map(str, demo_clips))
