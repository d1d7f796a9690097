"""Words of captions: those that refinements are explained by, and those that need no notice."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from tokenizers import Tokenizer

from models.data.batches import class_names
from models.data.benchmark import UNTELLING
from models.minilm import minilm_folder

WORD_COUNT, PHRASE_COUNT = 8, 16
_MORE_UNTELLING_TEXT = """
he she they him them her himself herself themselves who what where when has have had do does doing
can could will would not no very other others each both several many few all some any same own one
four five front behind along around against near beside between during inside outside above below
across toward towards like just also there then than
"""
NO_CONCEPTS = UNTELLING | frozenset(_MORE_UNTELLING_TEXT.split())
# A word that one caption uses once is often a slip of the pen.
_LEAST = 2


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, which may be packed."""
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8").splitlines()


def list_concepts(captions: Iterable[str]) -> list[str]:
    """Words and phrases by which a refined query is explained: content words of captions, and pairs
    of neighbouring ones, of which there are enough, most used first; then the best known names of
    the ImageNet classes.
    """
    counts: Counter[str] = Counter()
    for caption in captions:
        words = re.findall(r"[^\W\d_]+", caption.lower())
        telling = [word if len(word) > 2 and word not in NO_CONCEPTS else None for word in words]
        counts.update(word for word in telling if word)
        counts.update(f"{a} {b}" for a, b in pairwise(telling) if a and b)
    often = [
        concept
        for concept, count in counts.most_common()
        if count >= (PHRASE_COUNT if " " in concept else WORD_COUNT)
    ]
    return list(dict.fromkeys([*often, *(synonyms[0].lower() for synonyms in class_names())]))


def list_words(captions: Iterable[str]) -> list[str]:
    """English words, of captions and of ImageNet's class names, that the text side's tokenizer cuts
    into pieces, in order.

    A query with a word that is neither a piece of its own, nor here, nor made of such gets a notice
    (:mod:`vsr_edge.runtime.words`).
    """
    tokenizer = Tokenizer.from_file(str(minilm_folder() / "tokenizer.json"))
    counts = Counter(word for caption in captions for word in set(_words(caption)))
    used = {word for word, count in counts.items() if count >= _LEAST}
    used |= {word for synonyms in class_names() for name in synonyms for word in _words(name)}
    return sorted(word for word in used if tokenizer.token_to_id(word) is None)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())
