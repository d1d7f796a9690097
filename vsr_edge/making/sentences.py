"""How sentences become rows of tokens for a published text graph: by its configuration, and by what
the graph takes and how it answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsr_edge.errors import NoDualEncoder
from vsr_edge.making.onnx_graph import load
from vsr_edge.making.published import Published
from vsr_edge.making.sides import SWAPPED, TEXT_OUTPUTS, PublishedGraph, Rows
from vsr_edge.making.text_graph import TextInputs, text_inputs
from vsr_edge.runtime.tokens import (
    LEAST_ROOM,
    TextInput,
    copy_tokenizer,
    set_up_tokenizer,
    tokenize,
)

# What sentences are cut to where neither graph nor tokenizer says it, by family.
_USUAL_LENGTHS = {"siglip": 64, "siglip2": 64, "chinese_clip": 52, "jina_clip": 512}
_USUAL_LENGTH = 77
# A tokenizer that says more than this says nothing.
_LONGEST = 100_000
# Below this cosine, a sentence that is padded is another sentence to the encoder.
_SAME = 0.98
# Of several words each, and of several lengths.
_SENTENCES = (
    "a man puts a red box on the shelf",
    "two dogs run across a field of snow in the morning",
    "an empty corridor of a hotel at night",
)


@dataclass(frozen=True)
class Reading:
    """A tokenizer's file and how it is used; at most ``limit`` tokens a sentence."""

    file: Path
    text: TextInput
    limit: int

    @cached_property
    def _tokenizer(self) -> Any:
        return set_up_tokenizer(self.file, self.limit, self.text)

    def tokens(self, texts: Sequence[str], soft: int = 0) -> Rows:
        """Ids and mask of sentences, with room left for soft tokens."""
        found = tokenize(self._tokenizer, texts, self.text, soft)
        return found.ids, found.mask

    @property
    def rows(self) -> Rows:
        """Of sentences to prove a graph by."""
        return self.tokens(_SENTENCES)

    @property
    def filler(self) -> int:
        """The id of an ordinary word."""
        return int(self.rows[0][0, 2])


def read_text(published: Published, graph: PublishedGraph, file: Path) -> Reading:
    """Find out how sentences are prepared; ``file`` is where the tokenizer is written.

    Raises:
        NoDualEncoder: the graph takes no sentence, or something else.
        BundleDamaged: there is no tokenizer in its file.
    """
    family, name = published.family, graph.path.name
    siglip = family.startswith("siglip")
    look_up = copy_tokenizer(published.tokenizer, file, small_letters=siglip)
    token = published.tokenizer_settings.get("pad_token")
    token = token.get("content") if isinstance(token, dict) else token
    number = look_up(token) if token else None
    if number is None:
        number = int(published.side_config("text").get("pad_token_id") or 0)
    output = graph.output(TEXT_OUTPUTS, siglip)
    whole = load(graph.path)
    whole.keep([output])
    inputs = text_inputs(whole)
    del whole
    if isinstance(inputs, str):
        raise NoDualEncoder(f"{name} cannot be used: {inputs}")

    def reading(limit: int, fill: bool) -> Reading:
        return Reading(file, TextInput(number, str(token or ""), limit, fill), limit)

    def vectors(how: Reading) -> NDArray[np.float32] | str:
        rows = [how.tokens([one]) for one in _SENTENCES]
        found = [graph.run(inputs.feeds(*one), output) for one in rows]
        if said := [one for one in found if isinstance(one, str)]:
            return said[0]
        return np.concatenate([np.asarray(one, np.float32) for one in found])

    full: NDArray[np.float32] | str = ""
    limit = 0
    for limit in _limits(published, inputs):
        full = vectors(reading(limit, True))
        if not isinstance(full, str):
            break
    if isinstance(full, str):
        raise NoDualEncoder(full)
    short = vectors(reading(limit, False))
    fill = isinstance(short, str) or bool((_cosines(short, full) < _SAME).any())
    graph.close()
    found = reading(limit, fill)
    if (least := int(found.rows[1].sum(1).min())) < LEAST_ROOM + SWAPPED:
        raise NoDualEncoder(
            f"the tokenizer of {published.files.origin} makes {least} tokens of a sentence of "
            f"{len(_SENTENCES[0].split())} words: is it this encoder's?"
        )
    return found


def _limits(published: Published, inputs: TextInputs) -> list[int]:
    """So many tokens a sentence may have, the likeliest number first."""
    if inputs.length is not None:
        return [inputs.length]
    config = published.side_config("text")
    said = [
        published.tokenizer_settings.get("model_max_length"),
        config.get("max_position_embeddings"),
        config.get("context_length"),
        _USUAL_LENGTHS.get(published.family, _USUAL_LENGTH),
    ]
    likely = min(int(one) for one in said if one and one < _LONGEST)
    return [likely, *(one for one in (77, 64, 52, 32) if one < likely)]


def _cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.asarray((a * b).sum(-1) / lengths)
