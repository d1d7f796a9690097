"""The manifest of a bundle: what its files are, parsed and checked before anything is trusted.

Written last by the export, as the mark that a bundle is complete. All of it is data: reading a
manifest runs nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, get_args

from vsr_edge.errors import BundleDamaged
from vsr_edge.runtime.preprocess import FilterKind, Fit, Preprocessing
from vsr_edge.runtime.tokens import LEAST_ROOM, TextInput

# 2: how pictures are fitted and sentences padded, graphs in further precisions, and a seal.
SCHEMA_VERSION = 2
# The field that holds the sha256 of all others.
SEAL = "sha256"
FORMAT = "vsr-edge-bundle"
MANIFEST_FILE = "manifest.json"
IMAGE_ENCODER = "image_encoder"
TEXT_ENCODER = "text_encoder"
TOKENIZER = "tokenizer"
# A bundle without these two searches in one shot and verifies nothing.
GROUNDING = "grounding"
REFINER = "refiner"
# Words and phrases with their vectors, by which a refinement is explained.
CONCEPTS = "concepts"
REQUIRED_ROLES = (IMAGE_ENCODER, TEXT_ENCODER, TOKENIZER)

# What heads are trained on, and searches show them: a candidate reaches so many frames before and
# after its best one; a refinement learns from so many rejected candidates, the first retrieved, and
# gives so many soft tokens.
REACH, EVIDENCE, SOFT_TOKENS = 12, 3, 8

# Names, order and number of axes of every graph's tensors: the contract between export and runtime.
GRAPH_INPUTS: dict[str, dict[str, int]] = {
    IMAGE_ENCODER: {"pixels": 4},
    TEXT_ENCODER: {"input_ids": 2, "attention_mask": 2, "soft_tokens": 3},
    GROUNDING: {
        "token_states": 3,
        "token_mask": 2,
        "query": 2,
        "frames": 3,
        "frame_regions": 4,
        "frame_mask": 2,
    },
    REFINER: {
        "token_states": 3,
        "token_mask": 2,
        "query": 2,
        "frames": 3,
        "frame_regions": 4,
        "about": 3,
        "evidence_mask": 2,
    },
}
GRAPH_OUTPUTS: dict[str, dict[str, int]] = {
    IMAGE_ENCODER: {"vector": 2, "regions": 3},
    TEXT_ENCODER: {"vector": 2, "token_states": 3},
    GROUNDING: {"match": 1, "start": 2, "end": 2, "relevance": 2},
    REFINER: {"soft_tokens": 3},
}


@dataclass(frozen=True, slots=True)
class BundleFile:
    """One file of the bundle; ``precision`` is None for what is not a graph.

    ``alternatives`` are the same graph in other precisions, for other execution providers.
    """

    file: str
    sha256: str
    size_bytes: int
    precision: str | None
    alternatives: tuple[BundleFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Dimensions:
    """``embedding`` D, ``hidden`` H of the token states, ``regions`` R a frame, ``image`` side in
    pixels.
    """

    embedding: int
    hidden: int
    regions: int
    image: int
    soft_tokens: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class GoldenText:
    """A sentence and the vector that the exporting machine got for it."""

    text: str
    vector: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class GoldenImage:
    """A generated picture, by its seed, and the vector that the exporting machine got for it."""

    seed: int
    vector: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """How sure is sure.

    Candidates are ordered by match logit + ``score_weight`` · inner product of query and best
    frame; the first one matches with probability σ(``slope`` · that + ``bias`` − ``size_weight`` ·
    ln(frames searched / 1000)): the more is searched, the likelier something only looks like it.
    Fewer frames than ``fewest_frames`` were not measured, and count as so many. From the
    probability ``threshold`` on it counts as a match, from ``sure`` on no other is looked for.
    """

    score_weight: float
    slope: float
    bias: float
    size_weight: float
    fewest_frames: float
    threshold: float
    sure: float


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that the runtime reads; the rest (provenance, parity) is kept in ``raw`` for display.

    ``encoders_id`` names what the stored vectors depend on: bundles that differ in their heads
    alone can search the same archive. ``calibration`` is None where nothing can be verified.
    ``language``, as in "en", is that of the sentences it reads; None where nobody says.
    """

    bundle_id: str
    encoders_id: str
    name: str
    licence: str
    files: dict[str, BundleFile]
    dimensions: Dimensions
    preprocessing: Preprocessing
    text: TextInput
    calibration: Calibration | None
    golden_texts: tuple[GoldenText, ...]
    golden_images: tuple[GoldenImage, ...]
    raw: Mapping[str, Any]

    @property
    def language(self) -> str | None:
        provenance = self.raw.get("provenance")
        found = provenance.get("language") if isinstance(provenance, Mapping) else None
        return found if isinstance(found, str) else None


def read_manifest(folder: Path) -> Manifest:
    """Parse ``manifest.json`` of a bundle's folder.

    Raises:
        BundleDamaged: it is missing, not JSON, of another format or version, or lacks something.
    """
    path = folder / MANIFEST_FILE
    try:
        raw = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise BundleDamaged(
            f"{folder} has no {MANIFEST_FILE}: it is not a bundle, or its export did not finish"
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise BundleDamaged(f"{path} cannot be read: {error}") from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise BundleDamaged(f"{path} is not the manifest of a {FORMAT}")
    if raw.get("schema_version") != SCHEMA_VERSION:
        raise BundleDamaged(
            f"{path} has schema version {raw.get('schema_version')!r}; this program reads "
            f"{SCHEMA_VERSION}: export the bundle again, or install the matching version"
        )
    try:
        if raw.get(SEAL) != digest_of(raw):
            raise BundleDamaged(
                f"{path} was altered (its {SEAL} differs from that of its fields): copy or export "
                "the bundle again"
            )
        return _parse(raw)
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise BundleDamaged(f"{path} is incomplete or malformed: {error!r}") from error


def digest_of(raw: Mapping[str, Any]) -> str:
    """The sha256 of a manifest's fields but the seal, whatever their order and layout."""
    rest = {name: value for name, value in raw.items() if name != SEAL}
    text = json.dumps(rest, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _parse(raw: dict[str, Any]) -> Manifest:
    files = {role: _file(entry) for role, entry in raw["files"].items()}
    names = [one.file for entry in files.values() for one in (entry, *entry.alternatives)]
    if len(set(names)) < len(names):
        raise ValueError("a file named twice")
    missing = [role for role in REQUIRED_ROLES if role not in files]
    if missing:
        raise ValueError(f"no file for {', '.join(missing)}")
    dimensions = Dimensions(**{name: int(raw["dims"][name]) for name in Dimensions.__slots__})
    if min(getattr(dimensions, name) for name in Dimensions.__slots__) < 1:
        raise ValueError("a dimension below 1")
    _check_contract(raw["graphs"], [role for role in GRAPH_INPUTS if role in files])
    return Manifest(
        bundle_id=str(raw["id"]),
        encoders_id=str(raw["encoders"]),
        name=str(raw["name"]),
        licence=str(raw["licence"]),
        files=files,
        dimensions=dimensions,
        preprocessing=_preprocessing(raw["preprocessing"]),
        text=_text_input(raw["text"], dimensions),
        calibration=_calibration(raw["calibration"]) if GROUNDING in files else None,
        golden_texts=tuple(
            GoldenText(str(g["text"]), _vector(g["vector"], dimensions))
            for g in raw["golden"]["texts"]
        ),
        golden_images=tuple(
            GoldenImage(int(g["seed"]), _vector(g["vector"], dimensions))
            for g in raw["golden"]["images"]
        ),
        raw=raw,
    )


def _file(entry: Mapping[str, Any]) -> BundleFile:
    return BundleFile(
        _plain_file_name(entry["file"]),
        str(entry["sha256"]),
        int(entry["bytes"]),
        entry.get("precision"),
        tuple(_file(other) for other in entry.get("alternatives", ())),
    )


def _plain_file_name(name: object) -> str:
    """A manifest must not point outside its folder."""
    text = str(name)
    if PurePosixPath(text).name != text or "\\" in text or text in {"", ".", ".."}:
        raise ValueError(f"{text!r} is not a plain file name")
    return text


def _check_contract(graphs: Mapping[str, Any], roles: Iterable[str]) -> None:
    for role in roles:
        inputs, declared = GRAPH_INPUTS[role], graphs[role]
        if list(declared["inputs"]) != list(inputs):
            raise ValueError(f"{role} takes {declared['inputs']}, not {list(inputs)}")
        if list(declared["outputs"]) != list(GRAPH_OUTPUTS[role]):
            raise ValueError(f"{role} gives {declared['outputs']}, not {list(GRAPH_OUTPUTS[role])}")


def _calibration(values: Mapping[str, Any]) -> Calibration | None:
    if values["threshold"] is None:
        return None
    found = Calibration(*(float(values[name]) for name in Calibration.__slots__))
    numbers = [getattr(found, name) for name in Calibration.__slots__]
    if not all(map(math.isfinite, numbers)) or not (
        found.slope > 0
        and min(found.score_weight, found.size_weight) >= 0
        and found.fewest_frames >= 1
        and 0 < found.threshold <= found.sure <= 1
    ):
        raise ValueError(f"a calibration that cannot be: {found}")
    return found


def _preprocessing(values: Mapping[str, Any]) -> Preprocessing:
    scale = _three(values["scale"])
    fit, kind = values["fit"], values["filter"]
    if 0 in scale:
        raise ValueError("a preprocessing scale of 0")
    if fit not in get_args(Fit) or kind not in get_args(FilterKind):
        raise ValueError(f"pictures fitted by {fit!r} with a {kind!r} filter")
    return Preprocessing(_three(values["mean"]), scale, fit, kind)


def _text_input(values: Mapping[str, Any], dimensions: Dimensions) -> TextInput:
    positions = None if values["positions"] is None else int(values["positions"])
    fill = values["fill"]
    if not isinstance(fill, bool) or (fill and positions is None):
        raise ValueError(f"rows filled by {fill!r} up to {positions}")
    # Beside the soft tokens there must be room for the marks of beginning and end and a word.
    if positions is not None and positions < dimensions.soft_tokens + LEAST_ROOM:
        raise ValueError(f"{positions} positions leave no room for a word")
    return TextInput(int(values["pad_id"]), str(values["pad_token"]), positions, fill)


def _three(values: list[Any]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    if not all(map(math.isfinite, (red, green, blue))):
        raise ValueError("a preprocessing number is not finite")
    return red, green, blue


def _vector(values: list[Any], dimensions: Dimensions) -> tuple[float, ...]:
    if len(values) != dimensions.embedding:
        raise ValueError("a golden vector of another dimension")
    vector = tuple(float(value) for value in values)
    if not all(map(math.isfinite, vector)):
        raise ValueError("a golden vector that is not finite")
    return vector
