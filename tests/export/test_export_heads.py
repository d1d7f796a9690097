"""From a checkpoint of the loop to graphs that equal PyTorch, for any number of pairs, words and
frames, and to a bundle that verifies, on the demo's real footage.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from export.contract import ExportError
from export.gate_heads import compare_grounding, compare_refiner, head_feeds
from export.publish import read_parts
from models.checkpoint import load_heads
from tests.export.in_process import Done, call
from tests.models.test_heads import pairs
from vsr_edge import open_archive
from vsr_edge.bundle.manifest import CONCEPTS, GROUNDING, REFINER
from vsr_edge.bundle.model import load_bundle
from vsr_edge.bundle.verify import check_golden
from vsr_edge.cli.demo import QUERIES
from vsr_edge.errors import ParityError
from vsr_edge.evaluation.benchmarks import write_queries
from vsr_edge.evaluation.records import Query
from vsr_edge.making.gate import Graph

PROJECT = Path(__file__).parents[2]
CHECKPOINTS = PROJECT / "models" / "checkpoints"
ABSENT = ("an elephant in a river", "a page of printed text", "a rocket on its launch pad")

LOOP = CHECKPOINTS / "loop.safetensors"
TOLERANCE = 1e-3  # of logits near 10

pytestmark = pytest.mark.timeout(600)


def export(command: str, archive: Path, folder: Path, *options: str | Path) -> Done:
    """A command, for the queries in a folder, with parts and bundle in the same folder."""
    return call(
        *(command, "--archive", archive, "--queries", folder / "queries.jsonl"),
        *("--out", folder / ("bundle" if command == "bundle" else "parts")),
        *("--work", folder / "work", *options),
    )


@pytest.fixture(scope="module")
def exported(
    demo_archive: Path, demo_clips: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("export")
    present = [
        Query(number, query, clip.name, ((0.0, 99.0),))
        for number, (query, clip) in enumerate(zip(QUERIES, demo_clips, strict=True))
    ]
    absent = [Query(number, query, None, ()) for number, query in enumerate(ABSENT, 10)]
    write_queries(folder / "queries.jsonl", [*present, *absent], "jsonl")
    for head in (GROUNDING, REFINER):
        done = export(head, demo_archive, folder, LOOP)
        assert done.returncode == 0, done.stderr[-2000:]
    concepts = ("--concepts", CHECKPOINTS / "concepts.txt")
    done = export("bundle", demo_archive, folder, "--parts", folder / "parts", *concepts)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder, json.loads(done.stdout)


def test_the_bundle_has_its_heads_and_searches_the_same_archive(
    exported: tuple[Path, dict[str, Any]], demo_archive: Path
) -> None:
    folder, document = exported
    with load_bundle(folder / "bundle") as bundle:
        check_golden(bundle)
        files = bundle.manifest.files
        assert {GROUNDING, REFINER, CONCEPTS} <= files.keys()
        assert files[GROUNDING].precision == files[REFINER].precision == "int8"
        assert sum(entry.size_bytes for entry in files.values()) < 60e6
        assert bundle.bundle_id == document["id"]
        with load_bundle("lite") as lite:
            assert bundle.encoders_id == lite.encoders_id
        assert bundle.manifest.calibration is not None
    with open_archive(demo_archive, bundle=str(folder / "bundle")) as archive:
        result = archive.search(QUERIES[0])
        assert result.verdict.decision in {"match", "no_match"}
        assert result.bundle == document["id"]


def agree(module: nn.Module, session: ort.InferenceSession, inputs: list[Tensor]) -> None:
    names = [tensor.name for tensor in session.get_inputs()]
    found = session.run(None, {name: x.numpy() for name, x in zip(names, inputs, strict=True)})
    with torch.no_grad():
        expected = module(*inputs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for one, other in zip(expected, found, strict=True):
        assert np.allclose(one.numpy(), other, atol=TOLERANCE, rtol=1e-4)


def fp32(exported: tuple[Path, dict[str, Any]], role: str) -> ort.InferenceSession:
    path = exported[0] / "work" / "fp32" / f"{role}.onnx"
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(("batch", "words", "frames"), [(1, 3, 1), (7, 20, 25), (2, 64, 512)])
def test_the_grounding_graph_equals_pytorch(
    exported: tuple[Path, dict[str, Any]], batch: int, words: int, frames: int
) -> None:
    inputs = pairs(batch, words, frames)
    inputs[5][0, frames // 2 + 1 :] = 0
    inputs[1][0, words // 2 + 1 :] = 0
    agree(load_heads(LOOP)[0].eval(), fp32(exported, GROUNDING), inputs)


@pytest.mark.parametrize(("batch", "words", "evidence"), [(1, 3, 1), (7, 20, 3), (2, 64, 16)])
def test_the_refiner_graph_equals_pytorch(
    exported: tuple[Path, dict[str, Any]], batch: int, words: int, evidence: int
) -> None:
    refiner = load_heads(LOOP)[1]
    assert refiner is not None
    session = fp32(exported, REFINER)
    states, mask, query, frames, regions, present = pairs(batch, words, evidence)
    about = torch.rand(batch, evidence, 2)
    for there in (present, torch.zeros_like(present)):
        agree(refiner.eval(), session, [states, mask, query, frames, regions, about, there])


def test_a_graph_says_nothing_of_the_machine_it_was_made_on(
    exported: tuple[Path, dict[str, Any]],
) -> None:
    for role in (GROUNDING, REFINER):
        graph = exported[0] / "work" / "fp32" / f"{role}.onnx"
        assert str(PROJECT).encode() not in graph.read_bytes()


def test_the_gate_and_the_calibration_are_recorded(exported: tuple[Path, dict[str, Any]]) -> None:
    _, document = exported
    parity = document["parity"]
    assert parity[GROUNDING]["decisions_agree"] >= 0.99
    assert parity[GROUNDING]["spans_within_one_frame"] >= 0.99
    assert parity[REFINER]["soft_token_cosine"] >= 0.99
    calibration = document["calibration"]
    assert calibration["queries"] == 6
    assert calibration["slope"] > 0
    assert 0 < calibration["threshold"] <= calibration["sure"] <= 1


def disturbed(source: Path, target: Path) -> Path:
    """The same graph, but all of its matrices are shifted by a column."""
    model = onnx.load(source)
    for tensor in model.graph.initializer:
        if len(tensor.dims) > 1:
            rows = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.roll(rows, 1, axis=-1), tensor.name))
    onnx.save(model, target)
    return target


def test_other_heads_are_refused_by_the_gate(
    exported: tuple[Path, dict[str, Any]], demo_archive: Path, tmp_path: Path
) -> None:
    fp32 = exported[0] / "work" / "fp32"
    files = {role: fp32 / f"{role}.onnx" for role in (GROUNDING, REFINER)}
    right = {role: Graph(file, "fp32") for role, file in files.items()}
    wrong = {
        role: Graph(disturbed(file, tmp_path / file.name), "fp32") for role, file in files.items()
    }
    with open_archive(demo_archive) as archive:
        found = [head_feeds(archive, query) for query in QUERIES]
    feeds = [feed for feed in found if feed is not None]
    assert len(feeds) == len(QUERIES)
    before, first = right[GROUNDING], right[REFINER]
    assert compare_grounding(before, before, feeds)["decisions_agree"] == 1
    assert compare_refiner(first, first, before, feeds)["soft_token_cosine"] == pytest.approx(1)
    with pytest.raises(ParityError, match="grounding head differs"):
        compare_grounding(before, wrong[GROUNDING], feeds)
    with pytest.raises(ParityError, match="soft tokens"):
        compare_refiner(first, wrong[REFINER], before, feeds)


def test_what_cannot_be_calibrated_on_is_an_error(
    exported: tuple[Path, dict[str, Any]], demo_archive: Path, tmp_path: Path
) -> None:
    absent = [Query(number, query, None, ()) for number, query in enumerate(ABSENT)]
    write_queries(tmp_path / "queries.jsonl", absent, "jsonl")
    done = export("bundle", demo_archive, tmp_path, "--parts", exported[0] / "parts")
    assert done.returncode == 1
    assert "all right or all wrong" in done.stderr
    assert not (tmp_path / "bundle").exists()


def test_a_run_becomes_a_bundle_in_one_command(
    exported: tuple[Path, dict[str, Any]], demo_clips: list[Path], tmp_path: Path
) -> None:
    """A run with a loop alone, for the built-in encoders; its videos are indexed on the way."""
    run, videos = tmp_path / "run", tmp_path / "videos"
    for folder, files in (
        (run, [CHECKPOINTS / "loop.safetensors", CHECKPOINTS / "concepts.txt"]),
        (videos, demo_clips),
    ):
        folder.mkdir()
        for file in files:
            (folder / file.name).symlink_to(file)
    asked = ("--videos", str(videos), "--queries", str(exported[0] / "queries.jsonl"))
    others = ("--work", str(tmp_path / "work"), "--precision", "fp32")
    done = subprocess.run(
        [sys.executable, "-m", "export", "all", run, "--out", tmp_path / "bundle", *asked, *others],
        check=False,
        timeout=500,
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    document = json.loads(done.stdout)
    with load_bundle(tmp_path / "bundle") as bundle, load_bundle("lite") as lite:
        assert bundle.bundle_id == document["id"]
        assert bundle.encoders_id == lite.encoders_id
        made = bundle.manifest.files
        assert {GROUNDING, REFINER, CONCEPTS} <= made.keys()
        assert made[GROUNDING].precision == made[REFINER].precision == "fp32"
        assert bundle.manifest.calibration is not None
    # With the heads as they were trained, the calibration is nearly that of int8 heads.
    assert document["calibration"]["queries"] == exported[1]["calibration"]["queries"]
    assert document["calibration"]["threshold"] == pytest.approx(
        exported[1]["calibration"]["threshold"], abs=0.1
    )


def test_a_run_that_cannot_be_exported_says_what_is_missing(tmp_path: Path) -> None:
    done = call("all", tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "neither encoder.safetensors nor loop.safetensors" in done.stderr
    (tmp_path / "loop.safetensors").symlink_to(CHECKPOINTS / "loop.safetensors")
    done = call("all", tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "needs --videos and --queries" in done.stderr
    assert not (tmp_path / "out").exists()


def test_parts_that_are_not_there_or_not_whole_are_named(
    exported: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    import shutil

    with pytest.raises(ExportError, match=r"holds no grounding\.onnx"):
        read_parts(tmp_path)
    shutil.copytree(exported[0] / "parts", tmp_path / "parts")
    assert read_parts(tmp_path / "parts").keys() == {GROUNDING, REFINER}
    (tmp_path / "parts" / "grounding.json").write_text("{}")
    with pytest.raises(ExportError, match="export it again"):
        read_parts(tmp_path / "parts")
