"""`bundle recommend`: which known encoder suits this machine."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vsr_edge.cli.console import EXIT_NOTHING, answer, say
from vsr_edge.cli.options import JsonOption, ThreadsOption, option
from vsr_edge.cli.tables import Column, Table, megabytes, print_tables
from vsr_edge.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vsr_edge.bundle.recommend import Advice, Machine

_SHOWN_LANGUAGES = 3


def bundle_recommend(
    language: Annotated[
        list[str] | None,
        option("That it must read, as a code: en, de, zh, … Repeatable.", "--language", "-l"),
    ] = None,
    hours: Annotated[
        float | None, option("Of footage to index: that should not take longer than to watch it.")
    ] = None,
    fps: Annotated[float, option("Frames a second that will be read.")] = 1.0,
    threads: ThreadsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Say which of the known encoders suits this machine, and how to get it.

    The built-in encoder is measured for a few seconds; of the others, speeds and memory are
    estimates from that, and figures are what others published. Nothing is fetched. Exit code 3:
    none suits.

    Example: [bold]vsr-edge bundle recommend --language de --hours 100[/bold]
    """
    from vsr_edge.bundle.cost import measure_costs
    from vsr_edge.bundle.encoders import read_encoders
    from vsr_edge.bundle.recommend import Machine, free_megabytes, recommend
    from vsr_edge.config import usable_threads

    for number, name in ((hours, "--hours"), (fps, "--fps")):
        if number is not None and not 0 < number < 1e6:
            raise UsageError(f"{name} must be a number above 0, not {number:g}")
    languages = [one.strip().lower() for one in language or []]
    known = read_encoders().values()
    codes = {code for one in known for code in one.languages} - {"multilingual"}
    if odd := [one for one in languages if not (2 <= len(one) <= 3 and one.isalpha())]:
        raise UsageError(
            f"a language is a code of two or three letters, such as {', '.join(sorted(codes)[:4])},"
            f" not {odd[0]!r}"
        )
    (lite,) = measure_costs(["lite"], threads=threads or 0, seconds=2.0)
    machine = Machine(threads or usable_threads(), free_megabytes(), lite.frames_per_second)
    found = recommend(known, machine, languages=languages, hours=hours, fps=fps)
    answer(
        json_output,
        lambda of: of.BundleRecommendDocument.model_validate(
            {"machine": machine, "languages": languages, "hours": hours, "fps": fps}
            | {"encoders": [_described(one) for one in found]}
        ),
        lambda: _show(found, machine, hours, megabytes(lite.size_bytes)),
    )
    best = next((one for one in found if one.fits), None)
    if best is None:
        say(
            "none of them suits; the built-in bundle lite is here, and reads English"
            if languages in ([], ["en"])
            else f"none of them suits that reads {' and '.join(languages)}"
        )
        raise typer.Exit(EXIT_NOTHING)


def _described(advice: Advice) -> dict[str, Any]:
    from vsr_edge.bundle.recommend import first_figure

    encoder = advice.encoder
    names = ("name", "repository", "family", "licence", "languages", "remark")
    about: dict[str, Any] = {name: getattr(encoder, name) for name in names}
    estimates = {
        name: getattr(advice, name)
        for name in ("megabytes", "memory_mb", "frames_per_second", "hours")
    }
    figure = first_figure(encoder)
    return about | {
        "fits": advice.fits,
        "reasons": list(advice.reasons),
        "estimates": estimates,
        "published": None if figure is None else asdict(figure),
        "installed": advice.installed,
        "command": advice.command,
    }


def _show(found: Sequence[Advice], machine: Machine, hours: float | None, size: str) -> None:
    """``size`` is that of the built-in bundle."""
    columns = (
        *(Column("suits"), Column("name"), Column("languages", "text")),
        *(Column("MB", "number"), Column("memory", "number"), Column("frames/s", "number")),
        *([] if hours is None else [Column(f"{hours:g} h take", "number")]),
        *(Column("why", "text"), Column("licence", "text"), Column("how to get it", "text")),
    )
    rows = []
    for one in found:
        encoder, takes = one.encoder, one.hours
        more = len(encoder.languages) - _SHOWN_LANGUAGES
        languages = ", ".join(encoder.languages[:_SHOWN_LANGUAGES])
        rows.append(
            (
                *("yes" if one.fits else "no", encoder.name),
                languages + (f" and {more} more" if more > 0 else ""),
                *(_about(one.megabytes), _about(one.memory_mb), _about(one.frames_per_second)),
                *([] if hours is None else [f"{_about(takes)} h" if takes else "?"]),
                *("; ".join(one.reasons), encoder.licence),
                f"installed: --bundle {one.installed}" if one.installed else one.command or "–",
            )
        )
    print_tables(Table(columns, rows, named_by=(0, 1)))
    free = "unknown" if machine.free_mb is None else f"{machine.free_mb} MB"
    say(
        f"this machine: {machine.threads} threads, {free} of memory free; the built-in bundle "
        f"({size}, English) does {machine.frames_per_second:.0f} frames/s, measured"
    )
    with suppress(AttributeError, OSError):  # Windows knows no load
        if (load := os.getloadavg()[0]) > 1.5 * machine.threads:
            say(f"it is busy (load {load:.1f}): ask again when it is not, for what it can do")
    say(
        "~ is an estimate, of speed within a factor of two; percentages are as published, of "
        "single pictures. How well one finds things in your footage says: vsr-edge bundle compare"
    )


def _about(value: float | None) -> str:
    if value is None:
        return "?"
    return f"~{value:.0f}" if value >= 10 else f"~{value:.1g}"
