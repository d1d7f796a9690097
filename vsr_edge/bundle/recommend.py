"""Which of the known encoders suits this machine: by memory, speed, language and licence.

Nothing is downloaded. Sizes and figures are what others published; speeds are estimates, from how
many operations a picture takes and how fast the built-in encoder does its own here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vsr_edge.bundle.encoders import Figure, KnownEncoder
from vsr_edge.bundle.locate import installed_bundles
from vsr_edge.bundle.manifest import read_manifest
from vsr_edge.errors import BundleError

# EfficientNet-Lite2 of 260 pixels takes 0.87 G multiplications with additions.
BUILT_IN_GFLOPS: Final = 1.74
# Matrix products keep a processor busier than narrow convolutions do, floats less than int8: by
# operations alone a speed is known within about this factor.
WITHIN: Final = 2.0
# What a process takes beside the larger side's graph, and how often that lies in memory while it is
# loaded: onnxruntime lays weights out anew.
_BASE_MB, _COPIES = 400, 2
# Which graphs are taken, the smallest that are said to be sound first; bytes a parameter.
_BYTES: Final = {"int8": 1, "fp16": 2, "fp32": 4}
# Their published 8-bit image graphs are said to be useless.
_NO_INT8: Final = frozenset({"mobileclip"})
# By this published figure the list is ordered: most have it.
_ORDER: Final = "ImageNet-1k"


@dataclass(frozen=True, slots=True)
class Machine:
    """What counts of a machine: threads, free megabytes (None where the system does not say), and
    how many frames a second the built-in encoder does, measured.
    """

    threads: int
    free_mb: int | None
    frames_per_second: float


@dataclass(frozen=True, slots=True)
class Advice:
    """An encoder, and whether it suits. ``reasons``: why not, or what speaks for it.

    ``megabytes`` of its graphs on disk, ``memory_mb`` and ``frames_per_second`` are estimates, and
    so is ``hours``, what indexing takes; None where nothing is known. ``installed`` is the name of
    a bundle here that was made of it, ``command`` gets it.
    """

    encoder: KnownEncoder
    fits: bool
    reasons: tuple[str, ...]
    megabytes: int | None
    memory_mb: int | None
    frames_per_second: float | None
    hours: float | None
    installed: str | None
    command: str | None


def recommend(
    known: Iterable[KnownEncoder],
    machine: Machine,
    *,
    languages: Sequence[str] = (),
    hours: float | None = None,
    fps: float = 1.0,
) -> list[Advice]:
    """Every encoder with a verdict, those that suit first, the best published figure first.

    Args:
        languages: codes of ISO 639 that all must be read.
        hours: of footage to index, of which ``fps`` frames a second are encoded: it should not take
            longer than the footage itself, within what an estimate is worth.
    """
    here = _made_here()
    found = [_advice(one, machine, languages, hours, fps, here) for one in known]
    return sorted(found, key=lambda one: (not one.fits, -(_figure(one.encoder) or 0.0)))


def _advice(
    encoder: KnownEncoder,
    machine: Machine,
    languages: Sequence[str],
    hours: float | None,
    fps: float,
    here: Mapping[str, str],
) -> Advice:
    against: list[str] = []
    if unread := [one for one in languages if not encoder.speaks(one)]:
        reads = ", ".join(encoder.languages[:3])
        against.append(f"reads {reads}, not {' and '.join(unread)}")
    if not encoder.graphs:
        against.append("no published graphs are known: it would have to be exported")
    megabytes, larger = _sizes(encoder)
    memory = None if larger is None else _BASE_MB + _COPIES * larger
    if memory is not None and machine.free_mb is not None and memory > machine.free_mb:
        against.append(f"takes about {memory} MB of memory, {machine.free_mb} are free")
    rate = _rate(encoder, machine)
    takes = None if hours is None or rate is None else hours * fps / rate
    if rate is not None and rate * WITHIN < fps:
        against.append(f"about {rate:.1g} frames/s: slower than footage comes in")
    elif takes is not None and hours is not None and takes > WITHIN * hours:
        against.append(f"indexing {hours:g} h would take about {takes:.0f} h")
    name = here.get(encoder.name) or here.get(encoder.repository)
    return Advice(
        encoder,
        not against,
        tuple(against or _for(encoder, rate, languages, fps)),
        megabytes,
        memory,
        rate,
        takes,
        name,
        None if name or not encoder.graphs else encoder.import_command(),
    )


def _for(
    encoder: KnownEncoder, rate: float | None, languages: Sequence[str], fps: float
) -> list[str]:
    said = [f"reads {' and '.join(languages)}"] if languages else []
    if rate is None:
        said.append("speed unknown: measure it with `bundle show --measure`")
    elif rate < WITHIN * fps:
        said.append("hardly as fast as footage comes in")
    figure = first_figure(encoder)
    if figure is not None:
        said.append(f"{figure.percent:g} % on {figure.task}, published")
    return said or ["nothing speaks against it"]


def _figure(encoder: KnownEncoder) -> float | None:
    return next((one.percent for one in encoder.figures if one.task == _ORDER), None)


def first_figure(encoder: KnownEncoder) -> Figure | None:
    """The published figure that is shown of an encoder: that of the order, or else its first."""
    found = [one for one in encoder.figures if one.task == _ORDER] or list(encoder.figures)
    return found[0] if found else None


def _sizes(encoder: KnownEncoder) -> tuple[int | None, int | None]:
    """Megabytes of both sides and of the larger one, of the graphs that a processor is given."""
    wanted = [one for one in _BYTES if not (one == "int8" and encoder.family in _NO_INT8)]
    for precision in wanted:
        if precision != "fp16" and precision in encoder.megabytes:
            sides = encoder.megabytes[precision]
            return sum(sides), max(sides)
    if encoder.parameters is None:
        return None, None
    # Half of each at the least; which half is not known, and all is on the safe side.
    total = encoder.parameters * _BYTES["int8" if "int8" in wanted else "fp32"]
    return total, total


def _rate(encoder: KnownEncoder, machine: Machine) -> float | None:
    """Frames a second."""
    if encoder.gflops is None:
        return None
    return machine.frames_per_second * BUILT_IN_GFLOPS / encoder.gflops


def _made_here() -> dict[str, str]:
    """Names and sources of installed bundles → what the bundle is called."""
    found: dict[str, str] = {}
    for name, folder in installed_bundles().items():
        found[name] = name
        with suppress(BundleError):
            origin: Any = read_manifest(folder).raw.get("provenance")
            if isinstance(origin, Mapping):
                found |= {str(v): name for v in origin.values() if isinstance(v, str)}
    return found


def free_megabytes() -> int | None:
    """Memory that a new process may take, bounded by a container's limit; None if unknown."""
    found = []
    with suppress(OSError, ValueError, IndexError, StopIteration):
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        line = next(one for one in lines if one.startswith("MemAvailable:"))
        found.append(int(line.split()[1]) // 1000)
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        most = int((group / "memory.max").read_text("ascii"))
        found.append((most - int((group / "memory.current").read_text("ascii"))) // 1_000_000)
    if not found:
        with suppress(AttributeError, OSError, ValueError):  # macOS: all of it
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1_000_000)
    return max(min(found), 0) if found else None
