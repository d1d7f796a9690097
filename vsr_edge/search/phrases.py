"""The phrases of a sentence: its words, and what stands together of two or three of them.

A verifier that knows no encoder's inside cannot look at the states of tokens; it can ask the
encoder for each phrase as if that were the sentence. No grammar is needed for that, and none is
used, so that it holds for any language: words are what Unicode takes for such, and where a script
writes none apart, a few characters are one.
"""

from __future__ import annotations

import re
import unicodedata

# More would cost more than the sentence itself; five words give twelve.
MOST_PHRASES = 12
# Between two words stand spaces or signs, but for an apostrophe or a hyphen inside; marks over and
# under letters belong to them.
_RUN = re.compile(
    r"(?:[^\s!-/:-@\[-`{-~\u00a1-\u00bf\u2000-\u206f\u3000-\u303f\uff01-\uff0f]|(?<=\w)['’-](?=\w))+"
)
# Scripts that write no spaces between words, as Unicode's names of their characters begin, and how
# many characters make one.
_UNSPACED = {"CJK": 2, "HIRAGANA": 2, "KATAKANA": 2, "THAI": 4, "LAO": 4, "KHMER": 4, "MYANMAR": 4}
# What shows nothing by itself, in the languages that encoders read most; of others it costs a
# phrase that says little.
_FUNCTION_WORDS = """
a an and are as at be been being but by for from had has have he her his i in into is it its my
of on onto or our she so than that the their them then there these they this those to up was we
were what where which while who with you your
aan au aux avec bei con d'un d'une da dal dans das de dei del della dem den der des di die do
dos du e ein eine einem einen einer eines el em en es est et een hay het hij ihr il ist l'on la
las le les lo los mit na nella no o os ou ou par para pour por qui que se sein seine ses sind su
sur sus um uma un una und une van von voor y zij zu zum zur één à às è é
"""
_UNTELLING = frozenset(_FUNCTION_WORDS.split())


def phrases(sentence: str, most: int = MOST_PHRASES) -> list[str]:
    """At least one and at most ``most`` phrases, in the words of the sentence: single ones that may
    show something, and stretches from one such word to the next, and to the one after.

    Of a long sentence, half are its longest words, the rest stretches from all over it. A sentence
    without any word that counts is its own phrase.
    """
    words = _words(sentence)
    telling = [one for one in words if sentence[slice(*one)].casefold() not in _UNTELLING]
    telling = telling or words
    singles = _longest(telling, max(most // 2, most - 2 * len(telling) + 3))
    found: dict[str, None] = {}
    for level, spans in enumerate((singles, _runs(telling, 2), _runs(telling, 3))):
        room = most - len(found)
        for begin, end in spans if level == 0 else _spread(spans, room):
            phrase = " ".join(sentence[begin:end].split())
            if len(found) < most and phrase.casefold() != sentence.strip().casefold():
                found.setdefault(phrase)
    return list(found) or [sentence]


def _words(sentence: str) -> list[tuple[int, int]]:
    """Where the words begin and end."""
    found: list[tuple[int, int]] = []
    for match in _RUN.finditer(sentence):
        begin, end = match.span()
        while begin < end:
            length = _unspaced(sentence[begin])
            stop = begin + 1
            while stop < end and _unspaced(sentence[stop]) == length:
                stop += 1
            step = length or stop - begin
            found += ((at, min(at + step, stop)) for at in range(begin, stop, step))
            begin = stop
    return [span for span in found if any(map(str.isalnum, sentence[slice(*span)]))]


def _unspaced(character: str) -> int:
    """How many characters count as a word in the character's script; 0 where spaces say it."""
    if character.isascii():
        return 0
    name = unicodedata.name(character, "")
    return next((length for script, length in _UNSPACED.items() if name.startswith(script)), 0)


def _longest(words: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """The longest ones, in their order."""
    return sorted(sorted(words, key=lambda one: (one[0] - one[1], one[0]))[:most])


def _runs(words: list[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """From each word to the one so many further, with what stands between them."""
    return [(a[0], b[1]) for a, b in zip(words, words[length - 1 :], strict=False)]


def _spread(spans: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """So many at most, evenly from beginning to end."""
    if len(spans) <= most:
        return spans
    return [spans[(2 * n + 1) * len(spans) // (2 * most)] for n in range(most)]
