"""What a run of `index` tells: how far it is, and what it did."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vsr_edge.types import Seconds


@dataclass(frozen=True, slots=True)
class FileReport:
    """A file by name, and what is to be said of it."""

    path: Path
    reason: str


@dataclass(slots=True)
class IngestSummary:
    """What a run did. ``hours`` is newly encoded footage; ``seconds`` the run's wall time.

    ``left_out`` names the further video streams of files that were indexed by their main one.
    ``passed_over`` counts what lay in the folders and was not tried: files by their ending, and
    the folders of storage systems (``@eaDir/``).
    ``cues`` counts the words with their times that were read, ``text_problems`` names what of them
    could not be.
    """

    indexed: int = 0
    skipped: int = 0
    moved: int = 0
    copied: int = 0
    frames: int = 0
    hours: float = 0.0
    seconds: float = 0.0
    interrupted: bool = False
    partial: list[FileReport] = field(default_factory=list)
    failed: list[FileReport] = field(default_factory=list)
    left_out: list[FileReport] = field(default_factory=list)
    passed_over: dict[str, int] = field(default_factory=dict)
    cues: int = 0
    text_problems: list[FileReport] = field(default_factory=list)
    # By whoever keeps no more than some time.
    forgotten: list[Path] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is; ``done_bytes`` counts the file in hand by its frames read."""

    path: Path
    done_files: int
    total_files: int
    done_bytes: float
    total_bytes: int
    frames: int
    media_seconds: Seconds
    elapsed: float
