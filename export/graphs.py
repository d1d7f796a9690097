"""Graphs: PyTorch → fp32 ONNX, named as the runtime's contract says.

``export_…`` write one module, ``make_…`` what a source or a checkpoint holds.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.contract import FILE_OF, SIDES, Source
from export.quantize import quiet
from models.checkpoint import load_heads
from models.encoder import DIMENSIONS, REGION_SIDE
from models.grounding import GroundingHead
from models.minilm import HIDDEN
from models.refiner import Refiner
from models.universal import UniversalHead
from vsr_edge.bundle.manifest import (
    GRAPH_INPUTS,
    GRAPH_OUTPUTS,
    GROUNDING,
    IMAGE_ENCODER,
    REFINER,
    TEXT_ENCODER,
    UNIVERSAL,
)
from vsr_edge.runtime.evidence import PER_CANDIDATE, PER_FRAME, PER_PHRASE, PER_SENTENCE

OPSET = 18
REGIONS = REGION_SIDE**2
# The axes of an input that may be of any length, by name.
Free: TypeAlias = dict[int, str]


def make_encoder_graphs(source: Source, folder: Path) -> dict[str, Path]:
    """Both fp32 graphs of a source, by role."""
    graphs = {role: folder / FILE_OF[role] for role in SIDES}
    export_image_encoder(source.image, graphs[IMAGE_ENCODER], source.side)
    example = tuple(torch.from_numpy(array) for array in example_tokens(source, 2, 3))
    export_text_encoder(source.text, graphs[TEXT_ENCODER], example)
    return graphs


def make_head_graphs(
    checkpoint: Path, folder: Path, roles: set[str], use_evidence: bool
) -> dict[str, Path]:
    """The fp32 graphs of those heads that a checkpoint holds, by role."""
    head, refiner = load_heads(checkpoint)
    graphs = {}
    if GROUNDING in roles:
        graphs[GROUNDING] = folder / FILE_OF[GROUNDING]
        export_grounding(head, graphs[GROUNDING])
    if REFINER in roles and refiner is not None:
        graphs[REFINER] = folder / FILE_OF[REFINER]
        export_refiner(refiner if use_evidence else WithoutEvidence(refiner), graphs[REFINER])
    return graphs


def example_tokens(source: Source, batch: int, soft: int, seed: int = 0) -> list[NDArray[Any]]:
    """Ids, mask and soft tokens of a shape that the text side takes."""
    random = np.random.default_rng(seed)
    positions = source.text_input.positions
    length = positions - soft if source.text_input.fill and positions is not None else 7
    ids = random.integers(3, 100, (batch, length))
    soft_tokens = random.normal(0, 0.05, (batch, soft, source.hidden)).astype(np.float32)
    return [ids, np.ones_like(ids), soft_tokens]


def export_image_encoder(module: nn.Module, path: Path, side: int) -> None:
    """Write an image side: ``pixels`` [n, 3, S, S] → ``vector`` [n, D], ``regions`` [n, 9, D]."""
    module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    pixels = torch.zeros(2, 3, side, side)
    _export(module, path, IMAGE_ENCODER, [(pixels, {0: "batch"})])


def export_text_encoder(module: nn.Module, path: Path, example: tuple[Tensor, ...]) -> None:
    """Write a text side, its soft token entrance open: N is free and may be 0.

    ``example``: ids and mask [B, L], soft tokens [B, N, H], each axis longer than 1.
    """
    words, soft = {0: "batch", 1: "length"}, {0: "batch", 1: "soft"}
    _export(module, path, TEXT_ENCODER, list(zip(example, (words, words, soft), strict=True)))


def export_grounding(head: GroundingHead, path: Path) -> None:
    """Write the verifier and grounder: any number of pairs, words and frames."""
    words, frames = {0: "pairs", 1: "words"}, {0: "pairs", 1: "frames"}
    _export(
        head,
        path,
        GROUNDING,
        [
            (torch.zeros(2, 5, HIDDEN), words),
            (torch.ones(2, 5), words),
            (torch.zeros(2, DIMENSIONS), {0: "pairs"}),
            (torch.zeros(2, 7, DIMENSIONS), frames),
            (torch.zeros(2, 7, REGIONS, DIMENSIONS), frames),
            (torch.ones(2, 7), frames),
        ],
    )


def export_refiner(refiner: Refiner | WithoutEvidence, path: Path) -> None:
    """Write the refiner, its soft tokens unrolled: any number of queries, words and evidence."""
    words, evidence = {0: "queries", 1: "words"}, {0: "queries", 1: "evidence"}
    _export(
        refiner,
        path,
        REFINER,
        [
            (torch.zeros(2, 5, HIDDEN), words),
            (torch.ones(2, 5), words),
            (torch.zeros(2, DIMENSIONS), {0: "queries"}),
            (torch.zeros(2, 3, DIMENSIONS), evidence),
            (torch.zeros(2, 3, REGIONS, DIMENSIONS), evidence),
            (torch.zeros(2, 3, 2), evidence),
            (torch.ones(2, 3), evidence),
        ],
    )


def export_universal(head: UniversalHead, path: Path) -> None:
    """Write the verifier that knows no encoder: any number of pairs, phrases and frames."""
    pairs, frames = {0: "pairs"}, {0: "pairs", 1: "frames"}
    phrases = {0: "pairs", 1: "phrases"}
    _export(
        head,
        path,
        UNIVERSAL,
        [
            (torch.zeros(2, 7, PER_SENTENCE), frames),
            (torch.zeros(2, 5, 7, PER_PHRASE), phrases | {2: "frames"}),
            (torch.ones(2, 5), phrases),
            (torch.zeros(2, 7, PER_FRAME), frames),
            (torch.ones(2, 7), frames),
            (torch.zeros(2, PER_CANDIDATE), pairs),
        ],
    )


class WithoutEvidence(nn.Module):
    """A refiner that sees the query alone, whatever it is given."""

    def __init__(self, refiner: Refiner) -> None:
        super().__init__()
        self.refiner = refiner

    def forward(
        self,
        states: Tensor,
        token_mask: Tensor,
        query: Tensor,
        frames: Tensor,
        regions: Tensor,
        evidence_features: Tensor,
        evidence_mask: Tensor,
    ) -> Tensor:
        evidence = (frames, regions, evidence_features, 0 * evidence_mask)
        soft: Tensor = self.refiner(states, token_mask, query, *evidence)
        return soft


def _export(module: nn.Module, path: Path, role: str, example: list[tuple[Tensor, Free]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), quiet():
        # The exporter warns of its own internals: axes that share a name, what it does not fold.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(tensor for tensor, _ in example),
            str(path),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(GRAPH_INPUTS[role]),
            output_names=list(GRAPH_OUTPUTS[role]),
            dynamic_shapes=tuple(free for _, free in example),
            external_data=False,
            verbose=False,
        )
    # The exporter notes at each node its line of source, by its path on this machine: a checkpoint
    # must give the same file, and so the same bundle's id, on any.
    model = onnx.load(path)
    for node in model.graph.node:
        node.ClearField("metadata_props")
    onnx.save(model, path)
