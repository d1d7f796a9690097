"""Rows of tokens: cut to what the encoder can take, padded as it wants, soft tokens never cut."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from vsr_edge.errors import BundleDamaged, UsageError
from vsr_edge.runtime.tokens import TextInput, set_up_tokenizer, tokenize

PAD, BEGIN, END, WORD = 0, 1, 2, 3
POSITIONS = 16


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    vocabulary = {"[PAD]": PAD, "[B]": BEGIN, "[E]": END, "word": WORD}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="word"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[B] $A [E]", special_tokens=[("[B]", BEGIN), ("[E]", END)]
    )
    path = tmp_path_factory.mktemp("tokens") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=4),
    st.sampled_from([0, 1, 8]),
    st.booleans(),
)
def test_every_row_has_its_marks_and_room_for_soft_tokens(
    file: Path, words: list[int], soft: int, fill: bool
) -> None:
    text = TextInput(PAD, "[PAD]", POSITIONS, fill)
    tokenizer = set_up_tokenizer(file, POSITIONS, text)
    tokens = tokenize(tokenizer, ["word " * count for count in words], text, soft)
    room = POSITIONS - soft
    longest = min(max(words) + 2, room)
    assert tokens.ids.shape == tokens.mask.shape == (len(words), room if fill else longest)
    for ids, mask, count in zip(tokens.ids.tolist(), tokens.mask.tolist(), words, strict=True):
        length = min(count + 2, room)
        assert ids[:length] == [BEGIN, *[WORD] * (length - 2), END]
        assert set(ids[length:]) <= {PAD}
        assert mask == [1] * length + [0] * (len(ids) - length)


def test_without_a_limit_only_the_tokenizer_cuts(file: Path) -> None:
    text = TextInput(PAD, "[PAD]", None, fill=False)
    tokenizer = set_up_tokenizer(file, 10, text)
    assert tokenize(tokenizer, ["word " * 40], text, 100).ids.shape == (1, 10)


def test_more_soft_tokens_than_there_is_room_for_are_refused(file: Path) -> None:
    text = TextInput(PAD, "[PAD]", POSITIONS, fill=True)
    tokenizer = set_up_tokenizer(file, POSITIONS, text)
    assert tokenize(tokenizer, ["word"], text, POSITIONS - 3).ids.tolist() == [[BEGIN, WORD, END]]
    with pytest.raises(UsageError, match="14 soft tokens leave no room"):
        tokenize(tokenizer, ["word"], text, POSITIONS - 2)


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(BundleDamaged, match=r"tokenizer\.json is not a tokenizer"):
        set_up_tokenizer(tmp_path / "tokenizer.json", 8, TextInput(0, "", None, fill=False))
