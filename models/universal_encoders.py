"""Many small dual encoders: what universal heads are trained on, and what they are checked on.

Each is two small networks on top of two frozen towers (``models.towers``), trained in seconds, and
they differ in all that a head must not count on: towers, dimensions, loss (softmax or sigmoid),
temperature, how much they have seen, and how much all their vectors have in common. The photos of
heads and of val are none of theirs. Beside them stands one that is much stronger: that of the
package, as its bundle has it, asked about val photos alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from models.data.features import PhotoViews
from models.losses import info_nce
from models.training import one_cycle, take_step
from models.universal_texts import some_captions

BATCH, RATE, DECAY = 256, 1e-3, 0.1
AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an encoder is made. ``picture`` and ``text`` name towers, by "+" several of them side by
    side; ``temperature`` is None where it is learned; ``cone`` is the length of what is added to
    all pictures' unit vectors, and the opposite of it to texts'. ``loss`` "none" takes the towers'
    vectors as they are.
    """

    picture: str
    text: str
    dimensions: int = 384
    loss: str = "softmax"
    seed: int = 0
    share: float = 1.0
    temperature: float | None = None
    hidden: int | None = 768
    cone: float = 0.0
    passes: int = 24

    @property
    def families(self) -> frozenset[str]:
        """The towers it stands on; all sizes of EfficientNet-Lite are one family, and a tower that
        was trained further is of the family that it comes from.
        """
        names = f"{self.picture}+{self.text}".split("+")
        return frozenset(name.partition("-")[0].rstrip("012") for name in names)


RECIPES: Mapping[str, Recipe] = {
    "lite1-minilm": Recipe("lite1", "minilm"),
    "lite1-minilm-sigmoid": Recipe("lite1", "minilm", 256, "sigmoid", 1, cone=0.7),
    "lite0-minilm-linear": Recipe("lite0", "minilm", 512, seed=2, share=0.3, hidden=None),
    "lite0-minilm-wide": Recipe("lite0", "minilm", 768, seed=3, temperature=0.02, cone=1.0),
    "lite0-bge-weak": Recipe("lite0", "bge", 256, seed=4, share=0.1, passes=60),
    "lite1-bge": Recipe("lite1", "bge", 512, seed=5, cone=0.5),
    "lite0-bge-sigmoid": Recipe("lite0", "bge", 384, "sigmoid", 6),
    "squeezenet-minilm": Recipe("squeezenet", "minilm", 256, seed=7),
    "squeezenet-bge-sigmoid": Recipe("squeezenet", "bge", 512, "sigmoid", 8, cone=1.0),
    "squeezenet-minilm-cold": Recipe("squeezenet", "minilm", 128, seed=9, temperature=0.1),
    "lite1-words": Recipe("lite1", "words", 512, seed=10, cone=0.5),
    "lite0-words-sigmoid": Recipe("lite0", "words", 768, "sigmoid", 11),
    "squeezenet-words": Recipe("squeezenet", "words", 384, seed=12),
    "lites-minilm": Recipe("lite0+lite1", "minilm", 384, "sigmoid", 13),
    "lites-bge": Recipe("lite0+lite1", "bge", 512, seed=14, cone=0.5),
    "lites-words": Recipe("lite0+lite1", "words", 256, seed=15),
    "all-minilm": Recipe("lite0+lite1+squeezenet", "minilm", 512, seed=16, cone=0.7),
    "all-bge": Recipe("lite0+lite1+squeezenet", "bge", 384, seed=17),
    "all-both": Recipe("lite0+lite1+squeezenet", "minilm+bge", 512, "sigmoid", 18),
}
# The package's own encoder, whose towers were an EfficientNet-Lite and a MiniLM to begin with.
BUILT_IN = "built-in"
BUILT_IN_RECIPE = Recipe("lite-bundle", "minilm-bundle", loss="none")


def recipe_of(name: str) -> Recipe:
    """Of one of :data:`RECIPES`, or of the encoder that the package has."""
    return BUILT_IN_RECIPE if name == BUILT_IN else RECIPES[name]


class Towers:
    """What towers gave, read once: pictures by part, texts by their words."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept: dict[tuple[str, str], dict[str, NDArray[np.float16]]] = {}

    def pictures(self, towers: str, part: str) -> dict[str, NDArray[np.float16]]:
        """Of towers side by side: ``whole`` [n + 1, 2, C] and, where kept, ``regions``."""
        found = [self._pictures(tower, part) for tower in towers.split("+")]
        if len(found) == 1:
            return found[0]
        return {name: np.concatenate([one[name] for one in found], -1) for name in found[0]}

    def _pictures(self, tower: str, part: str) -> dict[str, NDArray[np.float16]]:
        if (tower, part) not in self._kept:
            self._kept[tower, part] = load_file(self.folder / tower / f"{part}.safetensors")
        return self._kept[tower, part]

    def captions(self, towers: str, part: str) -> list[list[str]]:
        tower = towers.split("+")[0]
        with safe_open(self.folder / tower / f"{part}.safetensors", "np") as file:
            captions: list[list[str]] = json.loads(file.metadata()["captions"])
        return some_captions(captions, part)

    def names(self, part: str) -> list[str]:
        """The texts of a part, in the order of their vectors."""
        names: list[str] = json.loads((self.folder / "texts" / f"{part}.json").read_text("utf-8"))
        return names

    def texts(self, towers: str, part: str) -> NDArray[np.float16]:
        """Sentence embeddings of them [m, H]; of several towers by "+" side by side."""
        paths = [self.folder / tower / f"{part}.safetensors" for tower in towers.split("+")]
        return np.concatenate([load_file(path)["vectors"] for path in paths], -1)


class AsTheyAre(nn.Module):
    """Towers that share a space already."""

    def pictures(self, features: Tensor) -> Tensor:
        return features

    def texts(self, features: Tensor) -> Tensor:
        return features


Encoder: TypeAlias = "SmallEncoder | AsTheyAre"


class SmallEncoder(nn.Module):
    """Pooled features of both towers → unit vectors of one space."""

    def __init__(self, recipe: Recipe, pictures: Tensor, texts: Tensor) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(recipe.seed)
        self.picture = _project(pictures, recipe.dimensions, recipe.hidden)
        self.text = _project(texts, recipe.dimensions, recipe.hidden)
        common = torch.randn(recipe.dimensions, generator=generator)
        self.common: Tensor
        self.register_buffer("common", recipe.cone * F.normalize(common, dim=0))

    def pictures(self, features: Tensor) -> Tensor:
        return F.normalize(F.normalize(self.picture(features), dim=-1) + self.common, dim=-1)

    def texts(self, features: Tensor) -> Tensor:
        return F.normalize(F.normalize(self.text(features), dim=-1) - self.common, dim=-1)


class Standardised(nn.Module):
    """Features less their mean, by their deviation."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", features.mean(0))
        self.register_buffer("deviation", features.std(0) + 1e-3)

    def forward(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.deviation


def _project(features: Tensor, dimensions: int, hidden: int | None) -> nn.Sequential:
    width = features.shape[-1]
    first = Standardised(features)
    if hidden is None:
        return nn.Sequential(first, nn.Dropout(0.3), nn.Linear(width, dimensions))
    return nn.Sequential(
        first,
        nn.Dropout(0.3),
        nn.Linear(width, hidden),
        nn.GELU(),
        nn.Dropout(0.3),
        nn.Linear(hidden, dimensions),
    )


def train_encoder(recipe: Recipe, towers: Towers) -> Encoder:
    """Train one on its share of the encoders' photos."""
    if recipe.loss == "none":
        return AsTheyAre()
    random = np.random.default_rng(recipe.seed)
    torch.manual_seed(recipe.seed)
    whole = torch.from_numpy(towers.pictures(recipe.picture, "encoders")["whole"]).float()
    number = {text: row for row, text in enumerate(towers.names("common"))}
    vectors = torch.from_numpy(towers.texts(recipe.text, "common")).float()
    groups = towers.captions(recipe.picture, "encoders")
    photos = random.permutation(len(groups))[: round(recipe.share * len(groups))]
    captions = [[number[one] for one in group] for group in groups]
    encoder = SmallEncoder(recipe, whole[photos].flatten(0, 1), vectors)
    scale = nn.Parameter(torch.tensor(float(np.log(1 / (recipe.temperature or 0.07)))))
    scale.requires_grad_(recipe.temperature is None)
    bias = nn.Parameter(torch.tensor(-5.0))
    parameters = [*encoder.parameters(), *([scale] if scale.requires_grad else []), bias]
    batch = min(BATCH, len(photos))
    steps = recipe.passes * (len(photos) // batch)
    optimiser, schedule = one_cycle([(parameters, RATE, DECAY)], steps)
    encoder.train()
    for step in range(steps):
        if step % (len(photos) // batch) == 0:
            order = random.permutation(photos)
        part = order[(step % (len(photos) // batch)) * batch :][:batch]
        chosen = [int(random.choice(captions[photo])) for photo in part]
        pictures = encoder.pictures(whole[part, torch.from_numpy(random.integers(0, 2, batch))])
        texts = encoder.texts(vectors[chosen])
        if recipe.loss == "sigmoid":
            loss = sigmoid_loss(pictures, texts, scale.exp(), bias)
        else:
            loss = info_nce(pictures, texts, scale.exp().clamp(max=100))
        take_step({"loss": loss}, parameters, optimiser, schedule)
    return encoder.requires_grad_(False).eval()


def sigmoid_loss(images: Tensor, texts: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Each pair by itself: SigLIP (Zhai et al., arXiv 2303.15343). Unit vectors [n, D] each."""
    logits = images @ texts.T * scale + bias
    wanted = 2 * torch.eye(len(logits)) - 1
    return -F.logsigmoid(wanted * logits).sum(1).mean()


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Photos and texts of one part as one encoder sees them: ``views`` of n photos, their
    ``captions``, the vectors of all texts [m, D] and where each text is, and the bank [b, D].
    """

    views: PhotoViews
    captions: list[list[str]]
    texts: NDArray[np.float32]
    number: dict[str, int]
    bank: NDArray[np.float32]


@torch.inference_mode()
def seen_by(recipe: Recipe, encoder: Encoder, towers: Towers, part: str, bank: int) -> Seen:
    """A part as this encoder sees it; of the common texts every other one of the last
    2 · ``bank`` is in the bank."""
    features = towers.pictures(recipe.picture, part)
    whole = _rows(encoder.pictures, features["whole"]).astype(np.float16)
    regions = _rows(encoder.pictures, features["regions"]).astype(np.float16)
    names = towers.names(part)
    return Seen(
        # Scenes go from one view to the other; mirrored ones there are none.
        PhotoViews(np.tile(whole, (1, 2, 1)), np.tile(regions, (1, 2, 1, 1))),
        towers.captions(recipe.picture, part),
        _rows(encoder.texts, towers.texts(recipe.text, part)),
        {text: row for row, text in enumerate(names)},
        _rows(encoder.texts, towers.texts(recipe.text, "common")[-2 * bank :: 2]),
    )


def _rows(encode: object, features: NDArray[np.float16]) -> NDArray[np.float32]:
    flat = torch.from_numpy(features.reshape(-1, features.shape[-1]))
    done = [encode(part.float()) for part in flat.split(AT_ONCE)]  # type: ignore[operator]
    return torch.cat(done).numpy().reshape(*features.shape[:-1], -1)


def recall(seen: Seen) -> float:
    """Text → photo R@1 in per cent over the part's photos, whole."""
    asked = [(p, seen.number[c]) for p, group in enumerate(seen.captions) for c in group]
    photos = seen.views.vectors[:-1, 0].astype(np.float32)
    found = (seen.texts[[row for _, row in asked]] @ photos.T).argmax(1)
    return 100 * float(np.mean(found == [photo for photo, _ in asked]))


def make_all(towers: Towers, names: Sequence[str], out: Path) -> dict[str, tuple[Recipe, Encoder]]:
    """Train these, or read them where they were trained before."""
    out.mkdir(parents=True, exist_ok=True)
    made: dict[str, tuple[Recipe, Encoder]] = {}
    for name in names:
        path = out / f"{name}.pt"
        if not path.exists():
            torch.save(train_encoder(recipe_of(name), towers), path)
        made[name] = recipe_of(name), torch.load(path, weights_only=False)
    return made
