"""The manual page is what the commands are now, and reads well as one."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from vsr_edge.cli.app import app
from vsr_edge.cli.manual import manual

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "vsr-edge.1"


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            if command.invoke_without_command:  # a command that has others
                yield " ".join((*path, name)), command
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def test_the_page_in_docs_is_current() -> None:
    assert PAGE.read_text("utf-8") == manual(), "python -m vsr_edge.cli.manual docs/vsr-edge.1"


def test_every_command_has_a_section_with_all_its_options() -> None:
    """Against the commands as they are made to run, and not as they are declared."""
    parts = re.split(r"^\.S[SH] (.*)\n", manual(), flags=re.MULTILINE)[1:]
    sections = {
        title: text
        for title, text in zip(parts[::2], parts[1::2], strict=True)
        if not title.isupper()
    }
    found = {name.replace("-", "\\-"): command for name, command in commands(get_command(app))}
    assert sections.keys() == found.keys()
    for name, command in found.items():
        said = set(re.findall(r"\\fB((?:\\-)+[a-z0-9\\-]+)\\fR", sections[name]))
        options = {
            option.replace("-", "\\-")
            for parameter in command.params
            if parameter.param_type_name == "option"
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
        assert options <= said, name
        assert "Example: " in sections[name]


def test_no_marks_of_the_help_are_left() -> None:
    text = manual()
    for mark in ("[bold]", "[/bold]", "\\[", "None", "python -m vsr_edge "):
        assert mark not in text, mark
    assert "[default: 3]" in text
    assert "[environment: VSR_EDGE_ARCHIVE]" in text


def test_a_wheel_installs_it_where_man_looks() -> None:
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
    shared = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared == {PAGE.relative_to(PROJECT).as_posix(): "share/man/man1/vsr-edge.1"}


def test_man_shows_it_without_complaint() -> None:
    if (groff := shutil.which("groff")) is None:
        pytest.skip("groff is not installed")
    shown = subprocess.run(
        [groff, "-k", "-man", "-Tutf8", "-ww"],
        input=PAGE.read_bytes(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert shown.stderr == b""
    plain = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", shown.stdout.decode("utf-8"))
    assert "vsr-edge search [OPTION]... [QUERY...]" in plain.replace("‐", "-")
    assert "--top-k, -k N" in plain
