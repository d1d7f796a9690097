"""A bundle is used only if it is whole and is what its manifest says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.manifests import edit_manifest
from vsr_edge.bundle.locate import find_bundle, sha256_of, verify_bundle
from vsr_edge.bundle.manifest import MANIFEST_FILE, read_manifest
from vsr_edge.bundle.model import Bundle, load_bundle
from vsr_edge.bundle.verify import check_golden, check_sound
from vsr_edge.errors import BundleDamaged, BundleNotFound


@pytest.fixture
def copy(tmp_path: Path, bundle: Bundle) -> Path:
    folder = tmp_path / "bundle"
    shutil.copytree(bundle.manifest.folder, folder)
    return folder


def test_an_intact_copy_is_accepted_and_computes_its_golden_vectors(copy: Path) -> None:
    with load_bundle(copy) as bundle:
        report = check_golden(bundle)
    assert report.text_cosine > 0.98
    assert report.image_cosine > 0.98


def test_an_unknown_name_says_what_is_built_in() -> None:
    with pytest.raises(BundleNotFound, match="built in: lite"):
        find_bundle("no-such-bundle")


@pytest.mark.parametrize("role", ["image_encoder", "text_encoder", "tokenizer"])
def test_a_flipped_byte_in_any_file_is_refused(copy: Path, bundle: Bundle, role: str) -> None:
    path = copy / bundle.manifest.files[role].file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleDamaged, match=rf"{path.name}.*altered"):
        verify_bundle(copy)


def test_a_truncated_file_is_refused(copy: Path, bundle: Bundle) -> None:
    path = copy / bundle.manifest.files["text_encoder"].file
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleDamaged, match=rf"{path.name}.*bytes"):
        verify_bundle(copy)


def test_a_missing_file_is_refused(copy: Path, bundle: Bundle) -> None:
    path = copy / bundle.manifest.files["tokenizer"].file
    path.unlink()
    with pytest.raises(BundleDamaged, match=rf"{path.name}.*missing"):
        verify_bundle(copy)


def test_a_folder_without_manifest_is_refused(copy: Path) -> None:
    (copy / MANIFEST_FILE).unlink()
    with pytest.raises(BundleDamaged, match="export did not finish"):
        verify_bundle(copy)


def test_a_manifest_that_is_no_json_is_refused(copy: Path) -> None:
    (copy / MANIFEST_FILE).write_text("{", "utf-8")
    with pytest.raises(BundleDamaged, match="cannot be read"):
        verify_bundle(copy)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m.update(format="other"), "not the manifest"),
        (lambda m: m.update(schema_version=99), "schema version 99"),
        (lambda m: m.pop("licence"), "licence"),
        (lambda m: m["files"].pop("tokenizer"), "no file for tokenizer"),
        (lambda m: m["files"]["tokenizer"].update(file="../../secret"), "plain file name"),
        (lambda m: m["files"]["tokenizer"].update(file="/etc/passwd"), "plain file name"),
        (lambda m: m["dims"].update(embedding=0), "dimension below 1"),
        (lambda m: m["dims"].pop("hidden"), "hidden"),
        (lambda m: m["graphs"]["text_encoder"].update(inputs=["x"]), "takes"),
        (lambda m: m["preprocessing"].update(mean=[1, 2]), "malformed"),
        (lambda m: m["preprocessing"].pop("fit"), "fit is missing"),
        (lambda m: m["preprocessing"].update(scale=[1, 0, 1]), "a scale of 0"),
        (lambda m: m["calibration"].update(sure=0.1), "a calibration that cannot be"),
        (lambda m: m["text"].update(positions=10), "leave no room for a word"),
        (lambda m: m["golden"]["texts"][0].update(vector=[1.0]), "another dimension"),
    ],
)
def test_a_changed_manifest_is_refused(
    copy: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    edit_manifest(copy, change)
    with pytest.raises(BundleDamaged, match=reason):
        verify_bundle(copy)


def test_wrong_dims_are_found_when_the_graph_is_loaded(copy: Path) -> None:
    def shrink(manifest: dict[str, Any]) -> None:
        manifest["dims"]["embedding"] = 7
        manifest["golden"] = {"texts": [], "images": []}

    edit_manifest(copy, shrink)
    with load_bundle(copy) as bundle, pytest.raises(BundleDamaged, match="manifest says 7"):
        bundle.encode_text(["a dog"])


def test_a_foreign_graph_is_refused_even_with_a_matching_manifest(
    copy: Path, bundle: Bundle
) -> None:
    image = copy / bundle.manifest.files["image_encoder"].file
    text = copy / bundle.manifest.files["text_encoder"].file
    shutil.copyfile(image, text)
    entry = {"sha256": sha256_of(text), "bytes": text.stat().st_size}
    edit_manifest(copy, lambda m: m["files"]["text_encoder"].update(entry))
    with load_bundle(copy) as bundle, pytest.raises(BundleDamaged, match="text_encoder graph"):
        bundle.encode_text(["a dog"])


@pytest.mark.parametrize("role", ["image_encoder", "text_encoder", "grounding", "refiner"])
def test_a_graph_that_takes_one_thing_more_is_refused(
    copy: Path, bundle: Bundle, role: str
) -> None:
    path = copy / bundle.manifest.files[role].file
    model = onnx.load(path)
    more = onnx.helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, ["n"])
    model.graph.input.append(more)
    onnx.save(model, path)
    entry = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    edit_manifest(copy, lambda m: m["files"][role].update(entry))
    with load_bundle(copy) as bundle, pytest.raises(BundleDamaged, match=f"{role} graph takes"):
        check_sound(bundle)


def test_a_graph_that_is_no_graph_is_refused(copy: Path, bundle: Bundle) -> None:
    text = copy / bundle.manifest.files["text_encoder"].file
    text.write_bytes(b"not a graph")
    entry = {"sha256": sha256_of(text), "bytes": text.stat().st_size}
    edit_manifest(copy, lambda m: m["files"]["text_encoder"].update(entry))
    with load_bundle(copy) as bundle, pytest.raises(BundleDamaged, match="cannot be loaded"):
        bundle.encode_text(["a dog"])


def test_other_golden_vectors_are_noticed(copy: Path) -> None:
    def spoil(manifest: dict[str, Any]) -> None:
        vector = np.array(manifest["golden"]["images"][0]["vector"])
        manifest["golden"]["images"][0]["vector"] = list(np.roll(vector, 1))

    edit_manifest(copy, spoil)
    with load_bundle(copy) as bundle, pytest.raises(BundleDamaged, match="golden"):
        check_golden(bundle)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["calibration"].update(threshold=0.01),
        lambda m: m["dims"].update(max_tokens=63),
        lambda m: m.update(licence="none"),
        lambda m: m["parity"].clear(),
        lambda m: m["provenance"].update(trained_on="everything"),
        lambda m: m.update(more=1),
        lambda m: m.pop("sha256"),
    ],
)
def test_no_field_can_be_changed_unnoticed(
    copy: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    path = copy / MANIFEST_FILE
    manifest = json.loads(path.read_text("utf-8"))
    change(manifest)
    path.write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(BundleDamaged, match=r"manifest\.json was altered"):
        verify_bundle(copy)


def test_the_layout_of_a_manifest_does_not_matter(copy: Path) -> None:
    path = copy / MANIFEST_FILE
    manifest = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(dict(reversed(manifest.items())), indent=7), "utf-8")
    verify_bundle(copy)


@settings(max_examples=150)
@given(st.integers(0, 10**9), st.integers(0, 7))
def test_no_bit_of_a_manifest_can_flip_unnoticed(place: int, bit: int) -> None:
    folder = find_bundle("lite")
    content = bytearray((folder / MANIFEST_FILE).read_bytes())
    before = json.loads(content)
    content[place % len(content)] ^= 1 << bit
    with TemporaryDirectory() as site:
        (Path(site) / MANIFEST_FILE).write_bytes(content)
        try:
            same = json.loads(content) == before  # a space that became a tab
        except ValueError:
            same = False
        if same:
            read_manifest(Path(site))
        else:
            with pytest.raises(BundleDamaged):
                read_manifest(Path(site))
