"""Words and phrases by which a refined query is explained: what captions say often, and classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from models.data.batches import class_names
from models.data.benchmark import UNTELLING

WORD_COUNT, PHRASE_COUNT = 8, 16
_MORE_UNTELLING_TEXT = """
he she they him them her himself herself themselves who what where when has have had do does doing
can could will would not no very other others each both several many few all some any same own one
four five front behind along around against near beside between during inside outside above below
across toward towards like just also there then than
"""
MORE_UNTELLING = frozenset(_MORE_UNTELLING_TEXT.split())


def list_concepts(captions: Iterable[str]) -> list[str]:
    """Content words of captions, and pairs of neighbouring ones, of which there are enough, most
    used first; then the best known names of the ImageNet classes.
    """
    names = [synonyms[0].lower() for synonyms in class_names()]
    return list(dict.fromkeys([*_often(captions), *names]))


def _often(captions: Iterable[str]) -> list[str]:
    counts: Counter[str] = Counter()
    for caption in captions:
        words = re.findall(r"[^\W\d_]+", caption.lower())
        telling = [word if _tells(word) else None for word in words]
        counts.update(word for word in telling if word)
        counts.update(f"{a} {b}" for a, b in _pairs(telling))
    return [
        concept
        for concept, count in counts.most_common()
        if count >= (PHRASE_COUNT if " " in concept else WORD_COUNT)
    ]


def _pairs(words: Sequence[str | None]) -> Iterable[tuple[str, str]]:
    return ((first, second) for first, second in pairwise(words) if first and second)


def _tells(word: str) -> bool:
    return len(word) > 2 and word not in UNTELLING and word not in MORE_UNTELLING
