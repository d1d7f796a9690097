"""Help and version answer at once, and say what a command does."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import itertools
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.e2e.command import COMMAND, run, succeed

HEAVY = (
    "torch",
    "transformers",
    "optimum",
    "onnxruntime",
    "av",
    "usearch",
    "sqlite_utils",
    "huggingface_hub",
    "pydantic",
)
COMMANDS = (
    "index",
    "watch",
    "reindex",
    "search",
    "similar",
    "videos",
    "stats",
    "open",
    "remove",
    "demo",
    "doctor",
    "calibrate",
    "eval",
    "eval-predictions",
    "export",
    "saved",
    "serve",
    "backup",
    "restore",
    "migrate",
    "mcp",
    "bundle",
    "receipt",
)
PAGES: tuple[str, ...] = (
    "",
    *COMMANDS,
    *("saved list", "saved run", "saved forget"),
    *("serve add-user", "serve add-token", "serve revoke", "serve access"),
    *("bundle show", "bundle verify", "bundle list", "bundle pack", "bundle pull"),
    *("bundle compare", "bundle recommend"),
    "receipt check",
    *("export encoder", "export grounding", "export refiner", "export bundle", "export all"),
)
if importlib.util.find_spec("torch") is None:
    PAGES = tuple(page for page in PAGES if not page.startswith("export"))


@cache
def help_of(page: str, width: int) -> str:
    return succeed(*page.split(), "--help", environment={"COLUMNS": str(width)}).out


def test_version_is_that_of_the_package() -> None:
    assert succeed("--version").out == f"vsr-edge {importlib.metadata.version('vsr-edge')}\n"


def test_help_lists_every_command() -> None:
    out = succeed("--help").out
    for command in COMMANDS:
        assert f" {command} " in out
    assert succeed("-h").out == out


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("command", PAGES)
def test_each_command_explains_itself_with_an_example(command: str, width: int) -> None:
    out = help_of(command, width)
    assert "Example: " in out
    assert f"vsr-edge {command}".strip() in out
    for noise in ("<bool>", "BOOLEAN", "None", "python -m"):
        assert noise not in out
    # A paragraph flows: no line ends where the next one's first word had room.
    prose = out.split("Usage:")[1].split("╭")[0].splitlines()[2:]
    for line, following in itertools.pairwise(prose):
        if line.strip() and following.strip():
            assert len(line.rstrip()) + 1 + len(following.split()[0]) > width - 2


def test_common_options_have_letters_that_mean_the_same_everywhere(demo_archive: Path) -> None:
    letters: dict[str, str] = {}
    for command in PAGES:
        for line in help_of(command, 120).splitlines():
            words = line.strip("│* ").split()
            if len(words) > 1 and words[0].startswith("--") and len(words[1]) == 2:
                assert letters.setdefault(words[1], words[0]) == words[0]
    assert {"-a", "-b", "-e", "-h", "-j", "-k", "-o", "-t", "-v"} <= set(letters)
    short = ("-a", demo_archive, "-k", "1", "-v", "bikes.mp4", "-ej")
    (moment,) = succeed("search", "a bicycle leaning against a wall", *short).document["moments"]
    assert Path(moment["video"]).name == "bikes.mp4"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_it_gives_each_shell_its_completion(shell: str) -> None:
    given = succeed(environment={"_VSR_EDGE_COMPLETE": f"source_{shell}"}).out
    assert f"_VSR_EDGE_COMPLETE=complete_{shell}" in given


def test_it_completes_commands_and_options() -> None:
    for typed, whole in (("vsr-edge sea", "search"), ("vsr-edge search --to", "--top-k")):
        words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
        ended = succeed(environment={"_VSR_EDGE_COMPLETE": "complete_bash", **words})
        assert ended.out.split() == [whole]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_is_shown_and_installed_for_the_shell_that_asks(tmp_path: Path) -> None:
    def in_bash(option: str) -> str:
        done = subprocess.run(
            ["bash", "-c", f'"$@" {option}; true', "bash", *COMMAND],
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return done.stdout

    assert "complete_bash" in in_bash("--show-completion")
    in_bash("--install-completion")
    assert "vsr-edge.sh" in (tmp_path / ".bashrc").read_text()


def test_what_is_no_command_is_a_usage_error() -> None:
    ended = run("frobnicate")
    assert ended.code == 2
    assert "frobnicate" in ended.err
    assert ended.out == ""


def test_help_loads_nothing_heavy() -> None:
    code = f"import sys, vsr_edge.cli.app; print([m for m in {HEAVY} if m in sys.modules])"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert ended.stdout == "[]\n"


def test_defaults_are_shown_and_not_eaten_as_markup() -> None:
    shown = " ".join(succeed("search", "--help").out.replace("│", " ").split())
    for default in ("[default: 3]", "[default: 16]", "[default: lite]", "[default: 0]"):
        assert default in shown
