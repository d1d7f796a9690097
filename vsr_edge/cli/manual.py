"""The manual page, made from what `--help` is made from::

    python -m vsr_edge.cli.manual docs/vsr-edge.1

A wheel installs it where `man vsr-edge` looks. It is the same whichever version of typer makes it.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeAlias, get_args

from typer import Typer
from typer.models import ArgumentInfo

from vsr_edge.cli.app import app
from vsr_edge.config import ENVIRONMENT_PREFIX, Settings

NAME = "vsr-edge"
_EXIT = {
    "0": "found, or done",
    "1": "an error, of a single file too",
    "2": "wrong usage",
    "3": "nothing found; what is shown then are guesses",
    "130": "interrupted",
}
# What stands for a value, by its type.
_VALUES = {Path: "PATH", int: "N", float: "X"}
Command: TypeAlias = Callable[..., Any]


def manual() -> str:
    """The page as man(7) source: all commands, each with its options."""
    main = app.registered_callback
    assert main is not None
    assert main.callback is not None
    first, *rest = _paragraphs(main.callback)
    lines = [
        ".\\\" Made by `python -m vsr_edge.cli.manual`: change the commands' help instead.",
        f'.TH {NAME.upper()} 1 "" "{NAME} {version(NAME)}" "User Commands"',
        ".SH NAME",
        f"{_plain(NAME)} \\- {_plain(first.rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B {_plain(NAME)}",
        "COMMAND [OPTION]... [ARGUMENT]...",
        ".SH DESCRIPTION",
        *_prose(rest),
        *_entries(main.callback),
        *_entry("\\fB\\-\\-help\\fR, \\fB\\-h\\fR", "Of every command: what it does."),
        ".SH COMMANDS",
    ]
    for name, command in _commands(app, ""):
        lines += [f".SS {_plain(name)}", f".B {_plain(f'{NAME} {name}')}", _usage(command)]
        lines += [".PP", *_prose(_paragraphs(command)), *_entries(command)]
    lines.append(".SH EXIT STATUS")
    for code, meaning in _EXIT.items():
        lines += _entry(code, _plain(meaning))
    names = ", ".join(
        f"{ENVIRONMENT_PREFIX}{field.name.upper()}" for field in fields(Settings) if field.repr
    )
    lines += [
        ".SH ENVIRONMENT",
        _plain(f"Each setting may be given so, or in config.toml, in small letters: {names}."),
    ]
    return "\n".join(lines) + "\n"


def _commands(group: Typer, before: str) -> Iterator[tuple[str, Command]]:
    """Every command of a group, with the words that call it."""
    for info in group.registered_commands:
        if info.callback is not None and not info.hidden:
            yield before + (info.name or info.callback.__name__.replace("_", "-")), info.callback
    for part in group.registered_groups:
        if part.typer_instance is not None:
            itself = part.typer_instance.registered_callback
            if itself is not None and itself.callback is not None and part.name:
                yield before + part.name, itself.callback  # a command that has others
            yield from _commands(part.typer_instance, f"{before}{part.name} ")


def _parameters(command: Command) -> Iterator[tuple[str, Any, Any, Any]]:
    """Each argument and option: its name, what typer is told of it, its type, and its default."""
    for name, one in inspect.signature(command).parameters.items():
        told = getattr(one.annotation, "__metadata__", ())
        if told and not told[0].hidden:
            kind = one.annotation.__origin__
            if isinstance(kind, UnionType):
                kind = next(part for part in get_args(kind) if part is not NoneType)
            yield name, told[0], kind, one.default


def _usage(command: Command) -> str:
    """What stands behind a command's name."""
    arguments = []
    for name, told, kind, default in _parameters(command):
        if isinstance(told, ArgumentInfo):
            shown = _argument(name, told) + ("..." if get_args(kind) else "")
            arguments.append(shown if default is inspect.Parameter.empty else f"[{shown}]")
    return _plain(" ".join(["[OPTION]...", *arguments]))


def _argument(name: str, told: ArgumentInfo) -> str:
    return (told.metavar or name.upper()).strip("[].")


def _entries(command: Command) -> Iterator[str]:
    """Each argument and option, with what it is about."""
    for name, told, kind, default in _parameters(command):
        about = _marked(told.help or "")
        if isinstance(told, ArgumentInfo):
            yield from _entry(f"\\fI{_plain(_argument(name, told))}\\fR", about)
            continue
        plain = f"--{name.replace('_', '-')}"
        flag = kind is bool
        # With a default of the function's own, the first name stands in the place of a default.
        given = [one for one in (told.default, *(told.param_decls or ())) if isinstance(one, str)]
        names = "/".join(given or [f"{plain}/--no-{plain[2:]}" if flag else plain]).split("/")
        shown = ", ".join(f"\\fB{_plain(one)}\\fR" for one in names)
        if not flag:
            value = _VALUES.get((*get_args(kind), kind)[0], "TEXT")
            shown += f" \\fI{_plain(told.metavar or value)}\\fR"
        # Where none is given here, the help itself says what holds.
        if not flag and isinstance(default, int | float | str):
            about += f" [default: {_plain(str(default))}]"
        if told.envvar:
            about += f" [environment: {_plain(str(told.envvar))}]"
        yield from _entry(shown, about)


def _entry(term: str, about: str) -> list[str]:
    return [".TP", _line(term), _line(about)]


def _paragraphs(command: Command) -> list[str]:
    found = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return [" ".join(paragraph.split()) for paragraph in found]


def _prose(paragraphs: list[str]) -> list[str]:
    return "\n.PP\n".join(_line(_marked(paragraph)) for paragraph in paragraphs).split("\n")


def _marked(text: str) -> str:
    """Text with the help's own marks for bold."""
    parts = re.split(r"\[bold\](.*?)\[/bold\]", text.replace("\\[", "["))
    return "".join(
        f"\\fB{_plain(part)}\\fR" if place % 2 else _plain(part) for place, part in enumerate(parts)
    )


def _plain(text: str) -> str:
    """Text as it is: a hyphen that can be copied, no escapes."""
    return text.replace("\\", "\\e").replace("-", "\\-")


def _line(text: str) -> str:
    """A line of text, which is no request though it begins as one."""
    return f"\\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(manual(), "utf-8")
