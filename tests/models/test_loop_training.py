"""Both stages of the loop's training run from photos to a checkpoint; worlds are what they say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.checkpoint import load_heads
from models.data.worlds import GRANULARITIES
from models.episodes import Asked, Corpus, best_span
from models.guide import Guide, learn_guide
from models.losses import (
    balanced_verification_loss,
    listwise_loss,
    refined_query_loss,
    relevance_loss,
    span_loss,
)
from tests.models.captioned import PHOTOS, write_photos
from vsr_edge.bundle.manifest import REACH

PROJECT = Path(__file__).parents[2]
ENCODER = PROJECT / "models" / "checkpoints" / "encoder.safetensors"


def run(module: str, *arguments: object) -> None:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(
        command, check=False, timeout=280, cwd=PROJECT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("features")
    write_photos(folder, side=224)
    out = folder / "photos.safetensors"
    run(
        *("models.extract_features", "--data", folder, "--bundle", "lite"),
        *("--split", "test", "--views", 2, "--out", out),
    )
    return out


@pytest.fixture(scope="module")
def corpus(features: Path) -> Corpus:
    return Corpus.load(features, ENCODER)


def last_row(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "log.jsonl").read_text().splitlines()[-1]))


def test_both_stages_train_and_log_what_they_should(features: Path, tmp_path: Path) -> None:
    data = ("--features", features, "--val", features, "--encoder", ENCODER)
    quick = ("--val-worlds", 1, "--threads", 1)
    small = (
        *quick,
        "--absent-photos",
        2,
        "--world-photos",
        6,
        "--steps-per-world",
        2,
        "--candidates",
        2,
    )
    run(
        *("models.train_sft", *data, *small, "--out", tmp_path / "sft", "--guide-steps", 4),
        *("--rest-steps", 2, "--ground-steps", 4, "--ground-batch", 6),
        *("--refine-steps", 4, "--refine-batch", 6, "--evidence", 2),
    )
    logged = last_row(tmp_path / "sft")
    assert logged["stage"] == "done"
    assert {"frame", "video"} == set(logged["val"])  # type: ignore[call-overload]
    assert {"one-shot VR", "verified VR", "loop VR"} < set(logged["val"]["frame"])  # type: ignore[index]
    start = tmp_path / "sft" / "loop.safetensors"
    run(
        *("models.train_grpo", *data, *small, "--start", start, "--out", tmp_path / "grpo"),
        *("--steps", 5, "--batch", 6, "--evidence", 2, "--group", 4, "--lr", 1e-3),
        *("--refiner-lr", 1e-3, "--calibration-steps", 2),
    )
    rows = (tmp_path / "grpo" / "log.jsonl").read_text().splitlines()
    assert json.loads(rows[1])["stage"] == "calibrated"
    step = json.loads(rows[2])
    terms = {"verification", "grounding", "presence", "quality"}
    assert {f"reward {term}" for term in terms} <= set(step)
    assert {"reward", "kl", "clip fraction", "entropy"} <= set(step)
    before, refiner = load_heads(start)
    after, refined = load_heads(tmp_path / "grpo" / "loop.safetensors")
    assert refiner is not None
    assert refined is not None
    # So barely trained a verifier rejects nothing yet: the refiner may have had nothing to learn.
    assert changed(before, after)
    for one, other in ((before, after), (refiner, refined)):
        assert not [name for name in changed(one, other) if name.startswith("joint.")]


def changed(before: nn.Module, after: nn.Module) -> list[str]:
    """The parameters that differ."""
    pairs = zip(before.named_parameters(), after.parameters(), strict=True)
    return [name for (name, one), other in pairs if not torch.equal(one, other)]


def test_a_world_is_searched_and_its_truth_is_known(corpus: Corpus) -> None:
    episode = corpus.world(6, 2, np.random.default_rng(0))
    world = episode.world
    assert len(set(world.photos.tolist())) == 6
    assert len(episode.present) == 12
    assert len(episode.absent) == 4
    for granularity in GRANULARITIES:
        asked = Asked(episode, episode.present, granularity)
        candidates = asked.retrieve(2)
        for row in range(len(asked.vectors)):
            for place in range(2):
                frames = candidates.frames[row, place][candidates.mask[row, place].bool()]
                if len(frames):
                    assert len(set(world.videos[frames].tolist())) == 1
                    assert len(frames) <= 2 * REACH + 1
        assert not asked.shown_in(candidates)[~candidates.mask.bool()].any()
        assert asked.right_units().any(1).all()
        assert not Asked(episode, episode.absent, granularity).right_units().any()
    by_frame = Asked(episode, episode.present, "frame")
    assert by_frame.shown_in(by_frame.retrieve(1)).any(2).float().mean() > 0.5


def test_losses_reward_what_they_should() -> None:
    right = torch.tensor([[True, False, False], [False, False, False], [True, True, True]])
    good = torch.tensor([[5.0, 0, 0], [0, 0, 0], [0, 0, 0]])
    assert listwise_loss(good, right) < 0.05 < listwise_loss(-good, right)
    assert listwise_loss(good, torch.zeros_like(right)) == 0
    signs = right.float() * 10 - 5
    assert balanced_verification_loss(signs, right) < 0.01
    shown = torch.tensor([[False, True, True, False]])
    sharp = torch.full((1, 4), -20.0)
    start, end = sharp.clone(), sharp.clone()
    start[0, 1] = end[0, 2] = 20.0
    assert span_loss(start, end, shown) < 1e-3 < span_loss(end, start, shown)
    mask = torch.tensor([[1, 1, 1, 0]])
    relevance = torch.tensor([[-9.0, 9.0, 9.0, 99.0]])
    assert relevance_loss(relevance, shown, mask) < 1e-3


def test_ambiguous_negatives_are_dropped_at_the_margin() -> None:
    units = torch.eye(3)
    right = torch.tensor([[True, False, False]])
    original = torch.tensor([[0.5, 0.8, 0.3]])
    refined = torch.tensor([[0.0, 1.0, 0.0]])
    strict = refined_query_loss(refined, units, right, original, 0.1, None)
    dropped = refined_query_loss(refined, units, right, original, 0.1, 0.0005)
    assert strict > 9
    assert dropped.item() == pytest.approx(np.log(2), abs=1e-4)


def test_a_guide_learns_to_find_units(corpus: Corpus) -> None:
    random = np.random.default_rng(0)
    torch.manual_seed(0)
    _, start = learn_guide(lambda: corpus.world(6, 2, random), "frame", 1, 0.05)
    guide, end = learn_guide(lambda: corpus.world(6, 2, random), "frame", 40, 0.05)
    assert end < start
    queries = corpus.queries.vectors[:4]
    there, part_way = guide(queries), guide.target(queries)
    for vectors in (there, part_way):
        assert torch.allclose(vectors.norm(dim=1), torch.ones(4))
    assert ((part_way * queries).sum(1) > (there * queries).sum(1)).all()
    assert torch.allclose(Guide()(queries), queries, atol=1e-2)


def test_the_best_span_never_ends_before_it_starts() -> None:
    torch.manual_seed(0)
    start, end = torch.randn(50, 3, 12), torch.randn(50, 3, 12)
    first, last = best_span(start, end)
    assert (first <= last).all()
    score = start.gather(2, first[..., None]) + end.gather(2, last[..., None])
    for place in range(12):
        single = start[..., place] + end[..., place]
        assert (score[..., 0] >= single - 1e-6).all()


def test_there_are_captions_for_every_photo(corpus: Corpus) -> None:
    assert len(corpus.views) == len(PHOTOS)
    assert corpus.queries.states.shape[0] == 2 * len(PHOTOS)
    lengths = corpus.queries.vectors.norm(dim=1)
    assert torch.allclose(lengths, torch.ones_like(lengths), atol=1e-2)
