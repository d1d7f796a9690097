"""English words that captions use and the text side's tokenizer cuts into pieces.

A query with a word that is neither a piece of its own, nor here, nor made of such gets a notice
(:mod:`vsr_edge.runtime.words`).
"""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer

from models.data.batches import class_names
from models.minilm import minilm_folder

# A word that one caption uses once is often a slip of the pen.
_LEAST = 2


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, which may be packed."""
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8").splitlines()


def list_words(captions: Iterable[str]) -> list[str]:
    """Words of captions, and of ImageNet's class names, that are several pieces, in order."""
    tokenizer = Tokenizer.from_file(str(minilm_folder() / "tokenizer.json"))
    counts = Counter(word for caption in captions for word in set(_words(caption)))
    used = {word for word, count in counts.items() if count >= _LEAST}
    used |= {word for synonyms in class_names() for name in synonyms for word in _words(name)}
    return sorted(word for word in used if tokenizer.token_to_id(word) is None)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())
