"""Our own writing of the two towers computes what the originals compute."""

from __future__ import annotations

import pytest
import torch
from skimage import data

from models.data.batches import class_names, load_tokenizer, to_input, tokenize
from models.efficientnet_lite import EfficientNetLite, pretrained_efficientnet_lite
from models.encoder import as_cells, as_regions
from models.minilm import HIDDEN, MiniLM, masked_mean, minilm_folder, pretrained_minilm

SENTENCES = ["a dog", "two children in a red boat on a lake", "snow"]


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    return pretrained_minilm().eval()


@pytest.fixture(scope="module")
def tower() -> EfficientNetLite:
    return pretrained_efficientnet_lite().eval()


def no_soft_tokens(count: int) -> torch.Tensor:
    return torch.zeros(count, 0, HIDDEN)


@torch.no_grad()
def test_without_soft_tokens_minilm_equals_the_reference_implementation(minilm: MiniLM) -> None:
    transformers = pytest.importorskip("transformers", reason="the reference comes from [export]")
    reference = transformers.BertModel.from_pretrained(minilm_folder()).eval()
    ids, mask = tokenize(load_tokenizer(), SENTENCES)
    expected = reference(input_ids=ids, attention_mask=mask).last_hidden_state
    states, joint = minilm(ids, mask, no_soft_tokens(3))
    assert torch.equal(joint, mask)
    torch.testing.assert_close(states[mask == 1], expected[mask == 1], atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_soft_tokens_made_of_word_embeddings_equal_the_words(minilm: MiniLM) -> None:
    """The entrance lies before [SEP]: words given as soft tokens are as if they had been typed."""
    tokenizer = load_tokenizer()
    ids, mask = tokenize(tokenizer, ["a dog runs in the snow"])
    short, short_mask = tokenize(tokenizer, ["a dog runs"])
    words = minilm.words(ids[:, 4:-1])
    typed = masked_mean(*minilm(ids, mask, no_soft_tokens(1)))
    soft = masked_mean(*minilm(short, short_mask, words))
    torch.testing.assert_close(soft, typed, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_padding_changes_nothing_with_soft_tokens(minilm: MiniLM) -> None:
    ids, mask = tokenize(load_tokenizer(), SENTENCES)
    soft = torch.randn(3, 8, HIDDEN, generator=torch.Generator().manual_seed(0)) * 0.05
    together = masked_mean(*minilm(ids, mask, soft))
    for row, sentence in enumerate(SENTENCES):
        alone_ids, alone_mask = tokenize(load_tokenizer(), [sentence])
        alone = masked_mean(*minilm(alone_ids, alone_mask, soft[row : row + 1]))
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_folded_image_tower_knows_what_it_sees(tower: EfficientNetLite) -> None:
    names = class_names()
    for photo, expected in ((data.chelsea(), "cat"), (data.coffee(), "espresso")):
        maps = tower(to_input(photo[None], tower.image_size))
        best = tower.classifier(as_cells(maps).mean(1)).argmax(1).item()
        assert any(expected in name for name in names[best]), names[best]


@torch.no_grad()
def test_front_and_back_make_the_whole(tower: EfficientNetLite) -> None:
    images = to_input(data.astronaut()[None], tower.image_size)
    torch.testing.assert_close(tower.back(tower.front(images, 8), 8), tower(images))


def test_regions_are_the_thirds_of_the_map_row_by_row() -> None:
    maps = torch.arange(81.0).reshape(1, 1, 9, 9)
    regions = as_regions(maps)[0, :, :, 0]
    assert regions.shape == (9, 9)
    assert regions[0].tolist() == [0, 1, 2, 9, 10, 11, 18, 19, 20]
    assert regions[1].tolist() == [3, 4, 5, 12, 13, 14, 21, 22, 23]
    assert regions[8].tolist() == [60, 61, 62, 69, 70, 71, 78, 79, 80]
    assert sorted(regions.flatten().tolist()) == list(range(81))


def test_class_names_are_a_thousand_and_in_order() -> None:
    names = class_names()
    assert len(names) == 1000
    assert names[0][0] == "tench"
    assert names[285][0] == "Egyptian cat"
