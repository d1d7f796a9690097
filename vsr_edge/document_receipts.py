"""The JSON documents of receipts: :mod:`vsr_edge.documents` names and lists them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from vsr_edge.document_parts import Document, Part, Probability, Score, Seconds, Text, schema
from vsr_edge.types import Decision


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
