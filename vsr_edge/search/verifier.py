"""Who judges what was retrieved: the bundle's dedicated head, which looks at the states of its own
text encoder, or the universal one, which asks any encoder for the sentence and for its phrases.

It is chosen once for a query; behind it, nothing differs.
"""

from __future__ import annotations

from typing import Protocol

from vsr_edge.bundle.manifest import GROUNDING, Calibration
from vsr_edge.bundle.model import Bundle
from vsr_edge.errors import UsageError
from vsr_edge.query import SearchOptions
from vsr_edge.runtime.evidence import Usual, evidence
from vsr_edge.runtime.heads import Footage, Judgements, TextEncoding
from vsr_edge.search.phrases import phrases
from vsr_edge.store.base import Store
from vsr_edge.types import Correction, Heads, Sampling, Vectors

# So many of an archive's vectors tell what footage scores for a query.
SAMPLE = 4096


class Verifier(Protocol):
    """Judges candidates; ``calibration`` says what its logits mean in this archive."""

    @property
    def heads(self) -> Heads: ...

    @property
    def calibration(self) -> Calibration: ...

    @property
    def told(self) -> str:
        """For people: which heads these are, and if what they say is corrected for the archive."""

    def judge(
        self, sentence: str, text: TextEncoding, shown: Footage, scores: Vectors
    ) -> Judgements:
        """Does each of K candidates show what the sentence says, and where?

        Args:
            text: the sentence, encoded (a batch of one).
            scores: inner products of the best frames with what was retrieved by, [K].
        """

    def standardised(self, sentence: str, scores: Vectors) -> Vectors | None:
        """Scores of a sentence that was judged, in the deviations that the calibration counts them
        in; None where those are of the query's own.
        """

    def encoder_calls(self, sentence: str) -> int:
        """How many texts are encoded for a sentence beside itself."""


class Dedicated:
    """The grounding head that was trained with the bundle's encoders."""

    heads: Heads = "dedicated"

    def __init__(self, bundle: Bundle, correction: Correction | None) -> None:
        self._bundle = bundle
        self.calibration = calibration_of(bundle, self.heads).corrected(correction)
        self.told = _told(self.heads, correction)

    def judge(
        self, sentence: str, text: TextEncoding, shown: Footage, scores: Vectors
    ) -> Judgements:
        del sentence, scores  # it reads states, and candidates only
        return self._bundle.judge(text, shown)

    def standardised(self, sentence: str, scores: Vectors) -> Vectors | None:
        del sentence, scores
        return None

    def encoder_calls(self, sentence: str) -> int:
        del sentence
        return 0


class Universal:
    """The head that knows no encoder.

    Usual footage is that of the whole archive, also where a part of it is searched: a single video
    has nothing to stand out from.
    """

    heads: Heads = "universal"

    def __init__(self, store: Store, bundle: Bundle, correction: Correction | None) -> None:
        self.calibration = calibration_of(bundle, self.heads).corrected(correction)
        self.told = _told(self.heads, correction)
        self._head, self._store = bundle.universal, store
        self._known: dict[str, tuple[Vectors, Usual]] = {}

    def judge(
        self, sentence: str, text: TextEncoding, shown: Footage, scores: Vectors
    ) -> Judgements:
        del text  # the same sentence, but for its states
        space = self._head.space(self._store.sample(SAMPLE))
        if sentence not in self._known:
            texts = self._head.texts(sentence, phrases(sentence))
            self._known[sentence] = texts, space.usual(texts)
        texts, usual = self._known[sentence]
        return self._head.judge(evidence(texts, usual, space, shown, scores))

    def standardised(self, sentence: str, scores: Vectors) -> Vectors | None:
        del sentence  # how it stands among scores for itself, the head has seen
        return self._head.space(self._store.sample(SAMPLE)).above_any(scores)

    def encoder_calls(self, sentence: str) -> int:
        return len(phrases(sentence))


def heads_of(bundle: Bundle, options: SearchOptions) -> Heads | None:
    """Which heads judge; None where nothing is to be verified.

    Raises:
        UsageError: dedicated heads are asked for that the bundle has not.
    """
    if options.one_shot:
        return None
    dedicated = GROUNDING in bundle.manifest.files and bundle.manifest.calibration is not None
    if options.heads == "dedicated" and not dedicated:
        raise UsageError(
            f"the bundle {bundle.bundle_id} has no dedicated heads: leave out --heads, and the "
            "universal ones verify"
        )
    return "dedicated" if dedicated and options.heads != "universal" else "universal"


def first_time(bundle: Bundle, options: SearchOptions) -> str | None:
    """What a search with a bundle has to do once before it answers, in words; None where nothing is
    left to do.
    """
    universal = heads_of(bundle, options) == "universal" and bundle.manifest.has("regions")
    if options.text or not universal or not bundle.universal.waits:
        return None
    return (
        f"{bundle.bundle_id} has no verifier of its own: for the universal one, sentences are "
        "encoded with it, once"
    )


def without_regions(bundle: Bundle) -> str:
    """Why nothing is judged where an archive holds no regions, and what helps, if anything does."""
    if bundle.manifest.has("regions"):
        return f"the archive holds no region vectors; index it with --regions {Sampling().regions}"
    return f"the image graph of {bundle.bundle_id} gives no regions, by which it would be judged"


def verifier_of(store: Store, bundle: Bundle, options: SearchOptions) -> Verifier | None:
    """Whoever judges in this archive, by what it is known to mean there; None in one shot.

    Raises:
        UsageError: as of :func:`heads_of`.
    """
    heads = heads_of(bundle, options)
    if heads is None:
        return None
    correction = store.correction(correction_name(bundle, heads))
    if heads == "dedicated":
        return Dedicated(bundle, correction)
    return Universal(store, bundle, correction)


def calibration_of(bundle: Bundle, heads: Heads) -> Calibration:
    """What these heads' logits mean with the bundle, wherever no archive says otherwise."""
    own = bundle.manifest.calibration if heads == "dedicated" else None
    return bundle.universal.calibration if own is None else own


def correction_name(bundle: Bundle, heads: Heads) -> str:
    """What a correction of an archive is for: probabilities of these heads."""
    return f"{bundle.bundle_id} {heads}"


def _told(heads: Heads, correction: Correction | None) -> str:
    if correction is None:
        return f"{heads} heads"
    known = f"for {correction.absent:.0%} absent" if correction.absent is not None else ""
    known = known or f"by {correction.queries} queries"
    return f"{heads} heads, corrected for this archive {known} ({correction.made_at[:10]})"
