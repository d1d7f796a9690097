"""Sentences → rows of tokens, with room left for soft tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vsr_edge.errors import BundleDamaged, UsageError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


# The marks of beginning and end, and a word.
LEAST_ROOM = 3


@dataclass(frozen=True, slots=True)
class TextInput:
    """How sentences become rows of tokens.

    ``positions``: what words and soft tokens together may take, None for no limit. ``fill``: rows
    are padded until they take all of it, as encoders want that pool the last position.
    """

    pad_id: int
    pad_token: str
    positions: int | None
    fill: bool


DEFAULT_TEXT = TextInput(pad_id=0, pad_token="[PAD]", positions=None, fill=False)


class Tokens(NamedTuple):
    """n rows: ``ids`` int64 [n, L], ``mask`` int64 [n, L], 1 for what is no padding."""

    ids: NDArray[np.int64]
    mask: NDArray[np.int64]


def set_up_tokenizer(path: Path, max_tokens: int, text: TextInput) -> Tokenizer:
    """A tokenizer's file, set to cut and to pad as its encoder wants.

    Raises:
        BundleDamaged: the file is no tokenizer.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise BundleDamaged(f"{path} is not a tokenizer: {error}") from error
    tokenizer.enable_truncation(max_tokens)
    tokenizer.enable_padding(pad_id=text.pad_id, pad_token=text.pad_token)
    return tokenizer


def copy_tokenizer(path: Path, target: Path, *, small_letters: bool) -> Callable[[str], int | None]:
    """Copy a tokenizer's file, with ``small_letters`` as one that reads capitals as these; gives
    what looks up the id of a token.

    Raises:
        BundleDamaged: the file is no tokenizer.
    """
    from tokenizers import Tokenizer, normalizers

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise BundleDamaged(f"{path} is not a tokenizer: {error}") from error
    if small_letters and tokenizer.encode("A Red CAR").ids != tokenizer.encode("a red car").ids:
        steps = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *steps])
    tokenizer.no_padding()
    tokenizer.no_truncation()
    target.write_text(tokenizer.to_str(), "utf-8")
    look_up: Callable[[str], int | None] = tokenizer.token_to_id
    return look_up


def tokenize(tokenizer: Tokenizer, texts: Sequence[str], text: TextInput, soft: int) -> Tokens:
    """Rows that leave room for ``soft`` tokens each: what is too long loses words, not its end.

    Raises:
        UsageError: so many soft tokens that no word has room.
    """
    encodings = tokenizer.encode_batch(list(texts))
    ids = np.array([e.ids for e in encodings], np.int64).reshape(len(encodings), -1)
    mask = np.array([e.attention_mask for e in encodings], np.int64).reshape(ids.shape)
    if text.positions is None:
        return Tokens(ids, mask)
    room = text.positions - soft
    if room < LEAST_ROOM:
        raise UsageError(f"{soft} soft tokens leave no room for a word in {text.positions}")
    if ids.shape[1] > room:
        lengths = mask.sum(1)
        cut = np.flatnonzero(lengths > room)
        ids[cut, room - 1] = ids[cut, lengths[cut] - 1]  # the mark of the end
        ids, mask = ids[:, :room], mask[:, :room]
    elif text.fill:
        padding = ((0, 0), (0, room - ids.shape[1]))
        ids = np.pad(ids, padding, constant_values=text.pad_id)
        mask = np.pad(mask, padding)
    return Tokens(ids, mask)
