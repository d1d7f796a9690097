"""How commands are declared: the application, help pages, and options that several commands share.

Paths are not for typer to check (readable=False): one that cannot be read is reported, and the
others are still indexed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, ClassVar, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from vsr_edge.cli.console import errors_as_exit_codes


def option(about: str, *names: str, **how: Any) -> Any:
    """An option of a command, what it is about first."""
    return typer.Option(*names, help=about, **how)


def argument(about: str, **how: Any) -> Any:
    """An argument of a command, what it is about first."""
    return typer.Argument(help=about, **how)


# A path would lose one of the slashes of an address.
ArchiveOption = Annotated[
    str | None,
    option(
        "Folder of the archive, or postgresql://…",
        "--archive",
        "-a",
        envvar="VSR_EDGE_ARCHIVE",
        show_envvar=True,
        metavar="PATH",
    ),
]
JsonOption = Annotated[bool, option("One JSON document on stdout.", "--json", "-j")]
ThreadsOption = Annotated[
    int | None, option("0: all that this process may use. \\[default: 0]", "--threads", "-t", min=0)
]
ProviderOption = Annotated[
    str | None,
    option(
        "Execution provider: auto, cpu, cuda, … or with options, cuda:device_id=1. "
        "\\[default: cpu]",
        "--provider",
    ),
]
BundleOption = Annotated[
    str | None,
    option(
        "Model bundle: a built-in or installed name, or a folder. \\[default: lite]",
        "--bundle",
        "-b",
    ),
]
RegionsOption = Annotated[
    str | None,
    option(
        "Code of region vectors: float16, int8, int4, binary or none. \\[default: int8]",
        metavar="CODE",
    ),
]
AllRegionsOption = Annotated[
    str | None,
    option("Code of all region vectors. \\[default: each video its own]", metavar="CODE"),
]


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What runs the models; each a setting, None where it was not given."""

    threads: ThreadsOption
    provider: ProviderOption
    bundle: BundleOption


@dataclass(frozen=True, slots=True)
class DecodingOptions:
    """What decodes and runs the models."""

    threads: ThreadsOption
    hwaccel: Annotated[
        str | None, option("Device to decode on: auto, none, cuda, … \\[default: none]")
    ]
    provider: ProviderOption
    bundle: BundleOption


@dataclass(frozen=True, slots=True)
class ExecutorOptions:
    """Who decodes and encodes, of :meth:`vsr_edge.archive.Archive.index`: else this process."""

    PANEL: ClassVar = "Who does the work"

    processes: Annotated[
        int | None,
        option("Decode and encode in so many processes of this machine.", metavar="N", min=1),
    ]
    ray: Annotated[
        str | None,
        option(
            "Or in tasks of a Ray cluster: auto or HOST:PORT of one that runs, or local, one that "
            "is started here for so long.",
            metavar="ADDRESS",
        ),
    ]


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """How to search, of :class:`vsr_edge.query.SearchOptions`; None where it was not given."""

    PANEL: ClassVar = "How it is searched"

    max_turns: Annotated[
        int | None,
        option(
            "Retrieve at most so often, each time with a query refined anew. \\[default: 3]", min=1
        ),
    ]
    candidates: Annotated[int | None, option("Verify so many in each turn. \\[default: 16]", min=1)]
    max_ms: Annotated[
        float | None,
        option(
            "Begin no turn, and verify no further part, after so many milliseconds. "
            "\\[default: no limit]"
        ),
    ]
    one_shot: Annotated[bool, option("Retrieve once and verify nothing.", "--one-shot")]
    rocchio: Annotated[
        bool, option("Refine by classical relevance feedback instead of soft tokens.", "--rocchio")
    ]
    heads: Annotated[
        str | None,
        option(
            "Who verifies: dedicated heads of the bundle, or the universal ones that know no "
            "encoder. \\[default: auto, dedicated where there are some]",
            metavar="auto|dedicated|universal",
        ),
    ]


class App(typer.Typer):
    """A typer application whose help pages read alike, whichever version of typer makes them.

    Its commands may have groups of options, and expected errors of theirs become exit codes.
    """

    def __init__(self, **how: Any) -> None:
        super().__init__(cls=_Group, **how)

    def command(self, name: str | None = None, **how: Any) -> Callable[[Any], Any]:
        register = super().command(name, **({"cls": Command} | how))
        return lambda command: register(_ungrouped(errors_as_exit_codes()(command)))

    def callback(self, **how: Any) -> Callable[[Any], Any]:
        register = super().callback(**({"cls": _Group} | how))
        return lambda command: register(_ungrouped(errors_as_exit_codes()(command)))


def _ungrouped(command: Callable[..., None]) -> Callable[..., None]:
    """Typer knows no groups: a parameter that is a dataclass becomes an option for each field, on
    help pages under the heading ``PANEL`` of its class.
    """
    parameters: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    hints = get_type_hints(command, include_extras=True)
    for parameter in inspect.signature(command).parameters.values():
        kind = hints[parameter.name]
        if not is_dataclass(kind):
            parameters.append(parameter.replace(annotation=kind))
            continue
        groups[parameter.name] = kind
        declared = get_type_hints(kind, include_extras=True)
        for name in (field.name for field in fields(kind)):
            value, about = declared[name].__origin__, copy(declared[name].__metadata__[0])
            about.rich_help_panel = getattr(kind, "PANEL", None)
            parameters.append(
                inspect.Parameter(
                    name,
                    parameter.kind,
                    default=False if value is bool else None,
                    annotation=Annotated[value, about],
                )
            )

    @wraps(command)
    def called(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    return called


class Command(TyperCommand):
    """A command whose help page reads as those of the others."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _tidy(self, ctx)
        super().format_help(ctx, formatter)


class _Group(TyperGroup):
    def format_help(self, ctx: Any, formatter: Any) -> None:
        _tidy(self, ctx)
        super().format_help(ctx, formatter)


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
