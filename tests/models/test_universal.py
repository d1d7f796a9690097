from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import Tensor

from models.train_universal import questions, save_head
from models.universal import UniversalHead, load_head
from models.universal_encoders import (
    BUILT_IN,
    BUILT_IN_RECIPE,
    Towers,
    make_all,
    recall,
    recipe_of,
    seen_by,
)
from models.universal_measure import answers, auc, interval, measured
from models.universal_texts import with_phrases
from models.universal_worlds import INPUTS, ask, judge
from vsr_edge.runtime.evidence import Space, evidence
from vsr_edge.runtime.heads import Footage
from vsr_edge.search.phrases import phrases

NAME = "lite0-words-sigmoid"
NOUNS = [f"{a}{b}" for a in ("bar", "cor", "dil", "fen", "gum") for b in ("ka", "lo", "mi", "nu")]
WIDE = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Towers that see of a picture, and read of a text, which of twenty things are named."""
    out, random = tmp_path_factory.mktemp("towers"), np.random.default_rng(0)
    things = random.normal(size=(len(NOUNS), WIDE)).astype(np.float32)
    turned = np.linalg.qr(random.normal(size=(WIDE, WIDE)))[0].astype(np.float32)
    texts: dict[str, list[str]] = {}
    for part, count in (("encoders", 120), ("heads", 60), ("val", 60)):
        named = [random.permutation(len(NOUNS))[:3] for _ in range(count)]
        captions = [[" ".join(NOUNS[i] for i in some)] for some in named]
        whole = np.stack([things[some].mean(0) for some in named] + [np.zeros(WIDE, np.float32)])
        whole = whole[:, None] + 0.1 * random.normal(size=(count + 1, 2, WIDE))
        regions = np.stack([np.resize(things[some], (9, WIDE)) for some in [*named, named[0]]])
        arrays = {"whole": whole.astype(np.float16)}
        if part != "encoders":
            arrays["regions"] = np.repeat(regions[:, None], 2, 1).astype(np.float16)
        (out / "lite0").mkdir(exist_ok=True)
        save_file(arrays, out / "lite0" / f"{part}.safetensors", {"captions": json.dumps(captions)})
        asked = "common" if part == "encoders" else part
        texts[asked] = with_phrases(captions)
    texts["common"] = [t for t in texts["common"] if t not in NOUNS] + NOUNS + NOUNS
    for name in ("texts", "words"):
        (out / name).mkdir()
    for part, some in texts.items():
        (out / "texts" / f"{part}.json").write_text(json.dumps(some))
        read = [things[[NOUNS.index(word) for word in text.split()]].mean(0) for text in some]
        save_file(
            {"vectors": (np.stack(read) @ turned).astype(np.float16)},
            out / "words" / f"{part}.safetensors",
        )
    _with_an_encoder_of_its_own(out, things, texts)
    return out


def _with_an_encoder_of_its_own(
    out: Path, things: NDArray[np.float32], texts: dict[str, list[str]]
) -> None:
    """Towers of one space, of unit vectors, that see val photos alone."""
    with safe_open(out / "lite0" / "val.safetensors", "np") as file:
        seen = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
        about = file.metadata()
    for folder in (BUILT_IN_RECIPE.picture, BUILT_IN_RECIPE.text):
        (out / folder).mkdir()
    units = {name: _units(one).astype(np.float16) for name, one in seen.items()}
    save_file(units, out / BUILT_IN_RECIPE.picture / "val.safetensors", about)
    for part in ("val", "common"):
        read = [things[[NOUNS.index(word) for word in t.split()]].mean(0) for t in texts[part]]
        rows = {"vectors": _units(np.stack(read)).astype(np.float16)}
        save_file(rows, out / BUILT_IN_RECIPE.text / f"{part}.safetensors")


def _units(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.maximum(length, 1e-6), np.float32)


def test_a_small_encoder_finds_photos_that_it_was_not_trained_on(folder: Path) -> None:
    towers = Towers(folder)
    recipe, encoder = make_all(towers, [NAME], folder / "encoders")[NAME]
    found = recall(seen_by(recipe, encoder, towers, "val", 16))
    assert found > 30  # by chance 2


def test_towers_stand_side_by_side(folder: Path) -> None:
    towers = Towers(folder)
    one, two = towers.pictures("lite0", "val"), towers.pictures("lite0+lite0", "val")
    np.testing.assert_array_equal(two["regions"], np.tile(one["regions"], 2))
    assert towers.texts("words+words", "val").shape[1] == 2 * WIDE
    assert towers.captions("lite0+lite0", "val") == towers.captions("lite0", "val")


@pytest.mark.parametrize(
    ("name", "families"),
    [
        ("lite0-minilm-wide", {"lite", "minilm"}),
        ("all-both", {"lite", "squeezenet", "minilm", "bge"}),
        (BUILT_IN, {"lite", "minilm"}),
    ],
)
def test_an_encoder_is_of_all_families_that_it_stands_on(name: str, families: set[str]) -> None:
    assert recipe_of(name).families == families


def test_an_encoder_of_the_package_is_taken_as_it_is(folder: Path) -> None:
    towers = Towers(folder)
    recipe, encoder = make_all(towers, [BUILT_IN], folder / "encoders")[BUILT_IN]
    seen = seen_by(recipe, encoder, towers, "val", 16)
    whole = towers.pictures(recipe.picture, "val")["whole"]
    np.testing.assert_array_equal(seen.views.vectors[:, :2], whole)
    assert recall(seen) > 60


def test_kept_questions_hold_what_the_runtime_says_of_the_same_candidates(folder: Path) -> None:
    towers = Towers(folder)
    recipe, encoder = make_all(towers, [NAME], folder / "encoders")[NAME]
    seen = seen_by(recipe, encoder, towers, "val", 16)
    asked = ask(seen, 40, 12, np.random.default_rng(0))
    found = judge(seen, asked, "frame", 12, np.random.default_rng(1))
    assert found.present.sum() == 10
    assert not found.shown[~found.present].any()
    text = asked.there[np.random.default_rng(1).permutation(len(asked.there))[0]][1]
    place = found.inputs["frame_mask"][0].astype(bool)
    first = found.first[0]
    count = place.shape[1]
    rows = first[:, None] + np.where(place, np.arange(count), 0)
    keep = place.astype(np.float32)
    shown = Footage(
        asked.world.vectors[rows].numpy() * keep[..., None],
        asked.world.regions[rows].float().numpy() * keep[..., None, None],
        keep,
    )
    texts = seen.texts[[seen.number[one] for one in (text, *phrases(text))]]
    space = Space(asked.space.footage, asked.space.bank)
    scores = np.where(place, shown.frames @ texts[0], -np.inf).max(1).astype(np.float32)
    wanted = evidence(texts, space.usual(texts), space, shown, scores)
    for name in INPUTS:
        mine = found.inputs[name][0].astype(np.float32)
        if name == "phrases":
            mine = mine[:, : len(texts) - 1]
        if name == "phrase_mask":
            assert mine.sum(1).tolist() == [len(texts) - 1] * len(mine)
            continue
        # What is counted may fall the other way where two frames are all but alike.
        np.testing.assert_allclose(mine, wanted[name], atol=0.1, rtol=2e-3)


def test_training_writes_a_head_that_verifies(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "models.train_universal", "--towers", str(folder)]
    command += ["--encoders", NAME, BUILT_IN, "--out", str(tmp_path), "--steps", "30"]
    command += ["--members", "2", "--batch", "32", "--threads", "1", "--small"]
    subprocess.run(command, check=True, capture_output=True)
    head = load_head(tmp_path / "head.safetensors")
    assert len(head.members) == 2
    some = questions(folder, [NAME], "val", small=True)[0]
    rows = measured(some, [head])
    assert [row["units"] for row in rows] == ["clips", "videos"]
    right = answers(head, some)["video"]
    assert right.shape == some.video.shape


@pytest.fixture
def given() -> dict[str, Tensor]:
    torch.manual_seed(0)
    b, p, f = 2, 3, 5
    return {
        "sentence": torch.randn(b, f, 14),
        "phrases": torch.randn(b, p, f, 11),
        "phrase_mask": torch.ones(b, p),
        "neighbours": torch.randn(b, f, 4),
        "frame_mask": torch.ones(b, f),
        "candidate": torch.randn(b, 4),
    }


def _drawn(head: UniversalHead) -> UniversalHead:
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return head.eval()


def test_what_lies_behind_the_mask_changes_nothing(given: dict[str, Tensor]) -> None:
    head = _drawn(UniversalHead(2))
    wide = {
        "sentence": torch.cat([given["sentence"], torch.zeros(2, 2, 14)], 1),
        "phrases": torch.nn.functional.pad(given["phrases"], (0, 0, 0, 2, 0, 1)),
        "phrase_mask": torch.nn.functional.pad(given["phrase_mask"], (0, 1)),
        "neighbours": torch.nn.functional.pad(given["neighbours"], (0, 0, 0, 2)),
        "frame_mask": torch.nn.functional.pad(given["frame_mask"], (0, 2)),
        "candidate": given["candidate"],
    }
    for mine, other in zip(head(**given), head(**wide), strict=True):
        torch.testing.assert_close(other[:, :5] if mine.dim() > 1 else other, mine)


def test_a_head_says_the_mean_of_its_members_and_adds_the_score(
    given: dict[str, Tensor], tmp_path: Path
) -> None:
    head = _drawn(UniversalHead(3))
    head.score_weight.fill_(2.0)
    save_head(tmp_path / "head.safetensors", head)
    match, start, *_ = load_head(tmp_path / "head.safetensors")(**given)
    each = [member(**given) for member in head.members]
    score = 2 * given["candidate"][:, 0]
    torch.testing.assert_close(match, sum(one[0] for one in each) / 3 + score)
    torch.testing.assert_close(start, sum(one[1] for one in each) / 3)


def test_area_under_the_curve_counts_ties_as_half() -> None:
    assert auc(np.array([1.0, 2.0]), np.array([1.0, 0.0])) == pytest.approx(0.875)


def test_an_interval_holds_the_mean_and_knows_what_belongs_together() -> None:
    values = np.random.default_rng(0).normal(0.3, 1, 400)
    low, high = interval(values, np.arange(400))
    assert low < values.mean() < high
    assert high - low == pytest.approx(4 / 20, rel=0.15)
    # Every value four times tells no more than once.
    again = interval(np.tile(values, 4), np.tile(np.arange(400), 4))
    assert again == pytest.approx((low, high))
