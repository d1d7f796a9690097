"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

# Typer evaluates the annotations itself and wants Optional spelled out. Paths are not for it to
# check (readable=False): one that cannot be read is reported, and the others are still indexed.
ArchiveOption = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--archive",
        "-a",
        envvar="VSR_EDGE_ARCHIVE",
        help="Folder of the archive.",
        show_envvar=True,
        readable=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", "-j", help="One JSON document on stdout.")]
BundleOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--bundle",
        "-b",
        help="Model bundle: a built-in or installed name, or a folder. \\[default: lite]",
    ),
]
ProviderOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--provider",
        help="Execution provider: auto, cpu, cuda, … or with options, cuda:device_id=1. "
        "\\[default: cpu]",
    ),
]
HwaccelOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--hwaccel",
        help="Device to decode on: auto, none, cuda, … \\[default: none]",
    ),
]
ThreadsOption = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--threads", "-t", min=0, help="0: all that this process may use. \\[default: 0]"),
]
MaxTurnsOption = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        "--max-turns",
        min=1,
        help="Retrieve at most so often, each time with a query refined anew. \\[default: 3]",
    ),
]
CandidatesOption = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--candidates", min=1, help="Verify so many in each turn. \\[default: 16]"),
]
MaxMsOption = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(
        "--max-ms", help="Begin no turn after so many milliseconds. \\[default: no limit]"
    ),
]
OneShotOption = Annotated[
    bool, typer.Option("--one-shot", help="Retrieve once and verify nothing.")
]
RocchioOption = Annotated[
    bool,
    typer.Option(
        "--rocchio", help="Refine by classical relevance feedback instead of soft tokens."
    ),
]
