"""What can be exported and what cannot: checkpoints that are odd, incomplete or damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from export.contract import ExportError
from export.families import cells_of
from export.pipeline import EncoderOptions, export_encoder
from export.sources import open_source
from tests.export.in_process import call
from tests.export.random_models import save_random_model
from vsr_edge import load_bundle
from vsr_edge.errors import ParityError

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("side", [3, 7, 14, 16])
def test_every_patch_lies_in_a_cell(side: int) -> None:
    cells = cells_of(side).reshape(9, side, side)
    assert (cells.sum(0) >= 1).all()
    assert (cells.sum(0) == 1).all() == (side % 3 == 0)
    centre = cells[4, side // 2, side // 2]
    assert centre == 1
    assert cells[0, 0, 0] == cells[8, -1, -1] == 1
    assert cells[0, -1, -1] == 0


def test_a_checkpoint_without_one_of_its_sides_is_refused(tmp_path: Path) -> None:
    """Transformers would fill what is missing with random numbers."""
    folder = save_random_model("clip", tmp_path / "checkpoint")
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("text_model")}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ExportError, match=r"lacks \d+ of the weights of a clip"):
        open_source(str(folder), work=tmp_path / "work")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"do_normalize": False}, "without do_normalize"),
        ({"do_center_crop": False}, "without do_center_crop"),
        ({"do_rescale": False, "do_resize": False}, "without do_resize, do_rescale"),
        ({"resample": 0}, "with filter 0"),
        ({"size": {"shortest_edge": 72}}, "crops them to"),
    ],
)
def test_pictures_that_the_runtime_could_not_prepare_are_refused(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    folder = save_random_model("clip", tmp_path / "checkpoint")
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ExportError, match=reason):
        open_source(str(folder), work=tmp_path / "work")


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, name: str) -> None:
    folder = save_random_model("clip", tmp_path / "checkpoint")
    (folder / name).write_bytes((folder / name).read_bytes()[:100])
    with pytest.raises(ExportError, match=r"cannot be loaded|no checkpoint of Transformers"):
        open_source(str(folder), work=tmp_path / "work")


def test_a_file_of_a_checkpoint_is_not_the_checkpoint(tmp_path: Path) -> None:
    folder = save_random_model("clip", tmp_path / "checkpoint")
    with pytest.raises(ExportError, match="name its folder"):
        open_source(str(folder / "model.safetensors"), work=tmp_path / "work")


@pytest.mark.parametrize("folder", [".", "checkpoint/", "../{}/checkpoint"])
def test_a_bundle_is_called_after_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    save_random_model("clip", tmp_path / "checkpoint")
    monkeypatch.chdir(tmp_path / "checkpoint" if folder == "." else tmp_path)
    source = open_source(folder.format(tmp_path.name), work=tmp_path / "work")
    assert source.name == source.provenance["source"] == "checkpoint"
    assert str(tmp_path) not in source.licence


def test_what_cannot_be_exported_is_named(tmp_path: Path) -> None:
    from transformers import BertConfig

    with pytest.raises(ExportError, match=r"no checkpoint of Transformers.*config\.json"):
        open_source(str(tmp_path), work=tmp_path / "work")
    BertConfig().save_pretrained(tmp_path / "bert")
    with pytest.raises(ExportError, match="'bert'; what can be exported: clip"):
        open_source(str(tmp_path / "bert"), work=tmp_path / "work")
    with pytest.raises(ExportError, match="is no file"):
        open_source(str(tmp_path / "none.safetensors"), work=tmp_path / "work")


def test_past_tolerance_nothing_is_written(tmp_path: Path) -> None:
    checkpoint = save_random_model("clip", tmp_path / "checkpoint")
    with pytest.raises(ParityError, match=r"image_encoder in int8.*at least 0\.9999999"):
        export_encoder(
            open_source(str(checkpoint), work=tmp_path / "work"),
            tmp_path / "out",
            tmp_path / "work",
            EncoderOptions(
                precision="fp32",
                image_precision="int8",
                calibration_count=8,
                parity_count=8,
                min_cosine=0.9999999,
            ),
        )
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_without_its_tokenizer_is_named(tmp_path: Path) -> None:
    folder = save_random_model("clip", tmp_path / "checkpoint")
    for name in ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(ExportError, match="cannot be loaded"):
        open_source(str(folder), work=tmp_path / "work")


def test_wide_pictures_can_be_seen_whole(tmp_path: Path) -> None:
    checkpoint = save_random_model("clip", tmp_path / "checkpoint")
    counts = ["--calibration-count", "8", "--parity-count", "8", "--precision", "fp32"]
    done = call(
        *("encoder", checkpoint, "--fit", "stretch", *counts),
        *("--out", tmp_path / "bundle", "--work", tmp_path / "work"),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    wide = np.zeros((64, 192, 3), np.uint8)
    edge = wide.copy()
    edge[:, :32] = 255
    with load_bundle(tmp_path / "bundle") as bundle:
        assert bundle.manifest.preprocessing.fit == "stretch"
        one, other = bundle.encode_images([wide, edge])
    assert one @ other < 0.999


def test_a_checkpoint_or_something_else_is_not_overwritten_by_its_bundle(tmp_path: Path) -> None:
    checkpoint = save_random_model("clip", tmp_path / "checkpoints" / "clip")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "manifest.json").write_text("{}")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for out, said in (
        (checkpoint, "files that it is made of"),
        (checkpoint.parent, "files that it is made of"),
        (tmp_path / "app", "is no bundle's"),
        (tmp_path / "app" / "manifest.json", "is a file"),
    ):
        done = call("encoder", checkpoint, "--out", out)
        assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before
