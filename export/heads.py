"""A trained loop → a bundle that verifies, grounds and refines.

fp32 ONNX → int8 → parity gate on what a search really puts before the heads → concepts →
calibration by real searches of an archive with known answers → manifest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from export.bundle import write_bundle
from export.calibrate import BLANK, Calibrated, collect, fit
from export.graphs import export_grounding, export_refiner
from export.parity import HeadFeeds, compare_heads, head_feeds
from export.quantize import quantize_head
from models.checkpoint import load_heads
from models.refiner import Refiner
from vsr_edge.archive import Archive
from vsr_edge.config import Settings
from vsr_edge.evaluation.records import Query
from vsr_edge.runtime.bundle import BundleFiles, verify_bundle
from vsr_edge.runtime.encoder import Bundle
from vsr_edge.runtime.manifest import CONCEPTS, GROUNDING, REFINER

HEADS = {GROUNDING: "grounding.onnx", REFINER: "refiner.onnx"}
CONCEPTS_FILE = "concepts.npz"
PARITY_QUERIES = 100


def export_heads(
    checkpoint: Path,
    base: str,
    settings: Settings,
    queries: Sequence[Query],
    out: Path,
    work: Path,
    *,
    precision: str = "int8",
    use_evidence: bool = True,
    concepts: Path | None = None,
    provenance: dict[str, Any] | None = None,
) -> tuple[Bundle, Calibrated]:
    """Add the heads of a checkpoint to the encoders of a bundle.

    Args:
        checkpoint: what ``models.train_sft`` or ``models.train_grpo`` saved.
        base: the bundle whose encoders they were trained for, by name or folder.
        settings: the archive to calibrate on, encoded with those encoders.
        queries: what to ask there, with the truth; neither trained on nor tested on.
        out: the bundle's folder; nothing is written there unless all of it succeeds.
        work: where the intermediate graphs go; the fp32 ones stay for comparison.
        use_evidence: False for a refiner that was trained without: it is shown none.
        concepts: file of words and phrases, one a line, to explain refinements by.

    Raises:
        ParityError: int8 differs from fp32 past tolerance.
        CalibrationError: the queries show no right and no wrong decision to learn from.
    """
    encoders = verify_bundle(base)
    fp32 = _make_graphs(checkpoint, work / "fp32", use_evidence)
    graphs = fp32
    parity: dict[str, Any] = dict(encoders.manifest.raw["parity"])
    if precision == "int8":
        (work / "int8").mkdir(parents=True, exist_ok=True)
        graphs = {role: work / "int8" / name for role, name in HEADS.items()}
        for role in HEADS:
            quantize_head(fp32[role], graphs[role])
        feeds = _real_feeds(encoders, settings, queries)
        parity |= compare_heads(fp32, graphs, feeds)
    raw = encoders.manifest.raw
    files: dict[str, tuple[Path, str | None]] = {
        role: (encoders.path(role), entry.precision)
        for role, entry in encoders.manifest.files.items()
        if role not in {GROUNDING, REFINER, CONCEPTS}
    }
    files |= {role: (path, precision) for role, path in graphs.items()}
    if concepts is not None:
        files[CONCEPTS] = (_encode_concepts(concepts, encoders, work / CONCEPTS_FILE), None)
    elif CONCEPTS in encoders.manifest.files:
        files[CONCEPTS] = (encoders.path(CONCEPTS), None)

    def write(folder: Path, calibration: dict[str, Any]) -> Bundle:
        return write_bundle(
            folder,
            files,
            name=encoders.manifest.name,
            licence=encoders.manifest.licence,
            dims=raw["dims"],
            preprocessing=raw["preprocessing"],
            parity=parity,
            provenance={**raw["provenance"], **(provenance or {})},
            calibration=calibration,
        )

    # The loop must run to be calibrated: at first with a threshold that nothing passes.
    uncalibrated = work / "uncalibrated"
    write(uncalibrated, BLANK).close()
    with Archive(replace(settings, bundle=str(uncalibrated))) as archive:
        found = fit(collect(archive, queries))
    return write(out, found.to_json()), found


def _make_graphs(checkpoint: Path, folder: Path, use_evidence: bool) -> dict[str, Path]:
    head, refiner = load_heads(checkpoint)
    if refiner is None:
        raise FileNotFoundError(f"{checkpoint} holds no refiner: models.train_sft did not finish")
    graphs = {role: folder / name for role, name in HEADS.items()}
    export_grounding(head, graphs[GROUNDING])
    export_refiner(refiner if use_evidence else WithoutEvidence(refiner), graphs[REFINER])
    return graphs


class WithoutEvidence(torch.nn.Module):
    """A refiner that sees the query alone, whatever it is given."""

    def __init__(self, refiner: Refiner) -> None:
        super().__init__()
        self.refiner = refiner

    def forward(
        self,
        states: torch.Tensor,
        token_mask: torch.Tensor,
        query: torch.Tensor,
        frames: torch.Tensor,
        regions: torch.Tensor,
        about: torch.Tensor,
        evidence_mask: torch.Tensor,
    ) -> torch.Tensor:
        soft: torch.Tensor = self.refiner(
            states, token_mask, query, frames, regions, about, 0 * evidence_mask
        )
        return soft


def _real_feeds(
    encoders: BundleFiles, settings: Settings, queries: Sequence[Query]
) -> list[HeadFeeds]:
    chosen = queries[:: max(len(queries) // PARITY_QUERIES, 1)]
    with Archive(replace(settings, bundle=str(encoders.folder))) as archive:
        return [head_feeds(archive, query.query) for query in chosen]


def _encode_concepts(concepts: Path, encoders: BundleFiles, target: Path) -> Path:
    names = concepts.read_text("utf-8").split("\n")
    names = [name for name in names if name.strip()]
    with Bundle(encoders) as bundle:
        vectors = bundle.encode_text(names)
    target.parent.mkdir(parents=True, exist_ok=True)
    np.savez(target, names=np.array(names), vectors=vectors.astype(np.float16))
    return target
