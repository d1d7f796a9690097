"""Small random models of every family: from Transformers' folder to a bundle that searches."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from export.compare import check_tokenizer, check_vectors
from export.contract import ExportError, Source
from export.families import FAMILIES as SUPPORTED
from export.pipeline import EncoderOptions, export_encoder
from export.sources import open_source
from tests.export.random_models import FAMILIES, HIDDEN, POSITIONS, save_random_model
from tests.manifests import edit_manifest
from vsr_edge import load_bundle, open_archive
from vsr_edge.bundle.install import install_file
from vsr_edge.bundle.locate import sha256_of, verify_bundle
from vsr_edge.bundle.manifest import IMAGE_ENCODER, TEXT_ENCODER, TOKENIZER
from vsr_edge.bundle.packed import pack_bundle
from vsr_edge.bundle.verify import check_golden, check_sound
from vsr_edge.cli.demo import QUERIES
from vsr_edge.errors import BundleDamaged
from vsr_edge.making.gate import Graph
from vsr_edge.making.write import write_bundle
from vsr_edge.runtime.preprocess import to_input
from vsr_edge.runtime.session import open_session

TOLERANCE = 1e-4
LONG = "a photo of a very long story about " * 20
SENTENCES = ["a dog", "A red car, on the road!", LONG]

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Exported:
    """A checkpoint, opened and exported: its bundle is int8, with fp16 beside."""

    checkpoint: Path
    source: Source
    work: Path
    bundle: Path


@pytest.fixture(scope="module", params=FAMILIES)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp(request.param)
    checkpoint = save_random_model(request.param, folder / "checkpoint")
    source = open_source(str(checkpoint), work=folder / "work")
    made = export_encoder(
        source,
        folder / "bundle",
        folder / "work",
        EncoderOptions(also=["fp16"], calibration_count=8, parity_count=8),
    )
    made.close()
    return Exported(checkpoint, source, folder / "work", folder / "bundle")


def tokens(source: Source, batch: int, soft: int, full: bool) -> dict[str, Any]:
    random = np.random.default_rng(0)
    filled = full or source.text_input.fill
    ids = random.integers(3, 500, (batch, POSITIONS - soft if filled else 9))
    mask = np.ones_like(ids)
    if batch > 1:
        mask[0, 5:] = 0
    soft_tokens = random.normal(0, 0.05, (batch, soft, HIDDEN)).astype(np.float32)
    return {"input_ids": ids, "attention_mask": mask, "soft_tokens": soft_tokens}


@pytest.mark.parametrize("soft", [0, 8])
@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("full", [False, True])
def test_the_fp32_text_graph_equals_pytorch(
    exported: Exported, soft: int, batch: int, full: bool
) -> None:
    feed = tokens(exported.source, batch, soft, full)
    session = open_session({"fp32": exported.work / "fp32" / "text.onnx"})
    found = session.run(["vector", "token_states"], feed)
    with torch.no_grad():
        expected = exported.source.text(*(torch.from_numpy(array) for array in feed.values()))
    for a, b in zip(found, expected, strict=True):
        assert np.abs(a - b.numpy()).max() <= TOLERANCE


@pytest.mark.parametrize("batch", [1, 7])
def test_the_fp32_image_graph_equals_pytorch(exported: Exported, batch: int) -> None:
    side = exported.source.side
    pixels = np.random.default_rng(0).normal(0, 1, (batch, 3, side, side)).astype(np.float32)
    session = open_session({"fp32": exported.work / "fp32" / "image.onnx"})
    found = session.run(["vector", "regions"], {"pixels": pixels})
    model = AutoModel.from_pretrained(exported.checkpoint).eval()
    with torch.no_grad():
        vector, regions = exported.source.image(torch.from_numpy(pixels))
        theirs = F.normalize(model.get_image_features(pixel_values=torch.from_numpy(pixels)), dim=1)
    assert np.abs(found[0] - vector.numpy()).max() <= TOLERANCE
    assert np.abs(found[1] - regions.numpy()).max() <= TOLERANCE
    assert np.abs(found[0] - theirs.numpy()).max() <= TOLERANCE


def test_sentences_get_the_vectors_that_transformers_gives(exported: Exported) -> None:
    """Tokenizer, padding, pooling and projection, without soft tokens: all as in the original."""
    model = AutoModel.from_pretrained(exported.checkpoint).eval()
    tokenizer = AutoTokenizer.from_pretrained(exported.checkpoint)
    padding = "max_length" if exported.source.text_input.fill else "longest"
    siglip = exported.source.text_input.fill
    # SigLIP was trained on lower case, without a mask.
    texts = [text.lower() for text in SENTENCES] if siglip else SENTENCES
    inputs = tokenizer(texts, padding=padding, truncation=True, return_tensors="pt")
    if siglip:
        inputs = {"input_ids": inputs["input_ids"]}
    inputs = {k: v for k, v in inputs.items() if k in {"input_ids", "attention_mask"}}
    with torch.no_grad():
        expected = F.normalize(model.get_text_features(**inputs), dim=1).numpy()
    folder = exported.work / "fp32-bundle"
    as_precision(exported, folder, "fp32")
    with load_bundle(folder) as bundle:
        assert np.abs(bundle.encode_text(SENTENCES) - expected).max() <= TOLERANCE


def as_precision(exported: Exported, folder: Path, precision: str) -> None:
    """The same bundle with the graphs of another precision in place, for reading only."""
    shutil.copytree(exported.bundle, folder, dirs_exist_ok=True)

    def change(manifest: dict[str, Any]) -> None:
        for role, name in ((TEXT_ENCODER, "text.onnx"), (IMAGE_ENCODER, "image.onnx")):
            shutil.copyfile(exported.work / precision / name, folder / name)
            manifest["files"][role] |= {
                "sha256": sha256_of(folder / name),
                "bytes": (folder / name).stat().st_size,
                "precision": precision,
            }

    edit_manifest(folder, change)


def test_pictures_are_prepared_as_transformers_does(exported: Exported) -> None:
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (13, 9, 3), dtype=np.uint8)
    picture = np.asarray(Image.fromarray(small).resize((210, 160), Image.Resampling.BICUBIC))
    processor = AutoImageProcessor.from_pretrained(exported.checkpoint, use_fast=False)
    theirs = processor(Image.fromarray(picture), return_tensors="np")["pixel_values"]
    source = exported.source
    ours = to_input(picture[None], source.side, source.preprocessing)
    assert ours.shape == theirs.shape
    # In units of the input, where a step of a pixel's 256 is 0.015: which pixels a crop begins with
    # and rounding between the two passes may differ.
    assert np.abs(ours - theirs).mean() < 0.02


def test_a_long_query_loses_words_and_never_soft_tokens(exported: Exported) -> None:
    with load_bundle(exported.bundle) as bundle:
        random = np.random.default_rng(0)
        soft = random.normal(0, 1, (1, 8, HIDDEN)).astype(np.float32)
        plain = bundle.encode_queries([LONG])
        one, other = (bundle.encode_queries([LONG], s) for s in (soft, -soft))
        assert one.states.shape[1] == plain.states.shape[1] == one.mask.shape[1] == POSITIONS
        assert (one.vectors * other.vectors).sum() < 0.9999
        assert (one.vectors * plain.vectors).sum() < 0.9999
        # Of a short one nothing is lost: its words are the same rows again.
        short = bundle.encode_queries(["a dog"], soft)
        assert short.mask[0].sum() == bundle.encode_queries(["a dog"]).mask[0].sum() + 8


def test_other_sentences_in_the_batch_change_nothing(exported: Exported) -> None:
    with load_bundle(exported.bundle) as bundle:
        alone = np.concatenate([bundle.encode_text([text]) for text in SENTENCES])
        # int8 takes its ranges from the whole batch.
        assert (alone * bundle.encode_text(SENTENCES)).sum(1).min() > 0.99


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_less_precision_is_near_enough(exported: Exported, precision: str) -> None:
    feed = tokens(exported.source, 7, 8, True)
    side = exported.source.side
    pixels = np.random.default_rng(0).normal(0, 1, (7, 3, side, side)).astype(np.float32)
    for name, inputs in (("text", feed), ("image", {"pixels": pixels})):
        fp32, found = (
            open_session({p: exported.work / p / f"{name}.onnx"}).run(["vector"], inputs)[0]
            for p in ("fp32", precision)
        )
        lengths = np.linalg.norm(fp32, axis=1) * np.linalg.norm(found, axis=1)
        assert ((fp32 * found).sum(1) / lengths).min() >= 0.98


def test_the_bundle_says_what_it_is(exported: Exported) -> None:
    with load_bundle(exported.bundle) as bundle:
        check_golden(bundle)
        raw = bundle.manifest.raw
        for role in (IMAGE_ENCODER, TEXT_ENCODER):
            figures = raw["parity"][role]
            assert figures["precision"] == "int8"
            assert figures["mean_cosine"] >= 0.99
            assert isinstance(figures["pays"], bool)
            assert figures["alternatives"]["fp16"]["mean_cosine"] >= 0.99
            assert figures["max_difference_to_torch"] <= TOLERANCE
            assert list(bundle.manifest.variants(role)) == ["int8", "fp16"]
        assert raw["provenance"]["family"] in SUPPORTED
        assert bundle.manifest.calibration is None


def test_it_indexes_and_what_it_finds_is_verified(
    exported: Exported, demo_clips: list[Path], tmp_path: Path
) -> None:
    with open_archive(tmp_path / "archive", bundle=str(exported.bundle)) as archive:
        assert archive.index(demo_clips[:1]).indexed == 1
        assert any("sentences were encoded" in notice for notice in archive.notices)
        result = archive.search(QUERIES[0], top_k=3, max_turns=2, candidates=1)
        assert result.verified_by == "universal heads"
        assert result.verdict.decision in {"match", "no_match"}
        assert 0 < (result.moments[0].match_probability or 0) < 1
        refined = [turn.refinement for turn in result.turns[1:] if turn.refinement]
        assert {one.method for one in refined} <= {"guide"}
        once = archive.search(QUERIES[0], one_shot=True)
        assert once.verdict.decision == "unverified"
        assert archive.search(LONG, top_k=1).moments


def test_capitals_are_read_as_small_letters(exported: Exported) -> None:
    """SigLIP's by what the export puts before its tokenizer, CLIP's by the tokenizer itself."""
    texts = ["A Red Car", "a red car", "a red cat"]
    with load_bundle(exported.bundle) as bundle:
        one, same, other = (bundle.encode_text([text]) for text in texts)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_graphs_that_are_not_the_source_s_are_noticed(exported: Exported) -> None:
    assert exported.source.reference_vectors is not None
    theirs = exported.source.reference_vectors
    fp32 = {
        TEXT_ENCODER: exported.work / "fp32" / "text.onnx",
        IMAGE_ENCODER: exported.work / "fp32" / "image.onnx",
    }
    check_vectors(exported.source, fp32)
    for place, role in enumerate((TEXT_ENCODER, IMAGE_ENCODER)):

        def wrong(texts: Any, pictures: Any, place: int = place) -> Any:
            vectors = list(theirs(texts, pictures))
            vectors[place] = vectors[place][::-1]
            return tuple(vectors)

        with pytest.raises(ExportError, match=f"the {role} of .* cannot be carried over"):
            check_vectors(replace(exported.source, reference_vectors=wrong), fp32)


def test_another_tokenizer_is_noticed(exported: Exported) -> None:
    assert exported.source.reference_ids is not None
    ours = exported.source.reference_ids
    wrong = replace(exported.source, reference_ids=lambda texts: [ids[::-1] for ids in ours(texts)])
    check_tokenizer(exported.source)
    with pytest.raises(ExportError, match="cannot be carried over"):
        check_tokenizer(wrong)


def test_a_bundle_is_its_own_for_each_preparation(exported: Exported, tmp_path: Path) -> None:
    """The same graphs with pictures fitted otherwise make other vectors: another archive."""
    numbers = exported.source.preprocessing
    other = replace(numbers, fit="stretch" if numbers.fit == "crop" else "crop")
    source = exported.source
    files = {
        IMAGE_ENCODER: [Graph(exported.bundle / "image.onnx", "int8")],
        TEXT_ENCODER: [Graph(exported.bundle / "text.onnx", "int8")],
        TOKENIZER: [Graph(source.tokenizer, None)],
    }
    made = [
        write_bundle(
            tmp_path / str(number),
            files,
            replace(source, preprocessing=one).fields() | {"parity": {}, "provenance": {}},
        )
        for number, one in enumerate((numbers, other))
    ]
    assert made[0].encoders_id != made[1].encoders_id


def test_it_is_carried_with_all_of_its_graphs(exported: Exported, tmp_path: Path) -> None:
    packed = pack_bundle(str(exported.bundle), tmp_path / "carried.tar")
    installed = install_file(packed.file, out=tmp_path / "site")
    assert {path.name for path in installed.folder.iterdir()} == {
        *("manifest.json", "tokenizer.json"),
        *("image.onnx", "image.fp16.onnx", "text.onnx", "text.fp16.onnx"),
    }
    spoilt = installed.folder / "text.fp16.onnx"
    content = bytearray(spoilt.read_bytes())
    content[len(content) // 2] ^= 1
    spoilt.write_bytes(content)
    with pytest.raises(BundleDamaged, match=r"text\.fp16\.onnx \(text_encoder\) was altered"):
        verify_bundle(installed.folder)


def test_a_further_graph_that_computes_something_else_is_refused(
    exported: Exported, tmp_path: Path
) -> None:
    """Whole, and named by the manifest; only running it shows what it is."""
    folder = shutil.copytree(exported.bundle, tmp_path / "bundle")
    spoilt = folder / "text.fp16.onnx"
    shutil.copyfile(folder / "image.fp16.onnx", spoilt)

    def change(manifest: dict[str, Any]) -> None:
        (entry,) = manifest["files"][TEXT_ENCODER]["alternatives"]
        entry |= {"sha256": sha256_of(spoilt), "bytes": spoilt.stat().st_size}

    edit_manifest(folder, change)
    with load_bundle(folder) as bundle, pytest.raises(BundleDamaged, match="text_encoder graph"):
        check_sound(bundle)
