"""Words as SQLite's ``porter unicode61`` has them, so that both stores find the same.

M. F. Porter, "An algorithm for suffix stripping", Program 14(3), 1980. PostgreSQL's own parser
takes hyphens, addresses and numbers apart in another way, and its English leaves words out.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# PostgreSQL keeps no longer lexemes.
_LONGEST = 500
_STEMMED = range(3, 64)
_STEP_2 = (
    *(("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance"), ("izer", "ize")),
    *(("logi", "log"), ("bli", "ble"), ("alli", "al"), ("entli", "ent"), ("eli", "e")),
    *(("ousli", "ous"), ("ization", "ize"), ("ation", "ate"), ("ator", "ate"), ("alism", "al")),
    *(("iveness", "ive"), ("fulness", "ful"), ("ousness", "ous"), ("aliti", "al")),
    *(("iviti", "ive"), ("biliti", "ble")),
)
_STEP_3 = (
    *(("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic")),
    *(("ful", ""), ("ness", "")),
)
_STEP_4 = (
    *("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion"),
    *("ou", "ism", "ate", "iti", "ous", "ive", "ize"),
)


def words_of(text: str) -> list[tuple[int, int, str]]:
    """The words of a text: where each begins and ends, and its stem."""
    found = []
    start, letters = 0, ""
    for place, char in enumerate(f"{text} "):
        category = unicodedata.category(char)
        if category[0] in "LN" or category == "Co" or (letters and category == "Mn"):
            start = start if letters else place
            letters += _folded(char)
        elif letters:
            found.append((start, place, stem(letters[:_LONGEST])))
            letters = ""
    return found


@lru_cache(4096)
def _folded(char: str) -> str:
    """In small letters, without diacritics."""
    plain = unicodedata.normalize("NFD", char.lower())
    return "".join(c for c in plain if unicodedata.category(c) != "Mn")


@lru_cache(65_536)
def stem(word: str) -> str:
    """The stem of a word in small letters."""
    if len(word.encode("utf-8")) not in _STEMMED:
        return word
    word = _plural_and_past(word)
    if word.endswith("y") and _has_vowel(word[:-1]):
        word = word[:-1] + "i"
    for endings in (_STEP_2, _STEP_3):
        for ending, other in sorted(endings, key=lambda pair: -len(pair[0])):
            if word.endswith(ending):
                root = word.removesuffix(ending)
                word = root + other if _measure(root) > 0 else word
                break
    for ending in sorted(_STEP_4, key=len, reverse=True):
        if word.endswith(ending):
            root = word.removesuffix(ending)
            if _measure(root) > 1 and (ending != "ion" or root[-1:] in ("s", "t")):
                word = root
            break
    if word.endswith("e"):
        root = word[:-1]
        if _measure(root) > 1 or (_measure(root) == 1 and not _short(root)):
            word = root
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word


def _plural_and_past(word: str) -> str:
    if word.endswith(("sses", "ies")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    for ending in ("ed", "ing"):
        root = word.removesuffix(ending)
        if root != word and _has_vowel(root):
            if root.endswith(("at", "bl", "iz")):
                return root + "e"
            if re.search(r"([^aeiou])\1$", root) and root[-1] not in "lsz" and _consonant(root, -1):
                return root[:-1]
            return root + "e" if _measure(root) == 1 and _short(root) else root
    return word


def _consonant(word: str, place: int) -> bool:
    place %= len(word)
    if word[place] == "y":
        return place == 0 or not _consonant(word, place - 1)
    return word[place] not in "aeiou"


def _kinds(word: str) -> str:
    return "".join("c" if _consonant(word, place) else "v" for place in range(len(word)))


def _measure(root: str) -> int:
    """How often a consonant follows a vowel: Porter's m."""
    return _kinds(root).count("vc")


def _has_vowel(root: str) -> bool:
    return "v" in _kinds(root)


def _short(root: str) -> bool:
    """Whether it ends consonant, vowel, consonant, the last none of w, x and y."""
    return _kinds(root).endswith("cvc") and root[-1] not in "wxy"
