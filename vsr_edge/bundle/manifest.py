"""The manifest of a bundle: what its files are, parsed and checked before anything is trusted.

All of it is data: reading a manifest runs nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from vsr_edge.errors import BundleDamaged
from vsr_edge.runtime.preprocess import Preprocessing
from vsr_edge.runtime.tokens import LEAST_ROOM, TextInput
from vsr_edge.types import Correction

# 2: how pictures are fitted and sentences padded, graphs in further precisions, and a seal.
SCHEMA_VERSION = 2
# The field that holds the sha256 of all others.
SEAL = "sha256"
FORMAT = "vsr-edge-bundle"
MANIFEST_FILE = "manifest.json"
# What travels beside the files that the manifest names. The manifest vouches for none of it:
# nothing reads these but people.
DOCUMENTS = ("MODEL_CARD.md", "LICENSE", "NOTICE")
IMAGE_ENCODER = "image_encoder"
TEXT_ENCODER = "text_encoder"
TOKENIZER = "tokenizer"
# A bundle without the first is verified by heads that know no encoder.
GROUNDING = "grounding"
REFINER = "refiner"
# Words and phrases with their vectors, by which a refinement is explained.
CONCEPTS = "concepts"
# Vectors of pictures of all kinds, beside which a small archive's are no odd ones.
BACKGROUND = "background"
# A verifier and grounder that knows no encoder (:mod:`vsr_edge.runtime.evidence`), for a bundle
# that brings one of its own in place of the one of the package; and the vectors of the package's
# sentences, for one that need not be computed at first use.
UNIVERSAL = "universal"
BANK = "bank"
REQUIRED_ROLES = (IMAGE_ENCODER, TEXT_ENCODER, TOKENIZER)

# What heads are trained on, and searches show them: a candidate reaches so many frames before and
# after its best one; a refinement learns from so many rejected candidates, the first retrieved, and
# gives so many soft tokens.
REACH, EVIDENCE, SOFT_TOKENS = 12, 3, 8

# Names, order and number of axes of every graph's tensors: the contract between export and runtime.
_QUERY = {"token_states": 3, "token_mask": 2, "query": 2, "frames": 3, "frame_regions": 4}
GRAPH_INPUTS: dict[str, dict[str, int]] = {
    IMAGE_ENCODER: {"pixels": 4},
    TEXT_ENCODER: {"input_ids": 2, "attention_mask": 2, "soft_tokens": 3},
    GROUNDING: {**_QUERY, "frame_mask": 2},
    REFINER: {**_QUERY, "about": 3, "evidence_mask": 2},
    UNIVERSAL: {
        "sentence": 3,
        "phrases": 4,
        "phrase_mask": 2,
        "neighbours": 3,
        "frame_mask": 2,
        "candidate": 2,
    },
}
_JUDGEMENTS = {"match": 1, "start": 2, "end": 2, "relevance": 2}
GRAPH_OUTPUTS: dict[str, dict[str, int]] = {
    IMAGE_ENCODER: {"vector": 2, "regions": 3},
    TEXT_ENCODER: {"vector": 2, "token_states": 3},
    GROUNDING: _JUDGEMENTS,
    REFINER: {"soft_tokens": 3},
    UNIVERSAL: _JUDGEMENTS,
}
# What an encoder of others may lack: the entrance for soft tokens and the states of its tokens
# (then nothing is refined by them), regions (then no head looks at them).
OPTIONAL = {"soft_tokens", "token_states", "regions"}

# Names that are one and the same plain file on every system: no separators, no drive or stream, no
# leading dot, nothing that a terminal or a shell would take amiss.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}", re.ASCII)
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.ASCII | re.IGNORECASE)


def is_plain_name(name: str) -> bool:
    """Is this the name of a file, and of nothing else, wherever it is written?"""
    return bool(_PLAIN.fullmatch(name)) and not name.endswith(".") and not _DEVICE.fullmatch(name)


def must(hold: Callable[[Any], object], otherwise: str) -> AfterValidator:
    """For a field: what its value must fulfil, and what is said of one that does not."""

    def check(value: Any) -> Any:
        if not hold(value):
            raise ValueError(otherwise)
        return value

    return AfterValidator(check)


PlainName = Annotated[str, must(is_plain_name, "not a plain file name")]
Size = Annotated[int, must(lambda size: size > 0, "a dimension below 1")]
Count = Annotated[int, must(lambda count: count >= 0, "a negative number")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Vector = tuple[Finite, ...]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class BundleFile(_Part):
    """One file of the bundle; ``precision`` is None for what is not a graph.

    ``alternatives`` are the same graph in other precisions, for other execution providers.
    """

    file: PlainName
    sha256: str
    size_bytes: Annotated[int, must(lambda size: size >= 0, "a negative size")] = Field(
        alias="bytes"
    )
    precision: str | None = None
    alternatives: tuple[BundleFile, ...] = ()


class Dimensions(_Part):
    """``embedding`` D, ``hidden`` H of the token states, ``regions`` R a frame, ``image`` side in
    pixels. 0 is what the graphs do not have.
    """

    embedding: Size
    hidden: Count
    regions: Count
    image: Size
    soft_tokens: Count
    max_tokens: Size


class GoldenText(_Part):
    """A sentence and the vector that the exporting machine got for it."""

    text: str
    vector: Vector


class GoldenImage(_Part):
    """A generated picture, by its seed, and the vector that the exporting machine got for it."""

    seed: int
    vector: Vector


class Golden(_Part):
    """What every machine must compute."""

    texts: tuple[GoldenText, ...]
    images: tuple[GoldenImage, ...]


class Calibration(_Part):
    """How sure is sure.

    Candidates are ordered by match logit + ``score_weight`` · inner product of query and best
    frame. The first one matches with probability σ(``slope`` · that + ``z_weight`` · z + ``bias`` −
    ``size_weight`` · ln(frames searched / 1000)). z is how many standard deviations its score lies
    above what footage scores for this very query (for universal heads, which know that: for any
    sentence); the more is searched, the likelier something only looks like it. Fewer frames than
    ``fewest_frames`` were not measured, and count as so many. From the probability ``threshold`` on
    it counts as a match, from ``sure`` on no other is looked for.

    Of the questions that it was measured by, a share of ``absent`` was about what was not there,
    and so were ``absent_of_wrong`` of those that were answered wrongly; None where nobody counted.
    """

    score_weight: Finite = Field(ge=0)
    slope: Finite = Field(gt=0)
    bias: Finite
    size_weight: Finite = Field(ge=0)
    z_weight: Finite = Field(default=0.0, ge=0)
    fewest_frames: Finite = Field(ge=1)
    threshold: Finite = Field(gt=0)
    sure: Finite = Field(le=1)
    absent: Finite | None = Field(default=None, ge=0, lt=1)
    absent_of_wrong: Finite | None = Field(default=None, ge=0, le=1)

    def probability(
        self, order: NDArray[np.floating], z: NDArray[np.floating], frames: int
    ) -> NDArray[np.floating]:
        """That candidates with these, [n] each, match, among so many frames."""
        rivals = self.size_weight * math.log(max(frames, self.fewest_frames) / 1000)
        logits = self.slope * order + self.z_weight * z + self.bias - rivals
        return np.asarray(1 / (1 + np.exp(-logits)))

    def corrected(self, correction: Correction | None) -> Calibration:
        """With log-odds as they should be in an archive.

        What is likelier than was said is accepted as before, what is less likely is not: the
        threshold goes up with the probabilities, but not down. By the share of absent questions
        alone it goes down too: the right answers, of which so many are to be accepted, are as
        before.
        """
        if correction is None:
            return self
        names = ("slope", "z_weight", "size_weight", "bias")
        numbers = {name: getattr(self, name) * correction.slope for name in names}
        numbers["bias"] += correction.bias
        for name in ("threshold", "sure"):
            told = getattr(self, name)
            if 0 < told < 1:
                odds = correction.slope * math.log(told / (1 - told)) + correction.bias
                moved = 1 / (1 + math.exp(-odds))
                alone = name == "threshold" and correction.absent is not None
                numbers[name] = moved if alone else max(told, moved)
        return self.model_copy(update=numbers)

    @model_validator(mode="after")
    def _is_surer_than_sure(self) -> Self:
        if self.threshold > self.sure:
            raise ValueError(f"a calibration that cannot be: {self}")
        return self


class Manifest(_Part):
    """All that the runtime reads; the rest (provenance, parity) is kept in ``raw`` for display.

    ``folder`` is where it was read, and where the files are that it names.
    ``encoders_id`` names what the stored vectors depend on: bundles that differ in their heads
    alone can search the same archive. ``calibration`` is None where no heads of its own verify.
    """

    folder: Path
    bundle_id: str = Field(alias="id")
    encoders_id: str = Field(alias="encoders")
    name: str
    licence: str
    files: dict[str, BundleFile]
    graphs: dict[str, dict[str, tuple[str, ...]]]
    dimensions: Dimensions = Field(alias="dims")
    preprocessing: Preprocessing
    text: TextInput
    calibration: Calibration | None
    golden: Golden
    raw: dict[str, Any]

    @property
    def language(self) -> str | None:
        """Of the sentences that it reads, as in "en"; None where nobody says."""
        provenance = self.raw.get("provenance")
        found = provenance.get("language") if isinstance(provenance, Mapping) else None
        return found if isinstance(found, str) else None

    @property
    def counts_hubness(self) -> bool:
        """Whether the last number of a picture's vector is no part of what it shows, but (less than
        0) how near it is to sentences of all kinds; then that of every sentence is √½.
        """
        last = [text.vector[-1] for text in self.golden.texts]
        return bool(last) and all(abs(number - 0.5**0.5) < 1e-3 for number in last)

    def has(self, name: str) -> bool:
        """Do the encoders take or give this, of ``OPTIONAL``?"""
        sides = (self.graphs[TEXT_ENCODER], self.graphs[IMAGE_ENCODER])
        return any(name in (*side["inputs"], *side["outputs"]) for side in sides)

    @property
    def named_files(self) -> list[tuple[str, BundleFile]]:
        """Every file, alternatives too, with the role it has."""
        return [(r, one) for r, entry in self.files.items() for one in (entry, *entry.alternatives)]

    def path(self, role: str) -> Path:
        """Of the file of a role."""
        return self.folder / self.files[role].file

    def variants(self, role: str) -> dict[str, Path]:
        """The graph of a role by precision, the bundle's own choice first."""
        entry = self.files[role]
        return {one.precision or "": self.folder / one.file for one in (entry, *entry.alternatives)}

    @model_validator(mode="after")
    def _files_are_apart_and_complete(self) -> Self:
        taken = {name.casefold(): name for name in (MANIFEST_FILE, *DOCUMENTS)}
        for role, entry in self.named_files:
            if other := taken.get(entry.file.casefold()):
                raise ValueError(f"it names {entry.file!r} ({role}), which collides with {other!r}")
            taken[entry.file.casefold()] = entry.file
        if missing := [role for role in REQUIRED_ROLES if role not in self.files]:
            raise ValueError(f"no file for {', '.join(missing)}")
        return self

    @model_validator(mode="after")
    def _graphs_keep_the_contract(self) -> Self:
        for role in GRAPH_INPUTS.keys() & self.files.keys():
            for side, verb, wanted in (
                ("inputs", "takes", GRAPH_INPUTS[role]),
                ("outputs", "gives", GRAPH_OUTPUTS[role]),
            ):
                found = list(self.graphs[role][side])
                lacking = wanted.keys() - found if role in REQUIRED_ROLES else set()
                if found != [name for name in wanted if name not in lacking & OPTIONAL]:
                    raise ValueError(f"{role} {verb} {found}, not {list(wanted)}")
        dims = self.dimensions
        for name, size in (("soft_tokens", dims.soft_tokens), ("regions", dims.regions)):
            if self.has(name) != (size > 0):
                raise ValueError(f"{name} = {size}, but its graphs say otherwise")
        if (self.has("soft_tokens") or self.has("token_states")) != (dims.hidden > 0):
            raise ValueError(f"hidden = {dims.hidden}, but its text graph says otherwise")
        for head, needed in ((GROUNDING, "token_states regions"), (REFINER, "soft_tokens regions")):
            if head in self.files and not all(map(self.has, needed.split())):
                raise ValueError(f"a {head} head, but encoders that lack one of: {needed}")
        return self

    @model_validator(mode="after")
    def _numbers_can_be(self) -> Self:
        numbers, text = self.preprocessing, self.text
        if 0 in numbers.scale or not all(map(math.isfinite, (*numbers.mean, *numbers.scale))):
            raise ValueError("a preprocessing number that is not finite, or a scale of 0")
        if text.fill and text.positions is None:
            raise ValueError("rows filled up to no limit")
        # Beside the soft tokens there must be room for a word.
        least = self.dimensions.soft_tokens + LEAST_ROOM
        if text.positions is not None and text.positions < least:
            raise ValueError(f"{text.positions} positions leave no room for a word")
        vectors = [*(g.vector for g in self.golden.texts), *(g.vector for g in self.golden.images)]
        if any(len(vector) != self.dimensions.embedding for vector in vectors):
            raise ValueError("a golden vector of another dimension")
        return self


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
        fields = {**raw, "raw": raw, "folder": folder}
        if GROUNDING not in raw["files"] or raw["calibration"]["threshold"] is None:
            fields["calibration"] = None
        return Manifest.model_validate(fields)
    except ValidationError as error:
        raise BundleDamaged(f"{path} is incomplete or malformed: {fault_of(error)}") from error
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BundleDamaged(f"{path} is incomplete or malformed: {error!r}") from error


def fault_of(error: ValidationError) -> str:
    """The first fault that pydantic found, in one line: where, what stands there, and the matter
    with it.
    """
    first = error.errors(include_url=False)[0]
    where = ": ".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"{where} is missing"
    said = first["msg"].removeprefix("Value error, ")
    return f"{where} = {first['input']!r:.80}: {said}" if where else said


def digest_of(raw: Mapping[str, Any]) -> str:
    """The sha256 of a manifest's fields but the seal, whatever their order and layout."""
    rest = {name: value for name, value in raw.items() if name != SEAL}
    text = json.dumps(rest, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
