"""Which terminals draw pictures: by what they say in the environment, or when they are asked."""

from __future__ import annotations

import os
import sys

import pytest

from tests.e2e.terminal import in_terminal
from vsr_edge.cli.inline import by_environment

ASK = (sys.executable, "-c", "from vsr_edge.cli.inline import detected; print(detected())")


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-kitty", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-kitty"}, "kitty"),  # through ssh
        ({"TERM": "xterm-ghostty", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "240501"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"TERM": "xterm", "TERM_PROGRAM": "mintty"}, "iterm2"),
        ({"TERM": "xterm-256color"}, None),
        ({}, None),
        ({"TERM": "tmux-256color", "TMUX": "/tmp/t", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "screen", "LC_TERMINAL": "iTerm2"}, None),
    ],
)
def test_a_terminal_is_known_by_its_environment(
    environment: dict[str, str], protocol: str | None
) -> None:
    assert by_environment(environment) == protocol


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(
    ("answer", "able"),
    [
        (b"\x1b[?62;4;6c", True),
        (b"typed\x1b[?62;1;4c", True),
        (b"\x1b[?62;14c", False),
        (b"\x1b[?4c", False),
        (b"no answer", False),
        (b"", False),
    ],
)
def test_other_terminals_are_asked_for_sixel(answer: bytes, able: bool) -> None:
    shown, _ = in_terminal(ASK, {"COLUMNS": "60"}, answer=answer)
    assert shown.count("\x1b[c") == 1
    expected = "Terminal(protocol='sixel', columns=60, cell=(10, 20))" if able else "None"
    assert shown.strip().endswith(expected)
