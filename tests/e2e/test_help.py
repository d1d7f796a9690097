"""Help and version answer at once, and say what a command does."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

from tests.e2e.command import run, succeed

HEAVY = (
    "torch",
    "transformers",
    "optimum",
    "onnxruntime",
    "av",
    "usearch",
    "sqlite_utils",
    "huggingface_hub",
)
COMMANDS = (
    "index",
    "reindex",
    "search",
    "videos",
    "stats",
    "remove",
    "demo",
    "doctor",
    "export",
    "bundle",
)


def test_version_is_that_of_the_package() -> None:
    assert succeed("--version").out == f"vsr-edge {importlib.metadata.version('vsr-edge')}\n"


def test_help_lists_every_command() -> None:
    out = succeed("--help").out
    for command in COMMANDS:
        assert f" {command} " in out
    assert succeed("-h").out == out


@pytest.mark.parametrize(
    "command",
    [
        *COMMANDS[:-1],
        "export encoder",
        *("bundle show", "bundle verify", "bundle list", "bundle pack", "bundle pull"),
    ],
)
def test_each_command_explains_itself_with_an_example(command: str) -> None:
    out = succeed(*command.split(), "--help").out
    assert "Example: " in out
    assert f"vsr-edge {command}" in out


def test_what_is_no_command_is_a_usage_error() -> None:
    ended = run("frobnicate")
    assert ended.code == 2
    assert "frobnicate" in ended.err
    assert ended.out == ""


def test_help_loads_nothing_heavy() -> None:
    code = f"import sys, vsr_edge.cli; print([m for m in {HEAVY} if m in sys.modules])"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert ended.stdout == "[]\n"


def test_defaults_are_shown_and_not_eaten_as_markup() -> None:
    shown = " ".join(succeed("search", "--help").out.replace("│", " ").split())
    for default in ("[default: 3]", "[default: 16]", "[default: lite]", "[default: 0]"):
        assert default in shown
