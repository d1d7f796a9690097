"""What of a query an encoder cannot read: words it does not know, and what is beyond its length.

A tokenizer that builds words of pieces takes any word, known or not: "coche" becomes co ##che. An
encoder of English knows a word that is one piece (they are the words that were frequent where it
learned to read), one that captions used (``english.txt`` lists those that are several pieces), and
what is regularly made of such: plurals, other endings, two words written as one. Of encoders of
other or unknown languages only that is told which the tokenizer itself calls unknown.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import cache
from importlib import resources
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

ENGLISH = "en"
WORDS_FILE = "english.txt"

# Frequent in other languages, in no English caption, and each a piece of its own.
_FOREIGN_TEXT = """
auf avec dans das della der des ein eine einen einer gli het nel och og por som sul sur um uma una
und une
"""
_FOREIGN = frozenset(_FOREIGN_TEXT.split())
# What may be taken off the end of a word, and what then belongs there.
_ENDINGS = (
    *(("s", ""), ("es", ""), ("ies", "y"), ("ing", ""), ("ing", "e"), ("ed", ""), ("ed", "e")),
    *(("er", ""), ("er", "e"), ("ers", ""), ("est", ""), ("y", ""), ("ly", ""), ("ness", "")),
    *(("less", ""), ("ful", ""), ("like", "")),
)
_SHORTEST_STEM, _LONGEST_WORD, _ABBREVIATED = 3, 40, 5


class Reading(NamedTuple):
    """``unknown``: words as they were written, each once. ``cut``: what the encoder never sees."""

    unknown: tuple[str, ...]
    cut: str


def read(tokenizer: Tokenizer, text: str, room: int, language: str | None) -> Reading:
    """How an encoder with room for ``room`` tokens, marks included, reads a sentence.

    ``language`` as in a bundle's provenance; None where it is not known.
    """
    encoding = tokenizer.encode(text)
    marks = zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
    ends = [end for (_, end), mark in marks if not mark]
    length = sum(encoding.attention_mask)  # less any padding
    left_out = bool(encoding.overflowing) or length > room
    seen = max(ends[: room - (length - len(ends))], default=0) if left_out else len(text)
    unknown = list(_unknown_tokens(tokenizer, encoding, text))
    if language == ENGLISH:
        # Runs of letters with their marks.
        runs = groupby(text[:seen], lambda c: unicodedata.category(c)[0] in "LM")
        words = ["".join(run) for is_word, run in runs if is_word]
        if not text.isupper():  # else, what is written so is an abbreviation
            words = [word for word in words if not (word.isupper() and len(word) <= _ABBREVIATED)]
        unknown += [word for word in words if not _is_english(tokenizer, word)]
    whole = [word for word in unknown if not any(word != o and word in o for o in unknown)]
    return Reading(tuple(dict.fromkeys(whole)), text[seen:].strip() if left_out else "")


def _unknown_tokens(tokenizer: Tokenizer, encoding: Encoding, text: str) -> Iterator[str]:
    """What the tokenizer replaces by its mark for the unknown; byte tokenizers have none."""
    mark = getattr(tokenizer.model, "unk_token", None)
    number = None if mark is None else tokenizer.token_to_id(mark)
    for token, (start, end), special in zip(
        encoding.ids, encoding.offsets, encoding.special_tokens_mask, strict=True
    ):
        if token == number and not special and start < end:
            yield text[start:end]


def _is_english(tokenizer: Tokenizer, word: str) -> bool:
    # In small letters and without accents, as the tokenizer reads it.
    apart = unicodedata.normalize("NFD", word.lower())
    plain = "".join(c for c in apart if unicodedata.category(c) != "Mn")
    if plain in _FOREIGN or len(plain) > _LONGEST_WORD or not plain.isascii():
        return False

    def known(one: str) -> bool:
        return tokenizer.token_to_id(one) is not None or one in _listed()

    if not word.isascii():  # English takes over a few such words, and makes no new ones of them
        return known(plain)
    return any(map(known, _forms(plain))) or any(
        known(plain[:place]) and any(map(known, _forms(plain[place:])))
        for place in range(_SHORTEST_STEM, len(plain) - _SHORTEST_STEM + 1)
    )


def _forms(word: str) -> Iterator[str]:
    """The word, and what it may be a form of: kites → kite, running → run."""
    yield word
    for ending, instead in _ENDINGS:
        stem = word.removesuffix(ending) + instead
        if word.endswith(ending) and len(stem) >= _SHORTEST_STEM:
            yield stem
            if stem[-1] == stem[-2]:
                yield stem[:-1]


@cache
def _listed() -> frozenset[str]:
    text = (resources.files("vsr_edge.runtime") / WORDS_FILE).read_text("utf-8")
    return frozenset(text.split())
