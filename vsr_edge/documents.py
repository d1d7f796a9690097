"""Every JSON document: what `--json` prints is built from these models, and later what is served.

Each document names itself and its version in ``schema``. Within a version keys are only added and
keep their meaning, so whoever reads one passes over keys that are not known yet. The JSON Schemas
of ``docs/schema`` are made from here::

    python -m vsr_edge.documents docs/schema

Imported by what prints JSON and by nothing else: importing pydantic takes longer than `--help`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field

from vsr_edge.bundle.locate import bundle_name, name_of_id
from vsr_edge.document_backups import BackupDocument as BackupDocument
from vsr_edge.document_backups import BackupParts as BackupParts
from vsr_edge.document_backups import MigrationDocument as MigrationDocument
from vsr_edge.document_backups import RestoreDocument as RestoreDocument
from vsr_edge.document_bundles import BundleCompareDocument as BundleCompareDocument
from vsr_edge.document_bundles import BundleImportDocument as BundleImportDocument
from vsr_edge.document_bundles import BundleListDocument as BundleListDocument
from vsr_edge.document_bundles import BundlePackDocument as BundlePackDocument
from vsr_edge.document_bundles import BundlePullDocument as BundlePullDocument
from vsr_edge.document_bundles import BundleRecommendDocument as BundleRecommendDocument
from vsr_edge.document_bundles import BundleShowDocument as BundleShowDocument
from vsr_edge.document_bundles import BundleVerifyDocument as BundleVerifyDocument
from vsr_edge.document_hits import AlertDocument as AlertDocument
from vsr_edge.document_hits import CutDocument as CutDocument
from vsr_edge.document_hits import OpenDocument as OpenDocument
from vsr_edge.document_hits import SavedDocument as SavedDocument
from vsr_edge.document_hits import SavedForgetDocument as SavedForgetDocument
from vsr_edge.document_parts import (
    BundleName,
    ComparedFiles,
    Difference,
    Document,
    EvalPath,
    EvalRun,
    EvaluatorTime,
    Figures,
    FileReport,
    GoldenCheck,
    HeldBack,
    Interval,
    LineId,
    Moment,
    Probability,
    TaggedVideo,
    Text,
    TracedTurn,
    Turn,
    UnfinishedReindex,
    Video,
    at_clocks,
    rounded,
    schema,
)
from vsr_edge.document_receipts import CalibrateDocument as CalibrateDocument
from vsr_edge.document_receipts import ReceiptCheckDocument as ReceiptCheckDocument
from vsr_edge.document_receipts import ReceiptDocument as ReceiptDocument
from vsr_edge.document_served import AccessDocument as AccessDocument
from vsr_edge.document_served import HealthDocument as HealthDocument
from vsr_edge.document_served import JobDocument as JobDocument
from vsr_edge.document_served import JobsDocument as JobsDocument
from vsr_edge.document_served import RelevanceDocument as RelevanceDocument
from vsr_edge.document_served import SessionDocument as SessionDocument
from vsr_edge.document_served import VideoDocument as VideoDocument
from vsr_edge.types import Decision

OF_HITS = (ReceiptCheckDocument, ReceiptDocument)

if TYPE_CHECKING:
    from vsr_edge.answer import SearchResult
    from vsr_edge.archive import Archive
    from vsr_edge.store.base import ArchiveStats


class SearchDocument(Document):
    """The answer of `search`."""

    schema_: Literal["vsr-edge/search/1"] = schema("vsr-edge/search/1")
    query: Text
    verdict: Decision
    confidence: Probability | None = Field(
        description="On a match, how likely it is that the first moment shows what was asked for; "
        "null where words led to it, which are there literally. "
        "Null otherwise: that nothing was likely enough does not say how likely it is absent."
    )
    threshold: Probability | None = Field(
        description="Moments with a lower match_probability are guesses; null where unverified."
    )
    moments: list[Moment]
    turns: list[TracedTurn] | list[Turn]
    timing_ms: dict[str, float] = Field(description="By stage, and in total.")
    bundle: Text = Field(description="The id of the bundle that searched.")
    bundle_name: BundleName
    notices: list[Text] = Field(description="What the user should know, a sentence each.")
    id: LineId = None
    read_as: Text | None = Field(
        default=None, description="Of a query of several parts, which; null of one sentence."
    )
    verified_by: Text | None = Field(
        default=None,
        description="Dedicated or universal heads, and whether what they say is corrected for this "
        "archive; null where nothing was verified.",
    )

    @classmethod
    def of(
        cls,
        found: SearchResult,
        archive: Archive,
        *,
        trace: bool = False,
        id: str | int | None = None,
    ) -> Self:
        """What ``archive`` answered; with ``trace``, every turn lists its candidates."""
        turn: type[Turn] = TracedTurn if trace else Turn
        zone = archive.settings.time_zone
        # Not asdict of it all, which copies every candidate of every turn.
        whole = {one.name: getattr(found, one.name) for one in fields(found)}
        verdict = asdict(found.verdict)
        more = {
            "verdict": verdict.pop("decision"),
            "moments": [
                {one.name: getattr(moment, one.name) for one in fields(moment)}
                | {"recorded_at": at_clocks(moment.recorded_at, zone)}
                for moment in found.moments
            ],
            "turns": [turn.model_validate(one) for one in found.turns],
            "bundle_name": bundle_name(archive.bundle.manifest.folder),
            "notices": [*found.notices, *archive.notices],
            "id": id,
        }
        return cls.model_validate(whole | verdict | more)


class _IndexCounts(Document):
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
    cues: int = Field(description="Subtitles, and other words with their times, that were read.")
    text_problems: list[FileReport] = Field(description="What of them could not be read.")


class IndexDocument(_IndexCounts):
    """What a run of `index` did."""

    schema_: Literal["vsr-edge/index/1"] = schema("vsr-edge/index/1")
    forgotten: list[Text] = Field(description="By --retain: recorded longer ago.")


class ReindexDocument(_IndexCounts):
    """What a run of `reindex` did."""

    schema_: Literal["vsr-edge/reindex/1"] = schema("vsr-edge/reindex/1")
    bundle_id: Text = Field(description="Of the encoders that the archive is of after the run.")
    switched: bool
    up_to_date: bool
    waiting: Text | None = Field(description="Encoders that an unfinished run had begun with.")
    dropped: list[FileReport] = Field(description="What it was switched without.")
    recoded: int = Field(description="Videos whose stored regions are in a coarser code now.")


class VideosDocument(Document):
    """What `videos` lists."""

    schema_: Literal["vsr-edge/videos/1"] = schema("vsr-edge/videos/1")
    videos: list[Video]


class StatsDocument(Document):
    """What an archive holds."""

    schema_: Literal["vsr-edge/stats/1"] = schema("vsr-edge/stats/1")
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
    cues: int = Field(description="Subtitles, and other words with their times.")

    @classmethod
    def of(cls, stats: ArchiveStats, folder: Path | str) -> Self:
        known = {"archive": folder, "bundle_name": name_of_id(stats.bundle_id)}
        return cls.model_validate(asdict(stats) | known)


class RemoveDocument(Document):
    """What `remove` forgot."""

    schema_: Literal["vsr-edge/remove/1"] = schema("vsr-edge/remove/1")
    removed: list[Text]


class TagDocument(Document):
    """The videos that `tag` chose, with their tags, and all tags of the archive."""

    schema_: Literal["vsr-edge/tag/1"] = schema("vsr-edge/tag/1")
    videos: list[TaggedVideo]
    tags: dict[str, int] = Field(description="How many videos of the archive have each.")


class PruneDocument(Document):
    """What `prune` forgot, or with `--dry-run` would."""

    schema_: Literal["vsr-edge/prune/1"] = schema("vsr-edge/prune/1")
    removed: list[Text]
    held_back: list[HeldBack]
    dry_run: bool


class DemoDocument(Document):
    """What `demo` did: the documents of `index` and of each `search`."""

    schema_: Literal["vsr-edge/demo/1"] = schema("vsr-edge/demo/1")
    index: IndexDocument
    searches: list[SearchDocument]


class DoctorDocument(Document):
    """What `doctor` found."""

    schema_: Literal["vsr-edge/doctor/1"] = schema("vsr-edge/doctor/1")
    python: Text
    platform: Text
    packages: dict[str, Text]
    providers: list[Text]
    auto_provider: Text | None = Field(description="What `--provider auto` takes here.")
    threads: int
    bundle: Text | None = Field(description="Its id or name, and whether it is sound.")
    bundle_name: Text
    bundle_id: Text | None = Field(description="Null if it cannot be used.")
    golden: list[GoldenCheck] = Field(
        description="For the provider of the settings, and for what auto takes if that is another."
    )
    archive: Text
    archive_state: Text | None
    missing: int | None = Field(description="How many indexed files are gone; null: no archive.")
    problems: list[Text] = Field(description="What is wrong and what to do, a sentence each.")


class ErrorDocument(Document):
    """Why there is no other document; the message is on stderr as well."""

    schema_: Literal["vsr-edge/error/1"] = schema("vsr-edge/error/1")
    kind: Text = Field(description="The error's class, such as UsageError or ArchiveNotFound.")
    message: Text = Field(description="What is wrong, and what to do next.")
    exit_code: int
    id: LineId = None


class EvalDocument(Document):
    """What `eval` measured."""

    schema_: Literal["vsr-edge/eval/1"] = schema("vsr-edge/eval/1")
    run: EvalRun
    metrics: Figures
    intervals: dict[str, dict[str, Interval]] = Field(description="95 %, by bootstrap over videos.")
    by_kind: dict[str, Figures] = Field(
        default={}, description="Empty unless queries are of many kinds."
    )
    path: EvalPath
    evaluator: EvaluatorTime


class EvalCompareDocument(Document):
    """Two files of answers to the same queries."""

    schema_: Literal["vsr-edge/eval-compare/1"] = schema("vsr-edge/eval-compare/1")
    files: ComparedFiles
    a: Figures
    b: Figures
    moments: dict[str, int] = Field(description="The longest answer of each file.")
    difference: dict[str, dict[str, Difference]] = Field(
        description="a − b with its 95 % interval: value, low, high; in per cent."
    )


class EvalPredictionsDocument(Document):
    """A file of predictions, scored by the rules of its format and under its evaluator's names."""

    schema_: Literal["vsr-edge/eval-predictions/1"] = schema("vsr-edge/eval-predictions/1")
    metrics: dict[str, Any]


DOCUMENTS = [
    model
    for model in list(vars().values())
    if isinstance(model, type) and issubclass(model, Document) and model is not Document
    if not model.__name__.startswith("_")
]


def schema_files() -> dict[str, str]:
    """The JSON Schema of every document by the name of its file."""
    files = {}
    for document in DOCUMENTS:
        found = _alike(document.model_json_schema(mode="serialization"))
        name = found["properties"]["schema"]["const"].split("/")[1]
        whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}
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
