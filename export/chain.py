"""From a training run's folder to a bundle: encoder, archive to ask, heads, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from export.calibrate import Calibrated
from export.encoder import export_encoder, precisions
from export.heads import Asking, assemble, export_part
from export.sources import ExportError, open_source
from vsr_edge.archive import open_archive
from vsr_edge.bundle.manifest import GROUNDING, REFINER
from vsr_edge.bundle.model import Bundle, load_bundle
from vsr_edge.config import load_settings
from vsr_edge.evaluation.records import Query

ENCODER_FILE, LOOP_FILE, CONCEPTS_FILE = "encoder.safetensors", "loop.safetensors", "concepts.txt"


def export_run(
    run: Path,
    out: Path,
    work: Path,
    *,
    base: str = "lite",
    videos: Path | None = None,
    queries: Sequence[Query] | None = None,
    precision: str = "int8",
    also: Sequence[str] = (),
    photos: Path | None = None,
    calibration_count: int = 128,
    parity_count: int = 128,
) -> tuple[Bundle, Calibrated | None]:
    """Write the bundle of a run; without a trained loop in it, one that searches unverified.

    Args:
        run: a folder with ``encoder.safetensors``, ``loop.safetensors``, or both, and perhaps
            ``concepts.txt``.
        base: encoders for a run that has none of its own.
        also: further precisions of the encoders' graphs, for other execution providers.
        videos: what to ask ``queries`` of; indexed with the run's encoder into ``work``.

    Raises:
        ExportError: neither checkpoint is there, or there is nothing to calibrate a loop by.
        ParityError, CalibrationError: as of the steps.
    """
    encoder, loop, concepts = (run / name for name in (ENCODER_FILE, LOOP_FILE, CONCEPTS_FILE))
    if not encoder.is_file() and not loop.is_file():
        raise ExportError(f"{run} holds neither {ENCODER_FILE} nor {LOOP_FILE}")
    if loop.is_file() and (videos is None or queries is None):
        raise ExportError(
            f"{loop} needs --videos and --queries: the gate and the calibration ask real searches"
        )
    if encoder.is_file():
        base = str(out if not loop.is_file() else work / "encoders")
        made = export_encoder(
            open_source(str(encoder), work=work),
            Path(base),
            work,
            precision=precisions(precision, None, None),
            also=also,
            photos=photos,
            calibration_count=calibration_count,
            parity_count=parity_count,
        )
        if not loop.is_file():
            return made, None
        made.close()
    assert videos is not None
    assert queries is not None
    with load_bundle(base) as encoders:
        # By its id: another encoder must not be refused for what an earlier one left.
        archive = work / f"archive-{encoders.encoders_id}"
    with open_archive(archive, bundle=base) as opened:
        opened.index([videos])
    asking = Asking(load_settings({"archive": archive}), queries)
    parts = {
        role: export_part(role, loop, base, asking, work / "parts", work, precision=precision)
        for role in (GROUNDING, REFINER)
    }
    found = concepts if concepts.is_file() else None
    return assemble(base, parts, asking, out, work, concepts=found)
