"""A loaded bundle: frames → vectors, text (+ soft tokens) → vectors and token states, and what its
heads say of them.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from vsr_edge import TELEMETRY_OFF_IN_TIME
from vsr_edge.bundle.checks import check_graph, check_start
from vsr_edge.bundle.golden import golden_picture
from vsr_edge.bundle.locate import verify_bundle
from vsr_edge.bundle.manifest import (
    BACKGROUND,
    CONCEPTS,
    GRAPH_OUTPUTS,
    GROUNDING,
    IMAGE_ENCODER,
    REFINER,
    REQUIRED_ROLES,
    TEXT_ENCODER,
    TOKENIZER,
    GoldenImage,
    GoldenText,
    Manifest,
)
from vsr_edge.bundle.universal_head import UniversalHead
from vsr_edge.config import usable_threads
from vsr_edge.errors import BundleDamaged, ProviderError, UsageError
from vsr_edge.runtime.heads import (
    Floats,
    Footage,
    Judgements,
    TextEncoding,
    grounding_inputs,
    refiner_inputs,
)
from vsr_edge.runtime.preprocess import Picture, check_pictures, to_input
from vsr_edge.runtime.session import CPU, Session, open_session
from vsr_edge.runtime.tokens import set_up_tokenizer, tokenize
from vsr_edge.runtime.words import Reading, read
from vsr_edge.types import HalfVectors, Pixels, Vectors

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TEXT_BATCH = 64
_TELEMETRY = (
    "onnxruntime was imported before vsr_edge, so its telemetry may have begun: import vsr_edge "
    "first, or set ORT_DISABLE_TELEMETRY=1"
)


@dataclass(frozen=True, slots=True, eq=False)
class Concepts:
    """m words and phrases with their vectors float32 [m, D]."""

    names: tuple[str, ...]
    vectors: Vectors


class Bundle:
    """The graphs of a verified bundle, loaded when first needed; safe to share by threads."""

    def __init__(self, manifest: Manifest, *, provider: str = "cpu", threads: int = 0) -> None:
        self.manifest = manifest
        self.provider = provider
        self.threads = threads
        self._sessions: dict[str, Session] = {}
        self._loading = threading.Lock()
        self._notices: list[str] = [] if TELEMETRY_OFF_IN_TIME else [_TELEMETRY]
        self._refused: list[str] = []

    @property
    def bundle_id(self) -> str:
        return self.manifest.bundle_id

    @property
    def encoders_id(self) -> str:
        """What archives are encoded with: the same for bundles that differ in their heads."""
        return self.manifest.encoders_id

    @property
    def dim(self) -> int:
        """D, the length of every vector."""
        return self.manifest.dimensions.embedding

    @property
    def image_side(self) -> int:
        """Side in pixels of the square that the image encoder reads."""
        return self.manifest.dimensions.image

    @property
    def image_batch(self) -> int:
        """How many pictures at once suit the provider; loads the image encoder."""
        return self._session(IMAGE_ENCODER).provider.batch

    @property
    def notices(self) -> list[str]:
        """What is to be said of the provider, in sentences for the user."""
        return [*self._notices, *self._refused]

    @property
    def refused(self) -> list[str]:
        """Why "auto" passed over providers that start, but compute rubbish: for the user."""
        return list(self._refused)

    def encode_text(self, texts: Sequence[str]) -> Vectors:
        """Sentences → unit vectors float32 [n, D]."""
        texts = _as_list(texts)
        parts = [
            self.encode_queries(texts[start : start + TEXT_BATCH]).vectors
            for start in range(0, len(texts), TEXT_BATCH)
        ]
        return np.concatenate([np.empty((0, self.dim), np.float32), *parts])

    def encode_queries(
        self, texts: Sequence[str], soft_tokens: NDArray[np.float32] | None = None
    ) -> TextEncoding:
        """Encode one batch with its token states.

        Args:
            texts: n sentences; what exceeds the encoder's length is cut, soft tokens never are.
            soft_tokens: float32 [n, N, H] in the space of the word embeddings; None for none.
        """
        texts = _as_list(texts)
        hidden = self.manifest.dimensions.hidden
        if soft_tokens is None:
            soft_tokens = np.zeros((len(texts), 0, hidden), np.float32)
        elif not self.manifest.has("soft_tokens"):
            raise UsageError(f"the text graph of {self.bundle_id} has no entrance for soft tokens")
        if soft_tokens.ndim != 3 or soft_tokens.shape[::2] != (len(texts), hidden):
            raise UsageError(
                f"soft tokens must be [{len(texts)}, N, {hidden}], not {list(soft_tokens.shape)}"
            )
        return TextEncoding(*self._run_text(self._session(TEXT_ENCODER), texts, soft_tokens))

    def _run_text(
        self, session: Session, texts: Sequence[str], soft_tokens: Floats
    ) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """The fields of a ``TextEncoding``."""
        ids, mask = tokenize(self._tokenizer, texts, self.manifest.text, soft_tokens.shape[1])
        feeds = {"input_ids": ids, "attention_mask": mask}
        if self.manifest.has("soft_tokens"):
            feeds["soft_tokens"] = soft_tokens.astype(np.float32, copy=False)
        outputs = list(self.manifest.graphs[TEXT_ENCODER]["outputs"])
        vectors, *states = session.run(outputs, feeds)
        mask = np.concatenate([mask, np.ones(soft_tokens.shape[:2], np.int64)], 1)
        unknown = np.zeros((*mask.shape, self.manifest.dimensions.hidden), np.float32)
        return vectors, states[0] if states else unknown, mask

    def read_query(self, text: str) -> Reading:
        """What of a sentence the text encoder does not know, and what is beyond its length."""
        manifest = self.manifest
        rooms = (manifest.dimensions.max_tokens, manifest.text.positions)
        room = min(room for room in rooms if room is not None)
        return read(self._tokenizer, text, room, manifest.language)

    def encode_images(self, images: Pixels | Sequence[Picture]) -> Vectors:
        """Pictures → unit vectors float32 [n, D].

        Args:
            images: uint8 [n, H, W, 3] RGB, or a list whose members are arrays uint8 [H, W, 3],
                images of Pillow, or paths of files, in any mixture; the latter two are turned as
                their EXIF says. Files are read a batch at a time.

        Raises:
            UsageError: something among them is no picture.
            UnreadableMedia: a file holds no picture; names it.
        """
        return self.encode_frames(images, regions=False)[0]

    def as_query(self, pictures: Vectors | HalfVectors) -> Vectors:
        """Pictures' vectors [..., D] as unit vectors float32 [..., D] to search with.

        Without their hubness, which says what sentences they are near to, and without counting that
        of what they are compared with: pictures find pictures better so (models/LOG.md).
        """
        vectors = np.array(pictures, np.float32)
        if self.manifest.counts_hubness:
            vectors[..., -1] = 0
        return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))

    def encode_frames(
        self, images: Pixels | Sequence[Picture], *, regions: bool = True
    ) -> tuple[Vectors, NDArray[np.float32] | None]:
        """Like :meth:`encode_images`, with region vectors float32 [n, R, D] beside them; None where
        they are not asked for or the image graph gives none.
        """
        check_pictures(images)
        dims, threads = self.manifest.dimensions, self.threads or usable_threads()
        vectors = np.empty((len(images), dims.embedding), np.float32)
        regions = regions and self.manifest.has("regions")
        shape = (len(images), dims.regions, dims.embedding)
        cells = np.empty(shape, np.float32) if regions else None
        names = ["vector", "regions"] if regions else ["vector"]
        session = self._session(IMAGE_ENCODER)
        provider = session.provider
        for start in range(0, len(images), provider.batch):
            part = slice(start, start + provider.batch)
            pixels = to_input(images[part], dims.image, self.manifest.preprocessing, threads)
            count = len(pixels)
            if empty := provider.filled(count) - count:
                pixels = np.pad(pixels, ((0, empty), (0, 0), (0, 0), (0, 0)))
            outputs = session.run(names, {"pixels": pixels})
            vectors[part] = outputs[0][:count]
            if cells is not None:
                cells[part] = outputs[1][:count]
        return vectors, cells

    def judge(self, query: TextEncoding, candidates: Footage) -> Judgements:
        """Does each candidate show what the query (a batch of one) says, and where?

        Raises:
            UsageError: the bundle has no grounding head.
        """
        return Judgements(*self._run_head(GROUNDING, grounding_inputs(query, candidates)))

    def refine(
        self, query: TextEncoding, rejected: Footage, match: Floats, unit_frames: Floats
    ) -> Floats:
        """Soft tokens float32 [1, N, H] for a query (a batch of one), from rejected footage;
        arguments as of :func:`vsr_edge.runtime.heads.refiner_inputs`.

        Raises:
            UsageError: the bundle has no refiner.
        """
        inputs = refiner_inputs(query, rejected, match, unit_frames)
        return self._run_head(REFINER, inputs)[0]

    def _run_head(self, role: str, inputs: Mapping[str, Floats]) -> list[Floats]:
        if role not in self.manifest.files:
            raise UsageError(f"the bundle {self.bundle_id} has no {role} head of its own")
        return self._session(role).run(list(GRAPH_OUTPUTS[role]), inputs)

    @cached_property
    def universal(self) -> UniversalHead:
        """The verifier that knows no encoder, with these ones."""
        return UniversalHead(
            self.manifest,
            self.encode_text,
            lambda: self.background,
            self._notices.append,
            self.threads,
        )

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        limit = self.manifest.dimensions.max_tokens
        return set_up_tokenizer(self.manifest.path(TOKENIZER), limit, self.manifest.text)

    @cached_property
    def concepts(self) -> Concepts:
        """Words and phrases to explain refinements by; none where the bundle has none."""
        if CONCEPTS not in self.manifest.files:
            return Concepts((), np.empty((0, self.dim), np.float32))
        path = self.manifest.path(CONCEPTS)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                names, vectors = arrays["names"], arrays["vectors"].astype(np.float32)
        except (OSError, ValueError, KeyError) as error:
            raise BundleDamaged(f"{path} holds no concepts: {error}") from error
        if vectors.shape != (len(names), self.dim):
            raise BundleDamaged(f"{path} has vectors {vectors.shape} for {len(names)} concepts")
        return Concepts(tuple(map(str, names)), vectors)

    @cached_property
    def background(self) -> HalfVectors:
        """Vectors float16 [n, D] of pictures of all kinds; none where the bundle has none."""
        if BACKGROUND not in self.manifest.files:
            return np.empty((0, self.dim), np.float16)
        path = self.manifest.path(BACKGROUND)
        try:
            vectors: HalfVectors = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise BundleDamaged(f"{path} holds no vectors: {error}") from error
        if vectors.dtype != np.float16 or vectors.shape[1:] != (self.dim,):
            raise BundleDamaged(f"{path} has {vectors.dtype} {vectors.shape}, not [n, {self.dim}]")
        return vectors

    def _session(self, role: str) -> Session:
        with self._loading:
            if role not in self._sessions:
                self._sessions[role] = self._open(role)
            return self._sessions[role]

    def _open(self, role: str) -> Session:
        # The heads are small, and int8: a GPU would hand most of them back to the processor.
        provider = self.provider if role in REQUIRED_ROLES else "cpu"
        session = open_session(
            self.manifest.variants(role),
            provider=provider,
            threads=self.threads,
            check=lambda loaded: self._check(loaded, role),
        )
        if provider == "cpu":
            return session
        short, best = session.provider.short, session.provider.precisions[0]
        if self.provider == "auto":
            self.provider = short
            self._notices.append(f"provider: {short}")
        if session.precision == "int8" != best:
            self._notices.append(
                f"{self.bundle_id} has its {role} in int8 only, which is made for processors: "
                f"{short} is faster with a bundle exported with --also {best}"
            )
        return session

    def _check(self, session: Session, role: str) -> None:
        """Before a graph's first answer: is it the right one, and is it run right?

        On the CPU the second is left to `bundle verify`. Elsewhere the first run takes the
        longest, and is needed anyway.
        """
        check_graph(session, role, self.manifest)
        if session.provider.name == CPU:
            return
        golden = self.manifest.golden
        try:
            if role == IMAGE_ENCODER:
                check_start(session, golden.images, lambda told: self._golden_images(session, told))
            elif role == TEXT_ENCODER:
                check_start(session, golden.texts, lambda told: self._golden_texts(session, told))
        except ProviderError as error:
            if self.provider == "auto":
                self._refused.append(str(error))
            raise

    def _golden_images(self, session: Session, told: Sequence[GoldenImage]) -> list[Floats]:
        """In every place of the smallest batch that the provider is given."""
        side, count = self.image_side, len(told)
        pictures = [golden_picture(one.seed, side) for one in told]
        pixels = to_input(pictures, side, self.manifest.preprocessing, self.threads or 1)
        pixels = pixels[np.arange(session.provider.filled(count)) % count]
        return session.run(self.manifest.graphs[IMAGE_ENCODER]["outputs"], {"pixels": pixels})

    def _golden_texts(self, session: Session, told: Sequence[GoldenText]) -> Sequence[Floats]:
        none = np.zeros((len(told), 0, self.manifest.dimensions.hidden), np.float32)
        return self._run_text(session, [one.text for one in told], none)[:2]

    def close(self) -> None:
        """Release the graphs; they are loaded again if the bundle is used again."""
        for name in ("_tokenizer", "concepts", "background", "universal"):
            self.__dict__.pop(name, None)
        self._sessions.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def load_bundle(
    name_or_path: str | Path = "lite", *, provider: str = "cpu", threads: int = 0
) -> Bundle:
    """Verify a bundle and make it ready to encode.

    Args:
        name_or_path: a built-in bundle's name, or a folder.
        provider: execution provider, by its short name, with options as in
            "cuda:device_id=1"; "auto" takes the best that starts.
        threads: 0 is as many as this process may use.

    Raises:
        BundleNotFound, BundleDamaged: there is none, or it is not what its manifest says.
        ProviderError: at first use, if the provider is not available.
    """
    return Bundle(verify_bundle(name_or_path), provider=provider, threads=threads)


def _as_list(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise UsageError("texts must be a list of strings, not one string")
    return list(texts)
