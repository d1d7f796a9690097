"""A sentence gives its words and the stretches between them, in any language."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsr_edge.search.phrases import MOST_PHRASES, phrases


def test_words_and_stretches_of_two_and_three() -> None:
    assert phrases("a man ties a red boat to the jetty") == [
        *("man", "ties", "red", "boat", "jetty"),
        *("man ties", "ties a red", "red boat", "boat to the jetty"),
        *("man ties a red", "ties a red boat", "red boat to the jetty"),
    ]


def test_what_is_the_whole_sentence_is_no_phrase_of_it() -> None:
    assert phrases("red boat") == ["red", "boat"]


@pytest.mark.parametrize("sentence", ["boat", "the", "!!", ""])
def test_there_is_always_one(sentence: str) -> None:
    assert phrases(sentence) == [sentence]


def test_a_long_sentence_is_told_from_beginning_to_end() -> None:
    found = phrases(
        "two young women in summer dresses and large hats walk along the crowded beach while "
        "children play behind them with a yellow ball"
    )
    assert len(found) == MOST_PHRASES
    assert {"dresses", "children", "young women"} <= set(found)
    assert any("yellow" in phrase for phrase in found[6:])


@pytest.mark.parametrize(
    ("sentence", "among"),
    [
        ("ein Mann mit einem roten Boot", "roten Boot"),
        ("une femme et son chien dans la neige", "femme"),
        ("мужчина привязывает красную лодку", "красную лодку"),
        ("一个男人把红色的船系在码头上", "男人"),
        ("赤い車", "赤い"),
        ("ผู้ชายผูกเรือสีแดง", "ผู้ช"),
        ("naïve café's owner", "café's"),
        ("a well-lit room, at night", "well-lit room"),
    ],
)
def test_any_language_has_words(sentence: str, among: str) -> None:
    assert among in phrases(sentence)


@given(st.text(max_size=200), st.integers(2, 20))
def test_no_sentence_gives_more_than_is_wanted_or_one_twice(sentence: str, most: int) -> None:
    found = phrases(sentence, most)
    assert 1 <= len(found) <= most
    assert len(set(found)) == len(found)
