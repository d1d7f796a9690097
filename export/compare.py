"""Compare: the fp32 graphs and the tokenizer's file with what they were made of.

The graphs with PyTorch, to rounding; tokens and vectors with those of the source's own library,
where it has one.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import nn

from export.contract import ExportError, Source
from export.feeds import CALIBRATION_NAMES, image_feeds, sentences, text_feed
from vsr_edge.bundle.golden import golden_picture
from vsr_edge.bundle.manifest import IMAGE_ENCODER, TEXT_ENCODER
from vsr_edge.errors import ParityError
from vsr_edge.making.gate import Feeds, Graph, run_graph
from vsr_edge.runtime.session import open_session

# Largest difference of any number from PyTorch's, relative to the tensor's largest where that is
# above 1.
MAX_DIFFERENCE = 1e-4
# Between two libraries' arithmetic; what a wrong token, pixel or pooling does is far above.
REFERENCE_TOLERANCE = 1e-3
CHECKED_SENTENCES = (
    "a man puts a red box on the shelf",
    "Two DOGS, running; one isn't (quite) black-and-white!",
    "a café   in Zürich — 東京, 3.5 km away",
    "",
    "word " * 200,
)


def check_tokenizer(source: Source) -> None:
    """The runtime must give the tokens that the source's own tokenizer gives.

    Raises:
        ExportError: it does not; names the sentence.
    """
    if source.reference_ids is None:
        return
    texts = [*CHECKED_SENTENCES, *sentences(CALIBRATION_NAMES)]
    for text, ids in zip(texts, source.reference_ids(texts), strict=True):
        tokens = source.tokens([text])
        found = tokens.ids[0][: int(tokens.mask[0].sum())].tolist()
        if found != ids:
            raise ExportError(
                f"the tokenizer of {source.name} cannot be carried over: for {text[:60]!r} it "
                f"gives {ids[:12]}, its tokenizer.json {found[:12]}"
            )


def check_vectors(source: Source, fp32: dict[str, Path]) -> None:
    """The fp32 graphs must give what the source's own library gives, from sentence and picture on.

    Raises:
        ExportError: they do not.
    """
    if source.reference_vectors is None:
        return
    texts = [text for text in CHECKED_SENTENCES if text]
    pictures = np.stack([golden_picture(seed, source.side) for seed in (1, 2, 3)])
    feeds: dict[str, Feeds] = {
        TEXT_ENCODER: [text_feed(source, texts, np.zeros((len(texts), 0, source.hidden)))],
        IMAGE_ENCODER: image_feeds(source, pictures),
    }
    expected = source.reference_vectors(texts, pictures)
    for (role, feed), vectors in zip(feeds.items(), expected, strict=True):
        found, _ = run_graph(Graph(fp32[role], "fp32"), feed, "vector")
        difference = float(np.abs(found - vectors).max())
        if not difference <= REFERENCE_TOLERANCE:
            raise ExportError(
                f"the {role} of {source.name} cannot be carried over: its vectors differ by "
                f"{difference:.2g} from those that its own library computes"
            )


def compare_to_torch(name: str, module: nn.Module, graph: Path, feeds: Feeds) -> float:
    """The largest difference of any output from PyTorch's.

    Raises:
        ParityError: more than ``MAX_DIFFERENCE``.
    """
    session = open_session({"fp32": graph})
    largest = 0.0
    for feed in feeds:
        found = session.run(list(session.outputs), feed)
        with torch.no_grad():
            expected = module(*(torch.from_numpy(array) for array in feed.values()))
        for a, b in zip(found, expected, strict=True):
            scale = max(float(b.abs().max()), 1.0)
            difference = float(np.abs(a - b.numpy()).max()) / scale
            # Not a number is no small difference.
            largest = max(largest, difference) if math.isfinite(difference) else math.inf
    if largest > MAX_DIFFERENCE:
        raise ParityError(
            f"{name}: the fp32 graph differs from PyTorch by {largest:.2g}; at most "
            f"{MAX_DIFFERENCE:.0e} is rounding"
        )
    return largest
