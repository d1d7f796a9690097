"""What a bundle costs here: every part is really run, and none that is not there."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.manifests import edit_manifest
from vsr_edge.bundle.cost import FEWEST_ROUNDS, measure_costs
from vsr_edge.bundle.locate import find_bundle
from vsr_edge.bundle.manifest import GROUNDING, REFINER
from vsr_edge.bundle.model import Bundle
from vsr_edge.errors import BundleDamaged, BundleNotFound, ProviderError
from vsr_edge.runtime.session import PROVIDERS, available_providers


@pytest.fixture(scope="module")
def one_shot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in bundle without its heads."""
    folder = tmp_path_factory.mktemp("bundle") / "one-shot"
    shutil.copytree(find_bundle("lite"), folder)

    def change(manifest: dict[str, Any]) -> None:
        manifest["id"] = "one-shot"
        for role in (GROUNDING, REFINER):
            del manifest["files"][role]

    edit_manifest(folder, change)
    return folder


def test_costs_are_of_the_bundles_in_the_order_named(one_shot: Path) -> None:
    plain, lite = measure_costs([one_shot, "lite"], threads=1, seconds=0)
    assert (plain.bundle_id, plain.bundle_name) == ("one-shot", str(one_shot))
    assert (lite.bundle_name, lite.provider, lite.threads) == ("lite", "cpu", 1)
    heads = [find_bundle("lite") / f"{role}.onnx" for role in (GROUNDING, REFINER)]
    assert lite.size_bytes - plain.size_bytes == sum(path.stat().st_size for path in heads)
    assert plain.turn_ms is None
    assert lite.turn_ms is not None
    for ms in (*(c.frame_ms for c in (plain, lite)), plain.query_ms, lite.turn_ms, plain.load_ms):
        assert math.isfinite(ms)
        assert ms > 0
    assert lite.frames_per_second == pytest.approx(1000 / lite.frame_ms)


def test_frames_come_in_batches_with_regions_and_a_turn_judges_as_a_search_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames: list[tuple[int, bool]] = []
    judged: list[tuple[int, ...]] = []
    soft_tokens: list[int] = []
    encode, judge, queries = Bundle.encode_frames, Bundle.judge, Bundle.encode_queries

    def frames_seen(self: Bundle, images: Any, *, regions: bool = True) -> Any:
        frames.append((len(images), regions))
        return encode(self, images, regions=regions)

    def judging_seen(self: Bundle, query: Any, candidates: Any) -> Any:
        judged.append(candidates.frames.shape[:2])
        return judge(self, query, candidates)

    def queries_seen(self: Bundle, texts: Any, soft: Any = None) -> Any:
        soft_tokens.append(0 if soft is None else soft.shape[1])
        return queries(self, texts, soft)

    monkeypatch.setattr(Bundle, "encode_frames", frames_seen)
    monkeypatch.setattr(Bundle, "judge", judging_seen)
    monkeypatch.setattr(Bundle, "encode_queries", queries_seen)
    measure_costs(["lite"], seconds=0)
    rounds = FEWEST_ROUNDS + 1  # one before any that counts
    assert frames == [(PROVIDERS["cpu"].batch, True)] * rounds
    assert judged == [(16, 25)] * rounds
    assert soft_tokens.count(8) == rounds


def test_what_cannot_run_here_is_refused_as_elsewhere(tmp_path: Path, one_shot: Path) -> None:
    with pytest.raises(BundleNotFound):
        measure_costs([tmp_path / "nothing"])
    broken = tmp_path / "broken"
    shutil.copytree(one_shot, broken)
    (broken / "image.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleDamaged):
        measure_costs([broken])
    missing = next(short for short in PROVIDERS if short not in available_providers())
    with pytest.raises(ProviderError):
        measure_costs(["lite"], provider=missing)
