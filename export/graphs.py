"""PyTorch → fp32 ONNX: the graphs of a dual encoder, named as the runtime's contract says."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from export.quantize import quiet
from models.encoder import DIMENSIONS, REGION_SIDE
from models.grounding import GroundingHead
from models.minilm import HIDDEN
from models.refiner import Refiner
from vsr_edge.bundle.manifest import (
    GRAPH_INPUTS,
    GRAPH_OUTPUTS,
    GROUNDING,
    IMAGE_ENCODER,
    REFINER,
    TEXT_ENCODER,
)

OPSET = 18


def export_image_encoder(module: nn.Module, path: Path, side: int) -> None:
    """Write an image side: ``pixels`` [n, 3, S, S] → ``vector`` [n, D], ``regions`` [n, 9, D]."""
    (pixels,) = inspect.signature(module.forward).parameters
    _export(
        module.to(memory_format=torch.contiguous_format),
        (torch.zeros(2, 3, side, side),),
        path,
        IMAGE_ENCODER,
        {pixels: {0: "batch"}},
    )


def export_text_encoder(module: nn.Module, path: Path, example: tuple[Tensor, ...]) -> None:
    """Write a text side, its soft token entrance open: N is free and may be 0.

    ``example``: ids and mask [B, L], soft tokens [B, N, H], each axis longer than 1.
    """
    _export(
        module,
        example,
        path,
        TEXT_ENCODER,
        {
            "input_ids": {0: "batch", 1: "length"},
            "attention_mask": {0: "batch", 1: "length"},
            "soft_tokens": {0: "batch", 1: "soft"},
        },
    )


def export_grounding(head: GroundingHead, path: Path) -> None:
    """Write the verifier and grounder: any number of pairs, words and frames."""
    pairs, frames = {0: "pairs"}, {0: "pairs", 1: "frames"}
    words = {0: "pairs", 1: "words"}
    _export(
        head,
        (
            torch.zeros(2, 5, HIDDEN),
            torch.ones(2, 5),
            torch.zeros(2, DIMENSIONS),
            torch.zeros(2, 7, DIMENSIONS),
            torch.zeros(2, 7, REGION_SIDE**2, DIMENSIONS),
            torch.ones(2, 7),
        ),
        path,
        GROUNDING,
        {
            "states": words,
            "token_mask": words,
            "query": pairs,
            "frames": frames,
            "regions": frames,
            "frame_mask": frames,
        },
    )


def export_refiner(refiner: Refiner, path: Path) -> None:
    """Write the refiner, its soft tokens unrolled: any number of queries, words and evidence."""
    words, evidence = {0: "queries", 1: "words"}, {0: "queries", 1: "evidence"}
    _export(
        refiner,
        (
            torch.zeros(2, 5, HIDDEN),
            torch.ones(2, 5),
            torch.zeros(2, DIMENSIONS),
            torch.zeros(2, 3, DIMENSIONS),
            torch.zeros(2, 3, REGION_SIDE**2, DIMENSIONS),
            torch.zeros(2, 3, 2),
            torch.ones(2, 3),
        ),
        path,
        REFINER,
        {
            "states": words,
            "token_mask": words,
            "query": {0: "queries"},
            "frames": evidence,
            "regions": evidence,
            "about": evidence,
            "evidence_mask": evidence,
        },
    )


def _export(
    module: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    role: str,
    dynamic: dict[str, dict[int, str]],
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), quiet():
        # The exporter warns of its own internals: axes that share a name, what it does not fold.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            example,
            str(path),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(GRAPH_INPUTS[role]),
            output_names=list(GRAPH_OUTPUTS[role]),
            dynamic_shapes=dynamic,
            external_data=False,
            verbose=False,
        )
