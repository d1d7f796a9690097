"""Help pages as they should read, whichever version of typer makes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


class _Command(TyperCommand):
    def format_help(self, ctx: Any, formatter: Any) -> None:
        _tidy(self, ctx)
        super().format_help(ctx, formatter)


class _Group(TyperGroup):
    def format_help(self, ctx: Any, formatter: Any) -> None:
        _tidy(self, ctx)
        super().format_help(ctx, formatter)


class App(typer.Typer):
    """A typer application with these pages."""

    def __init__(self, **how: Any) -> None:
        super().__init__(cls=_Group, **how)

    def command(self, name: str | None = None, **how: Any) -> Callable[[Any], Any]:
        return super().command(name, cls=_Command, **how)


def _tidy(command: Any, ctx: Any) -> None:
    """Lines of a paragraph flow, a flag has no type, and None is no default."""
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    command.help = "\n\n".join(" ".join(paragraph.split("\n")) for paragraph in paragraphs)
    parameters = command.get_params(ctx)
    for parameter in parameters:
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""
        if parameter.default is None:
            parameter.show_default = False
    # The option --help is made anew for each asking.
    command.get_params = lambda _: parameters
