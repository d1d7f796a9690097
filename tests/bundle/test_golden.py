"""A provider that returns rubbish is found out before its first answer.

The second provider is Azure's, which the packages for the CPU bring along: it takes no node, so the
CPU runs what it is given, under its name. The rubbish is real graphs that compute it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from tests.manifests import edit_manifest
from vsr_edge import open_archive
from vsr_edge.bundle.golden import golden_picture, lowest_cosine, telling, told_apart
from vsr_edge.bundle.locate import find_bundle, sha256_of
from vsr_edge.bundle.manifest import IMAGE_ENCODER, MANIFEST_FILE, TEXT_ENCODER, GoldenText
from vsr_edge.bundle.model import Bundle, load_bundle
from vsr_edge.errors import ProviderError
from vsr_edge.runtime.session import PROVIDERS, Provider, Session

AZURE = "AzureExecutionProvider"
FURTHER = {IMAGE_ENCODER: "regions", TEXT_ENCODER: "token_states"}

pytestmark = pytest.mark.skipif(
    AZURE not in ort.get_available_providers(), reason="this onnxruntime has no second provider"
)


@pytest.fixture(autouse=True)
def azure(monkeypatch: pytest.MonkeyPatch) -> Provider:
    """It is given what a GPU is: floats first, and batches of two sizes."""
    kind = Provider("azure", AZURE, "onnxruntime", ("fp32", "int8"), 8, (4, 8))
    monkeypatch.setitem(PROVIDERS, "azure", kind)
    return kind


ASK: dict[str, Callable[[Bundle], Any]] = {
    IMAGE_ENCODER: lambda bundle: bundle.encode_images([golden_picture(9, 50)]),
    TEXT_ENCODER: lambda bundle: bundle.encode_text(["a dog"]),
}


def ask(bundle: Bundle) -> list[Any]:
    return [ASK[role](bundle) for role in (TEXT_ENCODER, IMAGE_ENCODER)]


def rubbish(folder: Path, role: str, output: str, change: Callable[[Any, str, str], Any]) -> Path:
    """A copy of the built-in bundle with a further graph of a role, as another precision of it,
    whose output is changed: ``change`` names the nodes that do it.
    """
    shutil.copytree(find_bundle("lite"), folder, copy_function=os.link)
    (folder / MANIFEST_FILE).unlink()
    shutil.copy(find_bundle("lite") / MANIFEST_FILE, folder)
    entry = {"file": f"{role}-fp32.onnx", "precision": "fp32"}

    def add(manifest: dict[str, Any]) -> None:
        source = folder / manifest["files"][role]["file"]
        model = onnx.load(source)
        for node in model.graph.node:
            node.output[:] = ["right" if name == output else name for name in node.output]
            node.input[:] = ["right" if name == output else name for name in node.input]
        model.graph.node.extend(change(model.graph, "right", output))
        target = folder / entry["file"]
        onnx.save(model, target)
        sums = {"sha256": sha256_of(target), "bytes": target.stat().st_size}
        manifest["files"][role]["alternatives"] = [entry | sums]

    edit_manifest(folder, add)
    return folder


def constant(graph: Any, name: str, value: Any) -> str:
    graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name


def times(factor: float) -> Callable[[Any, str, str], Any]:
    def change(graph: Any, right: str, output: str) -> Any:
        by = constant(graph, "factor", np.float32(factor))
        return [helper.make_node("Mul", [right, by], [output])]

    return change


def first_for_all(graph: Any, right: str, output: str) -> Any:
    """As where a captured graph never sees the new inputs."""
    none = constant(graph, "none", np.zeros(1, np.int64))
    return [
        helper.make_node("Gather", [right, none], ["first"], axis=0),
        helper.make_node("Shape", [right], ["shape"]),
        helper.make_node("Expand", ["first", "shape"], [output]),
    ]


def other_way_round(graph: Any, right: str, output: str) -> Any:
    """Right vectors in wrong places."""
    rest = [constant(graph, n, np.array([v], np.int64)) for n, v in (("a", -1), ("b", -(2**62)))]
    rest += [constant(graph, "axis", np.zeros(1, np.int64)), rest[0]]
    return [helper.make_node("Slice", [right, *rest], [output])]


def noise(_: Any, right: str, output: str) -> Any:
    return [
        helper.make_node("RandomNormalLike", [right], ["noise"], scale=0.02, seed=1.0),
        helper.make_node("Add", [right, "noise"], [output]),
    ]


RUBBISH = {
    "zero": (times(0), "cosine nan"),
    "no number": (times(float("nan")), "cosine nan"),
    "infinite": (times(float("inf")), "cosine nan"),
    "turned": (times(-1), r"cosine -"),
    "of another length": (times(0.5), r"cosine 0\.(49|50)"),
    "constant": (first_for_all, "cosine 0"),
    "swapped": (other_way_round, "cosine 0"),
    "noisy": (noise, "cosine 0"),
}


@pytest.mark.parametrize("kind", RUBBISH)
@pytest.mark.parametrize("role", [IMAGE_ENCODER, TEXT_ENCODER])
def test_rubbish_of_another_provider_is_refused_before_the_first_answer(
    kind: str, role: str, tmp_path: Path
) -> None:
    change, said = RUBBISH[kind]
    folder = rubbish(tmp_path / "bundle", role, "vector", change)
    bundle = load_bundle(folder, provider="azure")
    refused = pytest.raises(ProviderError, match=f"{AZURE} computes rubbish.*{said}.*provider cpu")
    with bundle, refused:
        ASK[role](bundle)


def test_it_is_not_let_through_when_asked_again_and_the_cpu_takes_its_own_graph(
    tmp_path: Path,
) -> None:
    folder = rubbish(tmp_path / "bundle", TEXT_ENCODER, "vector", times(0))
    with load_bundle(folder, provider="azure") as bundle:
        for _ in range(2):
            with pytest.raises(ProviderError, match="rubbish"):
                bundle.encode_text(["a dog"])
    with load_bundle(folder) as bundle:
        bundle.encode_text(["a dog"])


@pytest.mark.parametrize("role", FURTHER)
def test_what_is_no_number_beside_right_vectors_is_refused(role: str, tmp_path: Path) -> None:
    folder = rubbish(tmp_path / "bundle", role, FURTHER[role], times(float("nan")))
    bundle = load_bundle(folder, provider="azure")
    with bundle, pytest.raises(ProviderError, match="what is no number"):
        ASK[role](bundle)


def test_nothing_is_indexed_with_rubbish(tmp_path: Path, demo_clips: list[Path]) -> None:
    folder = rubbish(tmp_path / "bundle", IMAGE_ENCODER, "vector", first_for_all)
    archive = open_archive(tmp_path / "archive", bundle=str(folder), provider="azure")
    with archive, pytest.raises(ProviderError, match="rubbish"):
        archive.index(demo_clips[0])
    with open_archive(tmp_path / "archive", bundle=str(folder)) as archive:
        assert archive.index(demo_clips[0]).indexed == 1


def test_a_provider_that_computes_right_answers_as_the_cpu_does(
    azure: Provider, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []
    run = Session.run

    def watch(self: Session, outputs: Any, feeds: Any) -> Any:
        runs.append(len(next(iter(feeds.values()))))
        return run(self, outputs, feeds)

    monkeypatch.setattr(Session, "run", watch)
    with load_bundle(bundle.manifest.folder, provider="azure") as other:
        found = ask(other)
        # The check first, two sentences and the smallest batch that it is given; then the answers.
        assert runs == [2, 1, azure.sizes[0], azure.sizes[0]]
        ask(other)
        assert len(runs) == 6
        assert other.refused == []
    for ours, theirs in zip(found, ask(bundle), strict=True):
        assert (ours * theirs).sum(1).min() > 0.999


def test_the_cpu_is_not_asked(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsr_edge.bundle.model.check_start", lambda *_: pytest.fail("it is"))
    with load_bundle(bundle.manifest.folder) as loaded:
        ask(loaded)


def test_auto_passes_over_what_computes_rubbish_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = Provider("cuda", AZURE, "onnxruntime-gpu", ("fp32", "int8"), 8, (4, 8))
    monkeypatch.setitem(PROVIDERS, "cuda", kind)
    monkeypatch.setattr(
        Session, "run_bound", lambda self, names, feeds, _: self._session.run(names, feeds)
    )
    folder = rubbish(tmp_path / "bundle", TEXT_ENCODER, "vector", times(0))
    with load_bundle(folder, provider="auto") as bundle:
        ask(bundle)
        assert bundle.provider == "cpu"
        (refused,) = bundle.refused
        assert "computes rubbish" in refused
        assert bundle.notices == ["provider: cpu", refused]
    with load_bundle(folder, provider="cuda") as bundle, pytest.raises(ProviderError):
        ask(bundle)


def test_without_golden_vectors_only_the_cpu_is_trusted(tmp_path: Path) -> None:
    shutil.copytree(find_bundle("lite"), tmp_path / "bundle")
    edit_manifest(tmp_path / "bundle", lambda m: m["golden"].update(texts=[]))
    with load_bundle(tmp_path / "bundle") as bundle:
        bundle.encode_text(["a dog"])
    bundle = load_bundle(tmp_path / "bundle", provider="azure")
    with bundle, pytest.raises(ProviderError, match="no golden vectors"):
        bundle.encode_text(["a dog"])


def golden(*vectors: list[float]) -> list[GoldenText]:
    return [GoldenText(text="", vector=tuple(vector)) for vector in vectors]


def test_the_two_that_tell_most_are_asked() -> None:
    first, near, far = golden([1, 0], [0.9, 0.1], [0, 1])
    assert telling([first, near, far]) == [first, far]
    assert telling([first]) == [first]


def test_one_answer_for_all_is_told_where_all_lies_close_together() -> None:
    near = golden([1, 0.05, 0], [1, -0.05, 0])
    right = np.array([one.vector for one in near])
    assert told_apart(right, near)
    mean = np.ones((2, 3)) * right.mean(0)
    assert lowest_cosine(mean / np.linalg.norm(mean[0]), near) > 0.99
    assert not told_apart(mean, near)
    # What its maker could not tell apart either is not asked for.
    assert told_apart(mean, golden([1, 0, 0], [1, 1e-4, 0]))
