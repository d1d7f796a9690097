"""The benchmark archive: its truth is what its videos show, and it is built the same way twice."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data.benchmark import (
    BenchmarkOptions,
    build_benchmark,
    content_words,
    plan_benchmark,
)
from models.data.features import compose_frames, encode_views
from models.data.photos import read_captions
from tests.models.captioned import PHOTOS, write_photos
from vsr_edge.bundle.model import Bundle
from vsr_edge.evaluation.benchmarks import read_queries
from vsr_edge.media.decode import FrameReader
from vsr_edge.media.plan import plan_video
from vsr_edge.types import Sampling

SMALL = BenchmarkOptions(videos=3, present=6, absent=2, seed=1, side=96)
PROJECT = Path(__file__).parents[2]


def unheeded(_done: int, _total: int) -> None:
    """Progress that nobody watches."""


def build(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    images, table = folder / "images", folder / "captions.csv"
    if not images.exists():
        write_photos(folder)
    sizes = ["--videos", "3", "--present", "6", "--absent", "2", "--side", "96", "--seed", "1"]
    given = ["--images", images, "--captions", table, "--out", folder / "out", *sizes, *more]
    return subprocess.run(
        [sys.executable, "-m", "models.data", "build-benchmark", *map(str, given)],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        timeout=120,
        check=False,
    )


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_command_builds_videos_and_queries_and_twice_the_same(tmp_path: Path) -> None:
    done = build(tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    first = digests(out)
    assert len(list((out / "videos").glob("*.mp4"))) == 3
    queries = read_queries(out / "queries.jsonl", "jsonl")
    assert [q.present for q in queries].count(True) == 6
    assert [q.present for q in queries].count(False) == 2
    record = json.loads((out / "benchmark.json").read_text())
    assert record["queries"] == {"absent": 2, "present": 6}
    again = build(tmp_path)
    assert again.returncode == 1
    assert "remove it or name another folder" in again.stderr
    out.rename(tmp_path / "first")
    assert build(tmp_path).returncode == 0
    assert digests(out) == first


def test_a_photo_that_cannot_be_read_is_named_and_left_out(tmp_path: Path) -> None:
    images, table = write_photos(tmp_path)
    (images / "coins.png").write_bytes(b"no picture")
    (images / "page.png").unlink()
    left_out: dict[str, str] = {}
    benchmark = build_benchmark(
        images,
        read_captions(table),
        tmp_path / "out",
        BenchmarkOptions(videos=3, present=3, absent=0, seed=1, side=96),
        on_progress=unheeded,
        on_unreadable=left_out.__setitem__,
    )
    assert set(left_out) == {"coins.png", "page.png"}
    assert len({s.photo for c in benchmark.compositions for s in c.scenes}) == 6


def test_captions_without_the_column_are_refused(tmp_path: Path) -> None:
    write_photos(tmp_path)
    (tmp_path / "captions.csv").write_text("image,text\na.png,a\n")
    done = build(tmp_path)
    assert done.returncode == 1
    assert "has no column caption" in done.stderr
    assert "Traceback" not in done.stderr


def test_more_queries_than_captions_are_refused(tmp_path: Path) -> None:
    done = build(tmp_path, "--present", "600")
    assert done.returncode == 1
    assert "not 600" in done.stderr
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.unfinished").exists()


def test_queries_are_true_of_the_plan() -> None:
    captions = list(PHOTOS.values())
    benchmark = plan_benchmark(captions, SMALL)
    scenes = {
        (f"{c.name}.mp4", scene.start, scene.end): scene
        for c in benchmark.compositions
        for scene in c.scenes
    }
    archived = [c for scene in scenes.values() for c in captions[scene.photo]]
    for query in benchmark.queries:
        if query.video is None:
            words = content_words(query.query)
            assert query.query not in archived
            assert all(2 * len(words & content_words(c)) <= len(words) for c in archived)
        else:
            scene = scenes[query.video, *query.spans[0]]
            assert query.query in captions[scene.photo]


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    from skimage import data

    opened = [Image.fromarray(getattr(data, name)()).convert("RGB") for name in PHOTOS]
    return np.stack([np.asarray(photo.resize((200, 200))) for photo in opened])


def test_features_are_those_of_the_filmed_footage(
    tmp_path: Path, bundle: Bundle, photos: np.ndarray
) -> None:
    images, table = write_photos(tmp_path)
    benchmark = build_benchmark(
        images,
        read_captions(table),
        tmp_path / "out",
        BenchmarkOptions(videos=2, present=4, absent=0, seed=3),
        on_progress=unheeded,
        on_unreadable=lambda name, reason: pytest.fail(f"{name}: {reason}"),
    )
    random = np.random.default_rng(0)
    in_order = photos[np.argsort(list(PHOTOS))]
    views = encode_views(in_order, bundle, random, views=4)
    assert len(views) == len(PHOTOS)
    for composition in benchmark.compositions:
        composed = compose_frames(composition, views, random)
        path = tmp_path / "out" / "videos" / f"{composition.name}.mp4"
        filmed, times = [], []
        plan = plan_video(path, Sampling())
        with FrameReader(plan, size=(bundle.image_side,) * 2) as batches:
            for batch in batches:
                vectors, regions = bundle.encode_frames(batch.pixels)
                filmed.append(vectors)
                times.append(batch.times)
                assert regions is not None
                assert regions.shape[1:] == composed.regions.shape[1:]
        seen, when = np.concatenate(filmed), np.concatenate(times)
        nearest = np.abs(when[:, None] - composed.times).argmin(1)
        settled = np.array(
            [len(composition.shown(t)) == 1 for t in when]
            & (composed.scenes[nearest] == _due(composition, when))
        )
        cosine = (seen * composed.vectors[nearest]).sum(1)[settled]
        assert np.median(cosine) > 0.85
        photo = [composition.scenes[place].photo for place in _due(composition, when)[settled]]
        best = (seen[settled] @ views.vectors[:-1, 0].astype(np.float32).T).argmax(1)
        assert (best == np.array(photo)).mean() > 0.9


def _due(composition: object, times: np.ndarray) -> np.ndarray:
    starts = [scene.start for scene in composition.scenes]  # type: ignore[attr-defined]
    return np.searchsorted(starts, times, "right") - 1


def test_transitions_are_mixed_and_vectors_stay_of_unit_length(
    bundle: Bundle, photos: np.ndarray
) -> None:
    random = np.random.default_rng(0)
    views = encode_views(photos, bundle, random, views=2)
    benchmark = plan_benchmark(list(PHOTOS.values()), SMALL)
    for composition in benchmark.compositions:
        frames = compose_frames(composition, views, random, fps=10)
        assert np.allclose(np.linalg.norm(frames.vectors, axis=-1), 1, atol=1e-3)
        assert np.allclose(np.linalg.norm(frames.regions, axis=-1), 1, atol=1e-3)
        assert frames.scenes.max() == len(composition.scenes) - 1
    with pytest.raises(ValueError, match="pairs"):
        encode_views(photos, bundle, random, views=3)
