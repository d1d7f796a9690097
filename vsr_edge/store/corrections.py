"""What probabilities mean in an archive, where that was found out: a small file beside its rows.

It is no row of the database, so that programs of before read the archive as they did.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vsr_edge.types import Correction

FILE = "calibration.json"


def read_correction(folder: Path, name: str) -> Correction | None:
    """The one of that name; None where there is none, or none that can be."""
    return correction_of(_read(folder).get(name))


def correction_of(values: Any) -> Correction | None:
    """A correction from its fields by name; None from what is none that can be."""
    try:
        found = Correction(**values)
    except TypeError:
        return None
    share = 0.0 if found.absent is None else found.absent
    numbers = (found.slope, found.bias, share)
    sound = all(isinstance(one, int | float) and math.isfinite(one) for one in numbers)
    return found if sound and found.slope > 0 and 0 <= share < 1 else None


def write_correction(folder: Path, name: str, correction: Correction | None) -> None:
    """Keep it in place of the one before; None forgets that."""
    rows = _read(folder)
    rows.pop(name, None)
    if correction is not None:
        rows[name] = asdict(correction)
    _write(folder, rows)


def read_corrections(folder: Path) -> dict[str, Correction]:
    """All that there are, by name."""
    found = {name: correction_of(values) for name, values in _read(folder).items()}
    return {name: one for name, one in found.items() if one is not None}


def write_corrections(folder: Path, corrections: Mapping[str, Correction]) -> None:
    """Have these and no other."""
    if corrections or (folder / FILE).exists():
        _write(folder, {name: asdict(one) for name, one in corrections.items()})


def _write(folder: Path, rows: Mapping[str, Any]) -> None:
    part = folder / f"{FILE}.{os.getpid()}.part"
    try:
        part.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
        part.replace(folder / FILE)
    finally:
        part.unlink(missing_ok=True)


def _read(folder: Path) -> dict[str, Any]:
    try:
        rows = json.loads((folder / FILE).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return rows if isinstance(rows, dict) else {}
