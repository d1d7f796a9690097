"""The JSON documents of receipts, and of what a probability means in an archive:
:mod:`vsr_edge.documents` names and lists them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from vsr_edge.document_parts import Document, Part, Probability, Score, Seconds, Text, schema
from vsr_edge.types import Decision, Heads


class Named(Part):
    """A video, and what is to be said of it."""

    video: Text
    about: Text = Field(description="The fingerprint, or why; empty where there is nothing to say.")


class Listed(Part):
    """Videos: the first of them by path, and a sha256 of all with what is said, a line each."""

    count: int
    sha256: Text
    first: list[Named]


class Amount(Part):
    """So much footage, and when it was recorded, as far as that is known."""

    videos: int
    hours: float
    begins: Text | None = Field(alias="from", description="ISO 8601, in UTC.")
    ends: Text | None = Field(alias="to")
    times_known: int = Field(description="Of so many videos it is known when they were recorded.")


class Camera(Amount):
    """The footage of one folder."""

    folder: Text


class Searched(Amount):
    """What was looked through."""

    frames: int
    listed: Listed
    cameras: list[Camera]
    partial: Listed = Field(description="Damaged: what can be read of them was searched.")
    missing: Listed = Field(description="Searched, though no file lies there any more.")
    failed: Listed = Field(description="Files that `index` could not read: not searched.")


class ReceiptBundle(Part):
    """The models that searched."""

    id: Text
    name: Text
    encoders: Text
    manifest_sha256: Text


class ReceiptArchive(Part):
    """The whole archive; its generation grows with each change of it."""

    folder: Text
    generation: int
    videos: int
    hours: float


class ReceiptPart(Part):
    """Where one part of a query of several is."""

    sentence: Text
    start: Seconds
    end: Seconds


class ReceiptMoment(Part):
    """A moment of the answer, to the digits that every machine has alike."""

    video: Text
    start: Seconds
    end: Seconds
    score: Score
    match_probability: Probability | None
    parts: list[ReceiptPart]


class ReceiptAnswer(Part):
    """What came of it; the first moments."""

    verdict: Decision
    threshold: float | None
    notices: list[Text]
    moments: list[ReceiptMoment]


class ReceiptCalibration(Part):
    """How far such an answer may be trusted, as it was measured when it was calibrated."""

    found: float | None = Field(description="Of queries for what is there: found and accepted.")
    denied: float | None = Field(description="Of queries for what is not there: denied.")
    precision: float | None = Field(description="Of what was accepted: right.")
    queries: int | None
    note: Text


class ReceiptDocument(Document):
    """What `search --receipt` writes: what was asked of which footage, and what came of it."""

    schema_: Literal["vsr-edge/receipt/1"] = schema("vsr-edge/receipt/1")
    program: Text = Field(description="The version of vsr-edge.")
    made_at: Text
    query: Text
    read_as: Text | None
    options: dict[str, Any] = Field(description="Of the search, by the names of the Python API.")
    filter: dict[str, Any] = Field(description="Which footage was searched; all where empty.")
    bundle: ReceiptBundle | None = Field(description="Null where words alone were searched.")
    archive: ReceiptArchive
    searched: Searched
    answer: ReceiptAnswer
    calibration: ReceiptCalibration
    sha256: Text = Field(description="Of all other fields, as JSON with sorted keys.")


class SaidOfSentences(Part):
    """Of sentences about anything, the share that is said to be there at least so surely."""

    at_least: Probability
    threshold: bool = Field(description="Does it count as a match from here on?")
    before: Probability
    after: Probability | None


class ReliabilityBin(Part):
    """Answers that say from ``low`` to ``high``."""

    low: Probability
    high: Probability
    count: int
    said: Probability = Field(description="On average.")
    right: Probability = Field(description="The share that is right.")


class KnownQueries(Part):
    """Queries whose answers are known. After: each by a correction that the others gave."""

    count: int
    right: Probability
    error_before: float = Field(description="Expected calibration error, in [0, 1].")
    error_after: float
    before: list[ReliabilityBin]
    after: list[ReliabilityBin]


class ArchiveCorrection(Part):
    """Log-odds are multiplied by ``slope``, and ``bias`` added."""

    slope: float
    bias: float
    made_at: Text
    queries: int = Field(description="By so many whose answers are known, or by none:")
    absent: Probability | None = Field(
        description="By the share of questions about what is not there."
    )


class CalibrateDocument(Document):
    """What `calibrate` found; after --reset only whose probabilities they are."""

    schema_: Literal["vsr-edge/calibrate/2"] = schema("vsr-edge/calibrate/2")
    archive: Text
    bundle: Text
    heads: Heads
    stored: bool = Field(description="Do later searches count by the correction?")
    correction: ArchiveCorrection | None
    threshold: Probability | None = None
    absent: Probability | None = Field(
        default=None,
        description="The share of questions about what is not there that was calibrated for.",
    )
    sentences: int = 0
    said: list[SaidOfSentences] = Field(default=[])
    queries: KnownQueries | None = None


class ReceiptChange(Part):
    """What is not as it was."""

    what: Text
    before: Any
    after: Any


class ReceiptCheckDocument(Document):
    """What `receipt check` found."""

    schema_: Literal["vsr-edge/receipt-check/1"] = schema("vsr-edge/receipt-check/1")
    file: Text
    made_at: Text
    holds: bool = Field(description="Is everything as it was?")
    changes: list[ReceiptChange]
    now: ReceiptDocument
