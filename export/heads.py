"""The loop's heads → ONNX → int8 → parity gate, and the bundle that they make with its encoders.

What the gate compares on is what real searches of an archive put before the heads; what the bundle
is calibrated by is real searches too, of an archive with known answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from export.bundle import Graph, write_bundle
from export.calibrate import BLANK, Calibrated, collect, fit
from export.graphs import export_grounding, export_refiner
from export.parity_heads import HeadFeeds, compare_grounding, compare_refiner, head_feeds
from export.quantize import quantize_head
from export.sources import ExportError
from models.checkpoint import load_heads
from models.refiner import Refiner
from vsr_edge.archive import Archive
from vsr_edge.bundle.locate import BundleFiles, verify_bundle
from vsr_edge.bundle.manifest import CONCEPTS, GROUNDING, REFINER, BundleFile
from vsr_edge.bundle.model import Bundle
from vsr_edge.config import Settings
from vsr_edge.evaluation.records import Query

HEADS = {GROUNDING: "grounding.onnx", REFINER: "refiner.onnx"}
HEAD_PRECISIONS = ("fp32", "int8")
CONCEPTS_FILE = "concepts.npz"
PARITY_QUERIES = 100


@dataclass(frozen=True)
class Part:
    """A head's graph, and what its gate measured."""

    graph: Graph
    parity: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Asking:
    """An archive that the bundle's encoders made, and what to ask there, with the truth; neither
    trained on nor tested on.
    """

    settings: Settings
    queries: Sequence[Query]

    def feeds(self, encoders: BundleFiles) -> list[HeadFeeds]:
        """What searches put before the heads."""
        chosen = self.queries[:: max(len(self.queries) // PARITY_QUERIES, 1)]
        with Archive(replace(self.settings, bundle=str(encoders.folder))) as archive:
            return [head_feeds(archive, query.query) for query in chosen]


def export_part(
    role: str,
    checkpoint: Path,
    base: str,
    asking: Asking,
    out: Path,
    work: Path,
    *,
    precision: str = "int8",
    use_evidence: bool = True,
) -> Part:
    """One head of a checkpoint as a graph in the folder ``out``, with its figures beside it.

    Args:
        role: ``GROUNDING`` or ``REFINER``.
        checkpoint: what ``models.train_sft`` or ``models.train_grpo`` saved.
        base: the bundle whose encoders it was trained for, by name or folder.
        work: where the fp32 graphs go.
        use_evidence: False for a refiner that was trained without: it is shown none.

    Raises:
        ParityError: int8 differs from fp32 past tolerance; nothing is written to ``out`` then.
        ExportError: the checkpoint has no such head.
    """
    # What a refiner is shown in the gate depends on what the verifier of the same training turns
    # down.
    roles = {role} if precision == "fp32" else {role, GROUNDING}
    fp32 = _make_graphs(checkpoint, work / "fp32", roles, use_evidence)
    if role not in fp32:
        raise ExportError(f"{checkpoint} holds no {role}: models.train_sft did not finish")
    path, parity = fp32[role], {}
    if precision == "int8":
        path = work / "int8" / HEADS[role]
        path.parent.mkdir(parents=True, exist_ok=True)
        quantize_head(fp32[role], path)
        feeds = asking.feeds(verify_bundle(base))
        if role == GROUNDING:
            parity = compare_grounding(Graph(fp32[role], "fp32"), Graph(path, "int8"), feeds)
        else:
            before, judging = (Graph(fp32[name], "fp32") for name in (REFINER, GROUNDING))
            parity = compare_refiner(before, Graph(path, "int8"), judging, feeds)
    out.mkdir(parents=True, exist_ok=True)
    (out / HEADS[role]).write_bytes(path.read_bytes())
    document = {"precision": precision, "parity": parity}
    (out / f"{role}.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    return Part(Graph(out / HEADS[role], precision), parity)


def read_parts(folder: Path) -> dict[str, Part]:
    """The heads that :func:`export_part` put into a folder.

    Raises:
        ExportError: there is none, or a file is not what it wrote.
    """
    parts = {}
    for role, name in HEADS.items():
        if not (folder / name).is_file():
            continue
        try:
            document = json.loads((folder / f"{role}.json").read_text("utf-8"))
            graph = Graph(folder / name, str(document["precision"]))
            parts[role] = Part(graph, dict(document["parity"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ExportError(
                f"{folder / role}.json does not describe {name}: export it again ({error!r})"
            ) from error
    if GROUNDING not in parts:
        raise ExportError(
            f"{folder} holds no {HEADS[GROUNDING]}: `vsr-edge export grounding` writes it"
        )
    return parts


def assemble(
    base: str,
    parts: Mapping[str, Part],
    asking: Asking,
    out: Path,
    work: Path,
    *,
    concepts: Path | None = None,
    provenance: dict[str, Any] | None = None,
) -> tuple[Bundle, Calibrated]:
    """Put heads and a bundle's encoders together, calibrate, and verify.

    Args:
        out: the bundle's folder; nothing is written there unless all of it succeeds.
        concepts: file of words and phrases, one a line, to explain refinements by; None keeps those
            of the base.

    Raises:
        CalibrationError: the queries show no right and no wrong decision to learn from.
    """
    encoders = verify_bundle(base)
    raw = encoders.manifest.raw
    files: dict[str, list[Graph]] = {
        role: [_graph(encoders, one) for one in (entry, *entry.alternatives)]
        for role, entry in encoders.manifest.files.items()
        if role not in {GROUNDING, REFINER, CONCEPTS}
    }
    files |= {role: [part.graph] for role, part in parts.items()}
    if concepts is not None:
        found = _encode_concepts(concepts, encoders, work / CONCEPTS_FILE)
        files[CONCEPTS] = [Graph(found, None)]
    elif CONCEPTS in encoders.manifest.files:
        files[CONCEPTS] = [Graph(encoders.path(CONCEPTS), None)]
    parity = {role: value for role, value in raw["parity"].items() if role not in HEADS}
    parity |= {role: part.parity for role, part in parts.items()}

    def write(folder: Path, calibration: dict[str, Any]) -> Bundle:
        return write_bundle(
            folder,
            files,
            name=encoders.manifest.name,
            licence=encoders.manifest.licence,
            dims=raw["dims"],
            preprocessing=raw["preprocessing"],
            text=asdict(encoders.manifest.text),
            parity=parity,
            provenance={**raw["provenance"], **(provenance or {})},
            calibration=calibration,
            encoders_id=encoders.manifest.encoders_id,
        )

    # The loop must run to be calibrated: at first with a threshold that nothing passes.
    uncalibrated = work / "uncalibrated"
    write(uncalibrated, BLANK).close()
    with Archive(replace(asking.settings, bundle=str(uncalibrated))) as archive:
        found_calibration = fit(collect(archive, asking.queries))
    return write(out, found_calibration.to_json()), found_calibration


def _graph(bundle: BundleFiles, entry: BundleFile) -> Graph:
    return Graph(bundle.folder / entry.file, entry.precision)


def _make_graphs(
    checkpoint: Path, folder: Path, roles: set[str], use_evidence: bool
) -> dict[str, Path]:
    """The fp32 graphs of those heads that a checkpoint holds."""
    head, refiner = load_heads(checkpoint)
    graphs = {}
    if GROUNDING in roles:
        graphs[GROUNDING] = folder / HEADS[GROUNDING]
        export_grounding(head, graphs[GROUNDING])
    if REFINER in roles and refiner is not None:
        graphs[REFINER] = folder / HEADS[REFINER]
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


def _encode_concepts(concepts: Path, encoders: BundleFiles, target: Path) -> Path:
    names = concepts.read_text("utf-8").split("\n")
    names = [name for name in names if name.strip()]
    with Bundle(encoders) as bundle:
        vectors = bundle.encode_text(names)
    target.parent.mkdir(parents=True, exist_ok=True)
    np.savez(target, names=np.array(names), vectors=vectors.astype(np.float16))
    return target
