"""The verifier that knows no encoder, and what it needs of one: it comes with the package, and
serves every bundle that has no dedicated one.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from vsr_edge.bundle.locate import sha256_of
from vsr_edge.bundle.manifest import (
    BANK,
    GRAPH_INPUTS,
    GRAPH_OUTPUTS,
    UNIVERSAL,
    Calibration,
    Manifest,
    fault_of,
)
from vsr_edge.config import cache_folder
from vsr_edge.errors import BundleDamaged
from vsr_edge.runtime.evidence import (
    PER_CANDIDATE,
    PER_FRAME,
    PER_PHRASE,
    PER_SENTENCE,
    Space,
)
from vsr_edge.runtime.heads import Floats, Judgements
from vsr_edge.runtime.session import Session, open_session
from vsr_edge.types import HalfVectors, Vectors

# In the package: what is known of the head, the head, and the sentences, one a line.
ABOUT_FILE, HEAD_FILE, SENTENCES_FILE = "head.json", "head.onnx", "sentences.txt.gz"
# A watch asks the same few sentences of every new video.
KEPT_TEXTS = 64
# In a manifest: what a universal head's logits mean with this bundle, if they were measured.
UNIVERSAL_CALIBRATION = "universal_calibration"
# How many numbers of evidence there are, by input: its last axis.
_NUMBERS = {
    "sentence": PER_SENTENCE,
    "phrases": PER_PHRASE,
    "neighbours": PER_FRAME,
    "candidate": PER_CANDIDATE,
}


@dataclass(frozen=True, slots=True)
class Shipped:
    """The head of the package: its id, file, and what its logits mean."""

    head_id: str
    path: Path
    calibration: Calibration


def package_folder() -> Path:
    """Where the head and the sentences lie."""
    return Path(str(resources.files("vsr_edge") / "bundle" / "universal"))


@cache
def shipped() -> Shipped:
    """The head of the package, verified.

    Raises:
        BundleDamaged: it is not whole.
    """
    folder = package_folder()
    path = folder / ABOUT_FILE
    try:
        about = json.loads(path.read_text("utf-8"))
        calibration = Calibration.model_validate(about["calibration"])
        head_id, sha256 = str(about["id"]), about["sha256"]
        found = sha256_of(folder / HEAD_FILE)
    except ValidationError as error:
        raise BundleDamaged(f"{path} is malformed: {fault_of(error)}") from error
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BundleDamaged(f"{path} cannot be read ({error}): install vsr-edge again") from error
    if found != sha256:
        raise BundleDamaged(f"{folder / HEAD_FILE} was altered: install vsr-edge again")
    return Shipped(head_id, folder / HEAD_FILE, calibration)


@cache
def sentences() -> tuple[str, ...]:
    """Of all that is said of pictures: what usual sentences are, m of them."""
    with gzip.open(package_folder() / SENTENCES_FILE, "rt", encoding="utf-8") as file:
        return tuple(file.read().splitlines())


class UniversalHead:
    """The head, with one bundle's encoders; safe to share by threads.

    Args:
        encode_text: the bundle's, sentences → float32 [n, D].
        background: gives the vectors of the bundle's pictures of all kinds.
        notify: is told what took long and need not be done again.
    """

    def __init__(
        self,
        manifest: Manifest,
        encode_text: Callable[[Sequence[str]], Vectors],
        background: Callable[[], HalfVectors],
        notify: Callable[[str], None],
        threads: int = 0,
    ) -> None:
        self._manifest, self._encode, self._notify = manifest, encode_text, notify
        self._background = background
        self._threads = threads
        self._texts: OrderedDict[tuple[str, ...], Vectors] = OrderedDict()
        self._space: tuple[HalfVectors, Space] | None = None
        self._lock = threading.RLock()

    @cached_property
    def calibration(self) -> Calibration:
        """What the head's logits mean: the bundle's own numbers, or those of the package."""
        own = self._manifest.raw.get(UNIVERSAL_CALIBRATION)
        if own is None:
            return shipped().calibration
        try:
            return Calibration.model_validate(own)
        except ValidationError as error:
            raise BundleDamaged(
                f"{self._manifest.folder}: {UNIVERSAL_CALIBRATION}: {fault_of(error)}"
            ) from error

    def judge(self, evidence: dict[str, Floats]) -> Judgements:
        """What the head says of K candidates (:func:`vsr_edge.runtime.evidence.evidence`)."""
        return Judgements(*self._session.run(list(GRAPH_OUTPUTS[UNIVERSAL]), evidence))

    def texts(self, sentence: str, phrases: Sequence[str]) -> Vectors:
        """The vectors of a sentence and its phrases, float32 [1 + P, D], encoded once."""
        asked = (sentence, *phrases)
        with self._lock:
            if asked in self._texts:
                self._texts.move_to_end(asked)
                return self._texts[asked]
        found = self._encode(asked)
        with self._lock:
            self._texts[asked] = found
            if len(self._texts) > KEPT_TEXTS:
                self._texts.popitem(last=False)
        return found

    def space(self, sample: HalfVectors) -> Space:
        """What texts and frames are held against: a ``sample`` of an archive [n, D], beside the
        bundle's background. The latest one is kept, for as long as the sample is the same array.
        """
        with self._lock:
            if self._space is None or self._space[0] is not sample:
                parts = [one.astype(np.float32) for one in (sample, self._background())]
                self._space = sample, Space(np.concatenate(parts), self.bank)
            return self._space[1]

    @property
    def waits(self) -> bool:
        """Whether the first question has to wait for the sentences to be encoded."""
        there = BANK in self._manifest.files or "bank" in self.__dict__
        kept = self._kept
        return not there and (kept is None or not kept.is_file())

    @property
    def _kept(self) -> Path | None:
        """Where the vectors of the sentences are kept, if anywhere."""
        if (folder := cache_folder()) is None:
            return None
        about = json.dumps([self._manifest.encoders_id, sentences()])
        return folder / "banks" / f"{hashlib.sha256(about.encode()).hexdigest()[:32]}.npy"

    @cached_property
    def bank(self) -> Vectors:
        """The vectors of :func:`sentences` float32 [m, D]: of the bundle's file, or encoded at
        first use and kept in the user's cache.
        """
        if BANK in self._manifest.files:
            return self._read(self._manifest.path(BANK)).astype(np.float32)
        kept = self._kept
        if kept is not None and kept.is_file():
            with suppress(BundleDamaged):  # then it is made anew
                return self._read(kept).astype(np.float32)
        started = time.perf_counter()
        vectors = self._encode(sentences()).astype(np.float16)
        took = time.perf_counter() - started
        where = "not kept: the user's cache cannot be written"
        if kept is not None and _written(kept, vectors):
            where = f"kept in {kept.parent}"
        self._notify(
            f"{self._manifest.bundle_id} has no verifier of its own: for the universal one, "
            f"{len(vectors)} sentences were encoded with it, once ({took:.0f} s, {where})"
        )
        return vectors.astype(np.float32)

    def _read(self, path: Path) -> HalfVectors:
        dim = self._manifest.dimensions.embedding
        try:
            vectors: HalfVectors = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise BundleDamaged(f"{path} holds no vectors: {error}") from error
        if vectors.dtype != np.float16 or vectors.shape[1:] != (dim,) or not len(vectors):
            raise BundleDamaged(f"{path} has {vectors.dtype} {vectors.shape}, not [m, {dim}]")
        if not np.isfinite(vectors).all():
            raise BundleDamaged(f"{path} holds numbers that are none")
        return vectors

    @cached_property
    def _session(self) -> Session:
        own = UNIVERSAL in self._manifest.files
        variants = self._manifest.variants(UNIVERSAL) if own else {"fp32": shipped().path}
        session = open_session(variants, provider="cpu", threads=self._threads)
        for verb, shapes, wanted in (
            ("takes", session.inputs, GRAPH_INPUTS[UNIVERSAL]),
            ("gives", session.outputs, GRAPH_OUTPUTS[UNIVERSAL]),
        ):
            numbers = {name: _NUMBERS.get(name, shape[-1]) for name, shape in shapes.items()}
            fits = all(shape[-1] == numbers[name] for name, shape in shapes.items())
            if not fits or {name: len(shape) for name, shape in shapes.items()} != wanted:
                raise BundleDamaged(f"the universal head {verb} {shapes}, not {wanted}")
        return session


def _written(path: Path, vectors: HalfVectors) -> bool:
    """Whether an array could be kept there, wholly or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                np.save(file, vectors)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError:
        return False
    return True
