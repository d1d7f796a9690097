"""Every JSON document of the command line: what `--json` prints is built from these models.

Each document names itself and its version in ``schema``. Within a version keys are only added and
keep their meaning, so whoever reads one passes over keys that are not known yet. The JSON Schemas
of ``docs/schema`` are made from here::

    python -m vsr_edge.documents docs/schema

Imported by what prints JSON and by nothing else: importing pydantic takes longer than `--help`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter

from vsr_edge.bundle.locate import bundle_name, name_of_id
from vsr_edge.document_fields import Part, Probability, Score, Seconds, Text, rounded
from vsr_edge.documents_bundle import (
    BundleListDocument,
    BundlePackDocument,
    BundlePullDocument,
    BundleShowDocument,
    BundleVerifyDocument,
)
from vsr_edge.documents_eval import EvalCompareDocument, EvalDocument, EvalPredictionsDocument
from vsr_edge.types import Decision, RefinementMethod

if TYPE_CHECKING:
    from vsr_edge.archive import Archive
    from vsr_edge.ingest.scan import PruneSummary
    from vsr_edge.store.base import ArchiveStats
    from vsr_edge.types import SearchResult, StoredVideo


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
    missing: bool = Field(
        default=False, description="The file is not where it was indexed any more."
    )


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


class SearchDocument(Part):
    """The answer of `search`."""

    schema_: Literal["vsr-edge/search/1"] = Field(default="vsr-edge/search/1", alias="schema")
    query: Text
    verdict: Decision
    confidence: Probability | None = Field(
        description="On a match, how likely it is that the first moment shows what was asked for. "
        "Null otherwise: that nothing was likely enough does not say how likely it is absent."
    )
    threshold: Probability | None = Field(
        description="Moments with a lower match_probability are guesses; null where unverified."
    )
    moments: list[Moment]
    turns: list[TracedTurn] | list[Turn]
    timing_ms: dict[str, float] = Field(description="By stage, and in total.")
    bundle: Text = Field(description="The id of the bundle that searched.")
    bundle_name: Text = Field(description="What --bundle calls it.")
    notices: list[Text] = Field(description="What the user should know, a sentence each.")

    @classmethod
    def of(cls, result: SearchResult, archive: Archive, *, trace: bool = False) -> Self:
        """What ``archive`` answered; with ``trace``, every turn lists its candidates."""
        found = result.verdict
        turn: type[Turn] = TracedTurn if trace else Turn
        return cls(
            query=result.query,
            verdict=found.decision,
            confidence=found.confidence if found.decision == "match" else None,
            threshold=found.threshold,
            moments=[Moment.model_validate(moment) for moment in result.moments],
            turns=[turn.model_validate(one) for one in result.turns],
            timing_ms=result.timing_ms,
            bundle=result.bundle,
            bundle_name=bundle_name(archive.bundle.files.folder),
            notices=[*result.notices, *archive.notices],
        )


class FileReport(Part):
    """A file, and what is to be said of it."""

    video: Text = Field(validation_alias="path")
    reason: Text


class _IndexCounts(Part):
    schema_: str = Field(alias="schema")
    indexed: int = Field(description="Newly encoded videos, partial ones among them.")
    skipped: int = Field(description="Known and unchanged.")
    moved: int = Field(description="Known by their content, at a new place.")
    copied: int = Field(description="Of the same content as a video that is still there.")
    frames: int
    hours: Annotated[float, rounded(4)] = Field(description="Of newly encoded footage.")
    seconds: Annotated[float, rounded(2)] = Field(description="What the run took.")
    interrupted: bool
    partial: list[FileReport] = Field(description="Damaged: what can be read of them is indexed.")
    failed: list[FileReport]
    left_out: list[FileReport] = Field(
        description="Indexed by their main video stream; the reason names the further ones."
    )
    passed_over: dict[str, int] = Field(
        description="What lay in the folders and was not tried: files by their ending, and folders "
        "of storage systems, with a slash."
    )


class IndexDocument(_IndexCounts):
    """What a run of `index` did."""

    schema_: Literal["vsr-edge/index/1"] = Field(default="vsr-edge/index/1", alias="schema")


class ReindexDocument(_IndexCounts):
    """What a run of `reindex` did."""

    schema_: Literal["vsr-edge/reindex/1"] = Field(default="vsr-edge/reindex/1", alias="schema")
    bundle_id: Text = Field(description="Of the encoders that the archive is of after the run.")
    switched: bool
    up_to_date: bool
    waiting: Text | None = Field(description="Encoders that an unfinished run had begun with.")
    dropped: list[FileReport] = Field(description="What it was switched without.")


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
    missing: bool = Field(
        default=False, description="The file is not where it was indexed any more."
    )

    @classmethod
    def of(cls, stored: StoredVideo) -> Self:
        video = stored.video
        return cls(
            id=stored.video_id,
            video=str(video.path),
            duration=video.duration,
            width=video.width,
            height=video.height,
            codec=video.codec,
            container=video.container,
            fingerprint=video.fingerprint,
            missing=stored.missing,
            frames=stored.frames,
            clips=stored.clips,
            partial=stored.partial,
            indexed_at=stored.indexed_at,
        )


class VideosDocument(Part):
    """What `videos` lists."""

    schema_: Literal["vsr-edge/videos/1"] = Field(default="vsr-edge/videos/1", alias="schema")
    videos: list[Video]


class UnfinishedReindex(Part):
    """A second generation of the archive that is not complete."""

    bundle_id: Text
    videos: int


class StatsDocument(Part):
    """What an archive holds."""

    schema_: Literal["vsr-edge/stats/1"] = Field(default="vsr-edge/stats/1", alias="schema")
    archive: Text
    videos: int
    partial_videos: int
    frames: int
    clips: int
    hours: Annotated[float, rounded(3)]
    regions: bool
    bundle_id: Text = Field(description="Of the encoders that its vectors are of.")
    bundle_name: Text | None = Field(description="A bundle with these encoders; null: none here.")
    dim: int
    database_bytes: int
    cache_bytes: int
    reindex: UnfinishedReindex | None

    @classmethod
    def of(cls, stats: ArchiveStats, folder: Path) -> Self:
        known = {"archive": folder, "bundle_name": name_of_id(stats.bundle_id)}
        return cls.model_validate(asdict(stats) | known)


class RemoveDocument(Part):
    """What `remove` forgot."""

    schema_: Literal["vsr-edge/remove/1"] = Field(default="vsr-edge/remove/1", alias="schema")
    removed: list[Text]


class HeldBack(Part):
    """Videos that were kept, though their files are gone: their folder may come back."""

    folder: Text
    reason: Text
    videos: int


class PruneDocument(Part):
    """What `prune` forgot, or with `--dry-run` would."""

    schema_: Literal["vsr-edge/prune/1"] = Field(default="vsr-edge/prune/1", alias="schema")
    removed: list[Text]
    held_back: list[HeldBack]
    dry_run: bool

    @classmethod
    def of(cls, summary: PruneSummary) -> Self:
        return cls(
            removed=[str(stored.video.path) for stored in summary.removed],
            held_back=[HeldBack.model_validate(held) for held in summary.held_back],
            dry_run=summary.dry_run,
        )


class DemoDocument(Part):
    """What `demo` did: the documents of `index` and of each `search`."""

    schema_: Literal["vsr-edge/demo/1"] = Field(default="vsr-edge/demo/1", alias="schema")
    index: IndexDocument
    searches: list[SearchDocument]


class DoctorDocument(Part):
    """What `doctor` found."""

    schema_: Literal["vsr-edge/doctor/1"] = Field(default="vsr-edge/doctor/1", alias="schema")
    python: Text
    platform: Text
    packages: dict[str, Text]
    providers: list[Text]
    auto_provider: Text | None = Field(description="What `--provider auto` takes here.")
    threads: int
    bundle: Text | None = Field(description="Its id or name, and whether it is sound.")
    bundle_name: Text
    bundle_id: Text | None = Field(description="Null if it cannot be used.")
    archive: Text
    archive_state: Text | None
    missing: int | None = Field(description="How many indexed files are gone; null: no archive.")
    problems: list[Text] = Field(description="What is wrong and what to do, a sentence each.")


class ErrorDocument(Part):
    """Why there is no other document; the message is on stderr as well."""

    schema_: Literal["vsr-edge/error/1"] = Field(default="vsr-edge/error/1", alias="schema")
    kind: Text = Field(description="The error's class, such as UsageError or ArchiveNotFound.")
    message: Text = Field(description="What is wrong, and what to do next.")
    exit_code: int


DOCUMENTS: tuple[type[Part], ...] = (
    SearchDocument,
    IndexDocument,
    ReindexDocument,
    VideosDocument,
    StatsDocument,
    RemoveDocument,
    PruneDocument,
    DemoDocument,
    DoctorDocument,
    BundleShowDocument,
    BundleVerifyDocument,
    BundleListDocument,
    BundlePackDocument,
    BundlePullDocument,
    EvalDocument,
    EvalCompareDocument,
    EvalPredictionsDocument,
    ErrorDocument,
)


def schema_files() -> dict[str, str]:
    """The JSON Schema of every document by the name of its file."""
    files = {}
    for document in DOCUMENTS:
        made = TypeAdapter(document).json_schema(mode="serialization", by_alias=True)
        schema = _alike(made)
        name = schema["properties"]["schema"]["const"].split("/")[1]
        whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
        files[f"{name}.json"] = json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
    return files


def _alike(part: Any) -> Any:
    """The same schema whichever version of pydantic made it."""
    if isinstance(part, list):
        return [_alike(item) for item in part]
    if isinstance(part, dict):
        same = {key: _alike(value) for key, value in part.items()}
        if isinstance(same.get("const"), str):
            same.pop("enum", None)
            same["type"] = "string"
        if same.get("additionalProperties") is True:  # as without it
            del same["additionalProperties"]
        return same
    return int(part) if isinstance(part, float) and part.is_integer() else part


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.mkdir(parents=True, exist_ok=True)
    for file, content in schema_files().items():
        (place / file).write_text(content, "utf-8")
