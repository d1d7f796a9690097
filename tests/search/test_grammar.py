"""Sentences that are several, and those that look so and are one."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vsr_edge.search.grammar import Reading, read

MAN, DOG = "a man opens a door", "a dog runs out"


@pytest.mark.parametrize(
    ("sentence", "parts"),
    [
        ("a man opens a door, then a dog runs out", (MAN, DOG)),
        ("a man opens a door; then a dog runs out.", (MAN, DOG)),
        ("a man opens a door. Then a dog runs out", (MAN, DOG)),
        ("a man opens a door and then a dog runs out", (MAN, DOG)),
        ("a man opens a door, and after that, a dog runs out", (MAN, DOG)),
        ("a man opens a door then a dog runs out", (MAN, DOG)),
        ("a man opens a door before a dog runs out", (MAN, DOG)),
        ("a dog runs out after a man opens a door", (MAN, DOG)),
        ("After a man opens a door, a dog runs out", (MAN, DOG)),
        ("before a dog runs out, a man opens a door", (MAN, DOG)),
        ("a door, then a dog, then a cat", ("a door", "a dog", "a cat")),
        ("a man opens a door, then runs away", (MAN, "a man runs away")),
        ("an old man opens a door, then he runs", ("an old man opens a door", "an old man runs")),
        ('"now, then" on a sign, then a dog', ('"now, then" on a sign', "a dog")),
    ],
)
def test_what_follows_is_a_part_of_its_own(sentence: str, parts: tuple[str, ...]) -> None:
    assert read(sentence) == Reading(parts)


@pytest.mark.parametrize(
    ("sentence", "parts", "without"),
    [
        ("a street without a car", ("a street",), ("a car",)),
        ("a street without cars", ("a street",), ("cars",)),
        ("a street, but no cars", ("a street",), ("cars",)),
        ("a street but without any people", ("a street",), ("people",)),
        ("a man, but not a dog", ("a man",), ("a dog",)),
        ("a man opens a door, then a dog runs out, but no car", (MAN, DOG), ("car",)),
        ("a street without a car, but no dog.", ("a street",), ("a car", "dog")),
    ],
)
def test_what_must_not_be_seen_is_told_apart(
    sentence: str, parts: tuple[str, ...], without: tuple[str, ...]
) -> None:
    assert read(sentence) == Reading(parts, without)


@pytest.mark.parametrize(
    "sentence",
    [
        "a man walks before a car",
        "a woman stands before two tables",
        "a dog runs after a ball",
        "a dog runs after another dog who carries a ball",
        "a wet dog after swimming",
        "a man stretches before running",
        "the morning after the storm",
        "a boy without a shirt jumps into a pool",
        "a man without a shirt",
        "a man without his bicycle",
        "a man and a dog",
        "a child stands before a gate that has a star",
        "a man poses before the stand but does not look",
        "two men kick without making contact",
        "a man riding a bicycle without holding the bars",
        "people at the then famous tower",
        'a sign that says "first left, then right"',
        "a poster 'before a man runs, after a dog runs'",
        "a man's hat, not his dog's",
        "then",
        "without a car",
        ", then ",
        "a man, then",
        "",
    ],
)
def test_what_may_be_one_picture_stays_one(sentence: str) -> None:
    assert read(sentence) == Reading((sentence,))


WORDS = [
    *("a", "the", "man", "dog", "opens", "runs", "then", "before", "after", "without"),
    *("but", "no", "not", ",", ".", ";", '"', "'", "and", "car"),
]


@given(st.lists(st.sampled_from(WORDS), max_size=16).map(" ".join))
@example('" then "')
@example("a man opens, then then a dog runs")
def test_every_part_has_words_and_no_word_is_made_up(sentence: str) -> None:
    found = read(sentence)
    assert found.parts
    if found != Reading((sentence,)):
        assert all(one.strip(" ,;.") for one in (*found.parts, *found.without))
    said = set(sentence.lower().replace(",", " ").replace(";", " ").replace(".", " ").split())
    for one in (*found.parts, *found.without):
        words = one.lower().replace(",", " ").replace(";", " ").replace(".", " ").split()
        assert set(words) <= said


@given(st.text(max_size=60))
def test_any_text_is_read(text: str) -> None:
    assert read(text).parts


@given(st.text(alphabet='abc ,."', max_size=30))
def test_a_quotation_stays_whole(inside: str) -> None:
    quoted = '"' + inside.replace('"', "") + ', then a dog runs"'
    assert read(f"a sign {quoted}") == Reading((f"a sign {quoted}",))
