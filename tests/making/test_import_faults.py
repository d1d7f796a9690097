"""What a published encoder lacks is named or left out, and the rest of it works."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from tests.export.random_models import SIDE
from tests.making import published_models as made_here
from tests.making.small_networks import DIM, MeanPicturesOf
from tests.making.test_importing import imported, published_as
from vsr_edge import load_bundle, open_archive
from vsr_edge.bundle.locate import verify_bundle
from vsr_edge.bundle.verify import check_sound
from vsr_edge.errors import BundleDamaged, NoDualEncoder, UsageError

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("published")


class Odd(torch.nn.Module):
    """Words and pictures without a table, and without a grid."""

    def __init__(self, what: str, width: int) -> None:
        super().__init__()
        self.what = what
        self.first = torch.nn.Linear(width, 32)
        self.second = torch.nn.Linear(32, DIM)

    def forward(self, given: torch.Tensor) -> Any:
        if self.what == "text":
            hot = (given[..., None] == torch.arange(self.first.in_features)).to(torch.float32)
            return self.second(torch.tanh(self.first(hot).mean(1)))
        return self.second(torch.tanh(self.first(given.flatten(1))))


def test_what_a_graph_cannot_give_is_left_out_and_the_rest_searches(
    shelf: Path, tmp_path: Path, demo_clips: list[Path]
) -> None:
    folder = shutil.copytree(published_as("clip", shelf), tmp_path / "odd")
    torch.manual_seed(0)
    ids = torch.ones(2, 9, dtype=torch.int64)
    text, image = (folder / "onnx" / f"{side}_model.onnx" for side in ("text", "vision"))
    made_here.export(
        Odd("text", 1100),
        text,
        {"input_ids": (ids, made_here.ROWS)},
        {"text_embeds": made_here.BATCH},
    )
    made_here.export(
        Odd("image", 3 * SIDE**2),
        image,
        {"pixel_values": (made_here.PIXELS, made_here.BATCH)},
        {"image_embeds": made_here.BATCH},
    )
    said = imported(folder, tmp_path / "bundle")
    assert sum("left out" in one for one in said) == 2
    with load_bundle(tmp_path / "bundle") as bundle:
        check_sound(bundle)
        dims = bundle.manifest.dimensions
        assert (dims.soft_tokens, dims.hidden, dims.regions) == (0, 32, 0)
        assert set(bundle.manifest.raw["provenance"]["left_out"]) == {"soft_tokens", "regions"}
        assert bundle.encode_frames(np.zeros((1, 8, 8, 3), np.uint8))[1] is None
        assert bundle.encode_queries(["a dog"]).states.shape[2] == 32
        with pytest.raises(UsageError, match="no entrance for soft tokens"):
            bundle.encode_queries(["a dog"], np.zeros((1, 8, 32), np.float32))
    with open_archive(tmp_path / "archive", bundle=str(tmp_path / "bundle")) as archive:
        assert archive.index(demo_clips[:1]).indexed == 1
        assert archive.search("a dog").verdict.decision == "unverified"


def without(*names: str) -> Any:
    def change(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return change


def rewritten(name: str, **fields: Any) -> Any:
    def change(folder: Path) -> None:
        document = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(document | fields))

    return change


def cut_off(folder: Path) -> None:
    path = folder / "onnx" / "text_model.onnx"
    path.write_bytes(path.read_bytes()[:5000])


def unprojected(folder: Path) -> None:
    path = folder / "onnx" / "text_model.onnx"
    model = onnx.load(path)
    model.graph.node[-1].output[0] = model.graph.output[0].name = "pooler_output"
    onnx.save(model, path)


def other_tower(folder: Path) -> None:
    path = folder / "onnx" / "vision_model.onnx"
    torch.manual_seed(0)
    other = MeanPicturesOf(20)
    axes = made_here.BATCH
    inputs = {"pixel_values": (made_here.PIXELS, axes)}
    made_here.export(other, path, inputs, {"image_embeds": axes})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without("config.json"), "has no config.json"),
        (without("preprocessor_config.json"), "has no preprocessor_config.json"),
        (without("tokenizer.json"), "has no tokenizer.json"),
        (without("onnx/text_model.onnx"), "no text and no image graph.*found: onnx/vision_model"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json of .* cannot be"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "is not a tokenizer"),
        (cut_off, "text_model.onnx is no ONNX graph, or cut off"),
        (unprojected, "gives pooler_output, and none of .*before the projection"),
        (other_tower, "vectors of 48 and 20 numbers"),
        (rewritten("preprocessor_config.json", size={"shortest_edge": 80}), "resizes pictures to"),
        (rewritten("preprocessor_config.json", resample=1), "in a way that the runtime cannot"),
        (rewritten("preprocessor_config.json", do_resize=False), "without do_resize"),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    change: Any, reason: str, shelf: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(published_as("clip", shelf), tmp_path / "clip")
    change(folder)
    with pytest.raises((NoDualEncoder, BundleDamaged), match=reason):
        imported(folder, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
    assert not list(tmp_path.glob(".*"))


def with_text(**fields: Any) -> Any:
    def change(folder: Path) -> None:
        document = json.loads((folder / "config.json").read_text())
        document["text_config"] |= fields
        (folder / "config.json").write_text(json.dumps(document))

    return change


def prepared(**fields: Any) -> Any:
    return rewritten("preprocessor_config.json", **fields)


def with_token(**fields: Any) -> Any:
    def change(folder: Path) -> None:
        (folder / "tokenizer_config.json").write_text(json.dumps(fields))

    return change


@pytest.mark.parametrize(
    "change",
    [
        prepared(size={"shortest_edge": None}),
        prepared(size={"shortest_edge": "x"}),
        prepared(size="x"),
        prepared(size={"height": [], "width": []}),
        prepared(resample=[3]),
        prepared(image_mean=["a", 0, 0]),
        prepared(rescale_factor=0),
        prepared(rescale_factor=None),
        with_text(max_position_embeddings="x"),
        with_token(pad_token=["a"]),
        with_token(model_max_length="x"),
    ],
)
def test_a_configuration_that_cannot_be_ends_in_a_sentence(
    change: Any, shelf: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(published_as("clip", shelf), tmp_path / "clip")
    change(folder)
    with pytest.raises(NoDualEncoder, match="the configuration of clip says what cannot be"):
        imported(folder, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_padding_that_cannot_be_ends_in_a_sentence(shelf: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(published_as("clip", shelf), tmp_path / "clip")
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        (folder / name).write_text("{}")
    with_text(pad_token_id="x")(folder)
    with pytest.raises(NoDualEncoder, match="the configuration of clip says what cannot be"):
        imported(folder, tmp_path / "bundle")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("out", ["work/clip", "work", "work/clip/../../work", "work/link"])
def test_a_source_is_not_overwritten_by_what_is_made_of_it(
    out: str, shelf: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(published_as("clip", shelf), tmp_path / "work" / "clip")
    if out.endswith("link"):
        (tmp_path / out).symlink_to(folder, target_is_directory=True)
    before = contents(tmp_path / "work")
    with pytest.raises(UsageError, match="files that it is made of"):
        imported(folder, tmp_path / out)
    assert contents(tmp_path / "work") == before


@pytest.mark.parametrize("manifest", ['{"name": "an app"}', "[]", "no JSON", '{"format": ["x"]}'])
def test_a_manifest_that_is_no_bundles_is_left_where_it_is(
    manifest: str, shelf: Path, tmp_path: Path
) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "manifest.json").write_text(manifest)
    before = contents(tmp_path / "app")
    with pytest.raises(UsageError, match=r"app.manifest\.json is no bundle's"):
        imported(published_as("clip", shelf), tmp_path / "app")
    assert contents(tmp_path / "app") == before


def test_a_bundle_is_replaced_by_another_one_inside_its_source_or_elsewhere(
    shelf: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(published_as("clip", shelf), tmp_path / "clip")
    for _ in range(2):
        imported(folder, folder / "bundle")
        verify_bundle(folder / "bundle")


def test_a_precision_that_is_not_published_is_said(shelf: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no graphs in uint8; there are: fp32"):
        imported(published_as("clip", shelf), tmp_path / "bundle", precision="uint8")


def test_tampering_is_refused(shelf: Path, tmp_path: Path) -> None:
    imported(published_as("clip", shelf), tmp_path / "bundle")
    path = tmp_path / "bundle" / "text.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleDamaged, match=r"text\.onnx \(text_encoder\) was altered"):
        verify_bundle(tmp_path / "bundle")
