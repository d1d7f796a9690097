"""What the JSON documents are made of: kinds of values, and the models of what lies within them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
)

from vsr_edge.query import HeadsChoice
from vsr_edge.times import iso
from vsr_edge.types import RecordedFrom, RefinementMethod, StoredVideo, TextSource, Whence


def _text(value: object) -> str:
    path = value.video.path if isinstance(value, StoredVideo) else value
    if isinstance(path, str | Path):
        return str(path)
    raise ValueError("text is needed")


def rounded(digits: int) -> AfterValidator:
    return AfterValidator(lambda value: round(value, digits))


# pydantic's own text refuses what is no UTF-8, and file names may be that: their odd bytes are
# kept as escapes. A stored video is named by its path.
Text = Annotated[str, PlainValidator(_text), WithJsonSchema({"type": "string"})]
BundleName = Annotated[Text, Field(description="What --bundle calls it.")]
Seconds = Annotated[float, rounded(3), Field(description="Seconds from the first frame.")]
Probability = Annotated[float, Field(ge=0, le=1), rounded(4)]
Score = Annotated[float, rounded(5), Field(description="Inner product of query and footage.")]
Tags = Annotated[list[Text], Field(description="By name.")]
Recorded = Annotated[
    str | None,
    BeforeValidator(lambda at: iso(at) if isinstance(at, int | float) else at),
    Field(description="ISO 8601 with offset, by the clocks of the setting time_zone."),
]
Known = Annotated[
    RecordedFrom | None,
    Field(description="How: by the container, the file's name, or when the file was last changed."),
]
Missing = Annotated[bool, Field(description="The file is not where it was indexed any more.")]
LineId = Annotated[
    str | int | None, Field(description="That of the line of --queries; null elsewhere.")
]
Interval = Annotated[list[float | None], Field(min_length=2, max_length=2)]
Difference = Annotated[list[float | None], Field(min_length=3, max_length=3)]
Figures = Annotated[
    dict[str, dict[str, float | int | None]],
    Field(description="Figures by table, in per cent but for counts; null for a share of nothing."),
]


class Part(BaseModel):
    """Something within a document; made from a mapping, or an object with these attributes."""

    model_config = ConfigDict(
        from_attributes=True,
        populate_by_name=True,
        json_schema_serialization_defaults_required=True,
    )


class Document(Part):
    """A whole document."""

    schema_: str = Field(alias="schema")


def schema(name: str) -> Any:
    """The field that says which document this is, and of which version."""
    return Field(default=name, alias="schema")


def at_clocks(instant: float | None, zone: str) -> str | None:
    """A time of recording as documents have it."""
    return None if instant is None else iso(instant, zone)


class PartSpan(Part):
    """Where one part of a query of several is."""

    sentence: Text
    start: Seconds
    end: Seconds
    score: Score
    match_probability: Probability | None


class Moment(Part):
    """A span of a video in an answer, best first."""

    rank: int
    video: Text
    start: Seconds
    end: Seconds
    score: Score
    match_probability: Probability | None = Field(
        description="How likely this shows what was asked for; null where nothing was verified."
    )
    missing: Missing = False
    best: Seconds | None = Field(
        default=None, description="The time of the frame in it that is most like the query."
    )
    source: Whence = Field(
        default="seen",
        description="What led to it: pictures, words that are said or written there, or both. "
        "The score of what words alone led to is 0.",
    )
    text: Text | None = Field(default=None, description="These words.")
    text_source: TextSource | None = Field(default=None, description="Where they were read.")
    parts: list[PartSpan] = Field(
        default=[], description="Of a query of several parts, where each is, in the order asked."
    )
    recorded_at: Recorded = None
    recorded_from: Known = None


class Candidate(Part):
    """A span of a video that a turn put forward."""

    video: Text
    start: Seconds
    end: Seconds
    score: Score
    match_probability: Probability | None


class Refinement(Part):
    """What a turn did to the query before it retrieved."""

    method: RefinementMethod
    cosine: Annotated[float, rounded(4)] = Field(description="Of the new query to the first.")
    gained: list[Text] = Field(description="Words and phrases that the query moved towards.")
    lost: list[Text] = Field(description="Those that it moved away from.")


class Turn(Part):
    """One pass of the search: retrieve, verify, and why it ended or went on."""

    turn: int
    action: Text
    refinement: Refinement | None
    then: Text
    latency_ms: float
    encoder_calls: int
    soft_tokens: int


class TracedTurn(Turn):
    """A turn with what it brought up, as `--turns` asks for; the likeliest first."""

    candidates: list[Candidate]


class FileReport(Part):
    """A file, and what is to be said of it."""

    video: Text = Field(validation_alias="path")
    reason: Text


class Video(Part):
    """An indexed video."""

    id: int
    video: Text
    duration: Seconds
    width: int
    height: int
    codec: Text
    container: Text
    frames: int
    clips: int
    partial: Text | None = Field(description="Why only a part of it could be read, if so.")
    indexed_at: Text
    fingerprint: Text
    missing: Missing = False
    recorded_at: Recorded = None
    recorded_from: Known = None
    tags: Tags = []

    @classmethod
    def of(cls, stored: StoredVideo, zone: str = "") -> Self:
        names = {"id": stored.video_id, "video": stored.video.path}
        names |= {"recorded_at": at_clocks(stored.recorded_at, zone)}
        return cls.model_validate(asdict(stored.video) | asdict(stored) | names)


class TaggedVideo(Part):
    """An indexed video and its tags."""

    video: Text
    tags: Tags


class UnfinishedReindex(Part):
    """A second generation of the archive that is not complete."""

    bundle_id: Text
    videos: int


class HeldBack(Part):
    """Videos that were kept, though their files are gone: their folder may come back."""

    folder: Text
    reason: Text
    videos: int


class ManifestFile(Part):
    """A file of a bundle; of a graph, perhaps with the same in other precisions."""

    model_config = ConfigDict(extra="allow")
    file: Text
    sha256: Text
    bytes: int
    precision: Text | None


class GoldenCheck(Part):
    """How near what a provider computes here is to the bundle's golden vectors: lowest cosines."""

    provider: Text
    text_cosine: float
    image_cosine: float


class FoundBundle(Part):
    """A bundle on this machine; ``problem`` says why it cannot be used, if so."""

    name: BundleName
    folder: Text
    id: Text | None
    licence: Text | None
    bytes: int | None
    problem: Text | None


class BundleCost(Part):
    """What a bundle takes on this machine, measured: milliseconds, medians over some rounds."""

    bundle_name: BundleName
    bundle_id: Text
    provider: Text
    threads: int = Field(description="0: all that the process may use.")
    size_bytes: int
    load_ms: Annotated[float, rounded(2)] = Field(
        description="From nothing to the first query's vector."
    )
    frame_ms: Annotated[float, rounded(3)] = Field(description="Encoding alone, in batches.")
    query_ms: Annotated[float, rounded(3)]
    turn_ms: Annotated[float, rounded(3)] | None = Field(
        description="Of a turn that verifies and refines; null where the bundle lacks heads for it."
    )


class PublishedBundle(Part):
    """A bundle that `bundle pull` knows."""

    name: Text
    repository: Text
    revision: Text
    sha256: Text
    licence: Text
    remark: Text


class Source(Part):
    """A checkpoint that a bundle can be made of; ``parameters`` in millions."""

    name: Text
    repository: Text
    family: Text
    licence: Text
    parameters: int
    remark: Text
    revision: Text | None


class Registry(Part):
    """What came with the program."""

    bundles: list[PublishedBundle]
    sources: list[Source]


class EvalRun(Part):
    """What was asked, of what, and with which options."""

    queries: Text
    archive: Text
    bundle: Text = Field(description="Its id.")
    bundle_name: Text
    videos: int
    clips: int
    top_k: int
    max_turns: int
    candidates: int
    max_ms: float | None
    one_shot: bool
    rocchio: bool
    heads: HeadsChoice = "auto"


class Percentiles(Part):
    """Milliseconds."""

    p50: float
    p95: float


class EvalPath(Part):
    """What a search took: means over the queries."""

    turns: float
    refinements: float
    soft_tokens: float
    encoder_calls: float
    latency_ms: dict[str, Percentiles] = Field(description="By stage, and in total.")


class EvaluatorTime(Part):
    """What evaluating took beside searching."""

    search_seconds: float
    own_seconds: float
    overhead_percent: float


class ComparedFiles(Part):
    """The files of answers, as they were named."""

    a: Text
    b: Text
