"""Published graphs become bundles: what they computed before, they compute after."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from tests.bundle.hub import COMMIT, serving
from tests.making import published_models as made_here
from tests.making.published_models import PUBLISHED, add_precisions, move_weights_out, pixels
from vsr_edge import load_bundle, open_archive
from vsr_edge.bundle.locate import verify_bundle
from vsr_edge.bundle.manifest import IMAGE_ENCODER, TEXT_ENCODER
from vsr_edge.bundle.verify import check_sound
from vsr_edge.cli.app import app
from vsr_edge.errors import BundleDamaged, NoDualEncoder, ParityError, UsageError
from vsr_edge.making.graph_repairs import float_convolutions
from vsr_edge.making.importing import ImportOptions, import_bundle
from vsr_edge.making.onnx_graph import load
from vsr_edge.making.published import FolderFiles, read_published
from vsr_edge.runtime.preprocess import to_input
from vsr_edge.runtime.session import open_session

# Of any number of a unit vector, to the published graph.
EQUAL = 1e-5
SENTENCES = ["a dog", "a red car on the road at night", "two men and a horse beside a river"]
PIXEL_INPUTS, ID_INPUTS = ("pixel_values", "image"), ("input_ids", "text")
VECTORS = {
    TEXT_ENCODER: ("text_embeds", "l2norm_text_embeddings", "embedding", "pooler_output"),
    IMAGE_ENCODER: ("image_embeds", "l2norm_image_embeddings", "embedding", "pooler_output"),
}

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("published")


def published_as(family: str, shelf: Path) -> Path:
    """Made once; copy it before changing it."""
    folder = shelf / family
    if not folder.is_dir():
        PUBLISHED[family](folder)
    return folder


def imported(folder: Path, out: Path, **how: Any) -> list[str]:
    """Import a folder; what was said."""
    said: list[str] = []
    import_bundle(
        read_published(FolderFiles(folder)), out, ImportOptions(**how), said.append
    ).close()
    return said


@pytest.fixture(scope="module", params=PUBLISHED)
def both(request: pytest.FixtureRequest, shelf: Path) -> tuple[Path, Path]:
    """A published encoder, and the bundle of it."""
    folder = published_as(request.param, shelf)
    out = shelf / "bundles" / request.param
    imported(folder, out)
    return folder, out


def graphs_of(folder: Path, suffix: str = "") -> dict[str, Path]:
    if (folder / "textual").is_dir():
        files = "textual/model.onnx", "visual/model.onnx"
    elif (folder / "onnx" / f"text_model{suffix}.onnx").is_file():
        files = f"onnx/text_model{suffix}.onnx", f"onnx/vision_model{suffix}.onnx"
    else:
        files = (f"onnx/model{suffix}.onnx",) * 2
    return dict(zip(VECTORS, (folder / name for name in files), strict=True))


def as_published(path: Path, role: str, rows: np.ndarray[Any, Any], mask: Any = None) -> Any:
    """The unit vectors that a published graph gives, a row at a time."""
    session = open_session({"": path})
    output = next(name for name in VECTORS[role] if name in session.outputs)
    wanted = ID_INPUTS if role == TEXT_ENCODER else PIXEL_INPUTS
    vectors = []
    for place in range(len(rows)):
        feeds: dict[str, Any] = {}
        for name, shape in session.inputs.items():
            kind = session.kinds[name]
            if name in wanted:
                feeds[name] = rows[place : place + 1].astype(kind)
            elif name == "attention_mask" and mask is not None:
                feeds[name] = mask[place : place + 1].astype(kind)
            else:
                other = (1, 3, made_here.SIDE, made_here.SIDE) if len(shape) == 4 else (1, 9)
                if len(shape) != 4 and role == IMAGE_ENCODER:
                    other = (1, made_here.POSITIONS)
                feeds[name] = np.ones(other, kind)
        vectors.append(session.run([output], feeds)[0].astype(np.float32))
    found = np.concatenate(vectors)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def tokens_of(bundle: Any, texts: list[str]) -> Any:
    from vsr_edge.runtime.tokens import tokenize

    return tokenize(bundle._tokenizer, texts, bundle.manifest.text, 0)


def test_sentences_get_the_vectors_of_the_published_graph(both: tuple[Path, Path]) -> None:
    folder, out = both
    with load_bundle(out) as bundle:
        ids, mask = tokens_of(bundle, SENTENCES)
        expected = as_published(graphs_of(folder)[TEXT_ENCODER], TEXT_ENCODER, ids, mask)
        assert np.abs(bundle.encode_text(SENTENCES) - expected).max() <= EQUAL


def test_pictures_get_the_vectors_of_the_published_graph(both: tuple[Path, Path]) -> None:
    folder, out = both
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (3, 50, 70, 3), dtype=np.uint8)
    with load_bundle(out) as bundle:
        prepared = to_input(pictures, bundle.image_side, bundle.manifest.preprocessing)
        expected = as_published(graphs_of(folder)[IMAGE_ENCODER], IMAGE_ENCODER, prepared)
        vectors, regions = bundle.encode_frames(pictures)
        assert np.abs(vectors - expected).max() <= EQUAL
        assert regions is not None
        assert regions.shape == (3, 9, bundle.dim)
        np.testing.assert_allclose(np.linalg.norm(regions, axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_soft_tokens_that_are_words_mean_what_the_words_mean(
    both: tuple[Path, Path], count: int
) -> None:
    """Positions, masks and pooling, whatever the family: the sentence with the words in place."""
    folder, out = both
    text = "a man and a dog and a horse and a red car stand near the water of a river"
    table = word_table(graphs_of(folder)[TEXT_ENCODER])
    with load_bundle(out) as bundle:
        ids, mask = tokens_of(bundle, [text])
        end = int(mask.sum()) - 1
        assert end > count + 2
        words = ids[0, end - count : end]
        rest = np.delete(ids, np.arange(end - count, end), axis=1)
        real = np.delete(mask, np.arange(end - count, end), axis=1)
        session = open_session({"": out / "text.onnx"})
        feeds = {"input_ids": rest, "attention_mask": real, "soft_tokens": table[words][None]}
        vector, states = session.run(["vector", "token_states"], feeds)
        plain = bundle.encode_queries([text])
    assert np.abs(vector - plain.vectors).max() <= EQUAL
    # The states are those of the whole sentence, the soft tokens' last.
    kept = end - count
    assert np.abs(states[0, :kept] - plain.states[0, :kept]).max() <= 1e-4
    assert np.abs(states[0, -count:] - plain.states[0, kept:end]).max() <= 1e-4
    assert np.abs(states[0, kept] - plain.states[0, end]).max() <= 1e-4


def word_table(path: Path) -> np.ndarray[Any, np.dtype[np.float32]]:
    weights = onnx.load(path).graph.initializer
    shapes = [one for one in weights if len(one.dims) == 2 and one.dims[1] == made_here.HIDDEN]
    return numpy_helper.to_array(max(shapes, key=lambda one: one.dims[0])).astype(np.float32)


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_regions_are_those_of_an_export(family: str, shelf: Path) -> None:
    from transformers import AutoModel

    from export.families import FAMILIES

    folder = published_as(family, shelf)
    out = shelf / "bundles" / family
    if not out.is_dir():
        imported(folder, out)
    model = AutoModel.from_pretrained(shelf / f"{family}-checkpoint").eval()
    shown = pixels(2)
    found = open_session({"": out / "image.onnx"}).run(["regions"], {"pixels": shown})[0]
    with torch.no_grad():
        expected = FAMILIES[family].image(model)(torch.from_numpy(shown))[1].numpy()
    assert np.abs(found - expected).max() <= 1e-4


def test_the_bundle_is_sound_and_says_where_it_is_from(both: tuple[Path, Path]) -> None:
    folder, out = both
    with load_bundle(out) as bundle:
        check_sound(bundle)
        raw = bundle.manifest.raw
    assert raw["provenance"]["source"] == folder.name
    assert raw["provenance"]["left_out"] == {}
    for role in VECTORS:
        assert raw["parity"][role]["max_difference_to_source"] <= EQUAL
    assert not list(out.parent.glob(".*"))


@pytest.fixture(scope="module")
def precise(shelf: Path) -> Path:
    """CLIP in every precision."""
    folder = shelf / "precise" / "clip"
    shutil.copytree(published_as("clip", shelf), folder)
    add_precisions(folder)
    return folder


@pytest.mark.parametrize("precision", ["fp16", "int8", "uint8", "q8"])
def test_each_precision_is_what_was_published(
    precision: str, precise: Path, tmp_path: Path
) -> None:
    imported(precise, tmp_path / "bundle", precision=precision, min_cosine=0.5)
    suffix = {"fp16": "_fp16", "uint8": "_uint8"}.get(precision, "_int8")
    with load_bundle(tmp_path / "bundle") as bundle:
        raw = bundle.manifest.raw
        ids, mask = tokens_of(bundle, SENTENCES)
        found = np.concatenate([bundle.encode_text([one]) for one in SENTENCES])
        rows = [(i, int(mask[i].sum())) for i in range(len(ids))]
        path = graphs_of(precise, suffix)[TEXT_ENCODER]
        expected = np.concatenate(
            [
                as_published(path, TEXT_ENCODER, ids[i : i + 1, :n], mask[i : i + 1, :n])
                for i, n in rows
            ]
        )
        assert np.abs(found - expected).max() <= (5e-3 if precision == "fp16" else EQUAL)
        soft = np.zeros((1, 8, made_here.HIDDEN), np.float32)
        assert np.isfinite(bundle.encode_queries(["a dog"], soft).vectors).all()
    for role in VECTORS:
        assert raw["parity"][role]["precision"] == ("fp16" if precision == "fp16" else "int8")
        assert raw["parity"][role]["mean_cosine"] >= 0.5
        assert raw["parity"][role]["speedup"] > 0


@pytest.mark.parametrize("suffix", ["_int8", "_uint8"])
def test_convolutions_of_8_bits_can_compute_in_floating_point(
    suffix: str, precise: Path, tmp_path: Path
) -> None:
    """Some releases of onnxruntime have none for signed weights."""
    path = graphs_of(precise, suffix)[IMAGE_ENCODER]
    graph = load(path)
    assert float_convolutions(graph) == 1
    assert not any(node.op_type == "ConvInteger" for node in graph.graph.node)
    shown = pixels(2)
    found = as_published(graph.save(tmp_path / "float.onnx"), IMAGE_ENCODER, shown)
    assert (found * as_published(path, IMAGE_ENCODER, shown)).sum(1).min() > 0.99


def test_a_precision_that_strays_is_refused_and_nothing_is_written(
    precise: Path, tmp_path: Path
) -> None:
    with pytest.raises(ParityError, match="cosine to fp32"):
        imported(precise, tmp_path / "bundle", precision="int8", min_cosine=0.9999999)
    assert list(tmp_path.iterdir()) == []


def test_auto_takes_fp32_where_less_does_not_pass(precise: Path, tmp_path: Path) -> None:
    said = imported(precise, tmp_path / "bundle", min_cosine=0.9999999)
    manifest = verify_bundle(tmp_path / "bundle")
    assert {manifest.files[role].precision for role in VECTORS} == {"fp32"}
    assert any("fp32 is taken" in one for one in said)


def test_weights_beside_the_graph_are_taken_in(shelf: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(published_as("clip", shelf), tmp_path / "clip")
    imported(folder, tmp_path / "as-it-was")
    for path in graphs_of(folder).values():
        move_weights_out(path)
    imported(folder, tmp_path / "bundle")
    with load_bundle(tmp_path / "bundle") as one, load_bundle(tmp_path / "as-it-was") as other:
        np.testing.assert_allclose(
            one.encode_text(SENTENCES), other.encode_text(SENTENCES), atol=1e-6
        )
    (folder / "onnx" / "text_model.onnx_data").unlink()
    with pytest.raises(NoDualEncoder, match=r"text_model\.onnx_data"):
        imported(folder, tmp_path / "again")


def test_an_old_opset_is_cut_too(tmp_path: Path) -> None:
    made_here.publish_jina(tmp_path / "old", opset=12)
    imported(tmp_path / "old", tmp_path / "bundle")
    manifest = verify_bundle(tmp_path / "bundle")
    assert (manifest.dimensions.soft_tokens, manifest.dimensions.regions) == (8, 9)


class Odd(torch.nn.Module):
    """Words and pictures without a table, and without a grid."""

    def __init__(self, what: str, width: int) -> None:
        super().__init__()
        self.what = what
        self.first = torch.nn.Linear(width, 32)
        self.second = torch.nn.Linear(32, made_here.DIM)

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
        Odd("image", 3 * made_here.SIDE**2),
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
    other = made_here.MeanPicturesOf(20)
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


def test_only_what_is_needed_is_fetched_from_a_hub(
    precise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as hub:
        names = [path for path in precise.rglob("*") if path.is_file()]
        hub.repositories["someone/clip"] = {
            path.relative_to(precise).as_posix(): path.read_bytes() for path in names
        }
        command = ["bundle", "import", "someone/clip", "--precision", "fp32", "--json"]
        done = CliRunner().invoke(app, [*command, "--endpoint", hub.endpoint])
        assert done.exit_code == 0, done.output
        assert {one for one in hub.downloaded() if one.endswith(".onnx")} == {
            *("text_model.onnx", "vision_model.onnx")
        }
    raw = verify_bundle("clip").raw
    assert raw["provenance"]["source"] == "someone/clip"
    assert raw["provenance"]["revision"] == COMMIT


BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "transformers", "optimum", "onnxscript"}:
            raise ImportError(f"{name} is not here")

sys.meta_path.insert(0, Blocker())
sys.argv = ["vsr-edge", "bundle", "import", SOURCE, "--out", OUT, "--licence", "MIT"]
from vsr_edge.__main__ import main
try:
    main()
finally:
    assert not {"torch", "transformers", "optimum"} & {name.split(".")[0] for name in sys.modules}
"""


def test_it_needs_no_pytorch(shelf: Path, tmp_path: Path) -> None:
    folder, out = published_as("siglip", shelf), tmp_path / "bundle"
    code = f"SOURCE, OUT = {str(folder)!r}, {str(out)!r}\n{BLOCKED}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert verify_bundle(out).licence == "MIT"
