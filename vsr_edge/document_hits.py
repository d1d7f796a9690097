"""The JSON documents of what is done with hits: :mod:`vsr_edge.documents` names and lists them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field

from vsr_edge.document_parts import (
    Document,
    FileReport,
    Part,
    Probability,
    Seconds,
    Text,
    rounded,
    schema,
)
from vsr_edge.hits.cuts import Cut, CutSummary


class OpenDocument(Document):
    """Which hit `open` played, and how."""

    schema_: Literal["vsr-edge/open/1"] = schema("vsr-edge/open/1")
    rank: int
    video: Text
    start: Seconds
    end: Seconds
    command: list[Text] = Field(
        description="The program and its arguments; empty on Windows where "
        "the file's own program opened it."
    )
    at_start: bool = Field(description="Whether the program was told to begin at the start.")


class CutFile(Part):
    """A file that was cut out of a video."""

    number: int = Field(description="The rank of the moment; 1 for a span that was named.")
    file: Text
    video: Text
    wanted_start: Seconds
    wanted_end: Seconds
    start: Seconds
    end: Seconds
    frames: int
    audio_streams: int
    copied: bool = Field(description="As it was coded, from a keyframe on, so perhaps longer.")
    notes: list[Text]

    @classmethod
    def of(cls, cut: Cut) -> Self:
        hit, done = cut.hit, cut.trimmed
        return cls(
            number=hit.number,
            file=str(done.path),
            video=str(hit.video),
            wanted_start=hit.start,
            wanted_end=hit.end,
            start=done.start,
            end=done.end,
            frames=done.frames,
            audio_streams=done.audio_streams,
            copied=done.copied,
            notes=list(done.notes),
        )


class CutDocument(Document):
    """What `cut` wrote."""

    schema_: Literal["vsr-edge/cut/1"] = schema("vsr-edge/cut/1")
    cuts: list[CutFile]
    lists: list[Text] = Field(description="Files with the list of hits, of --format.")
    failed: list[FileReport]
    notices: list[Text] = Field(description="What the user should know, a sentence each.")

    @classmethod
    def of(
        cls, summary: CutSummary, lists: Sequence[Path] = (), notices: Sequence[str] = ()
    ) -> Self:
        failed = [FileReport.model_validate({"path": p, "reason": r}) for p, r in summary.failed]
        return cls(
            cuts=[CutFile.of(cut) for cut in summary.cuts],
            lists=[str(one) for one in lists],
            failed=failed,
            notices=list(notices),
        )


class SavedFilters(Part):
    """Which footage a saved search is about, in the words that it was said in."""

    video: list[Text] = Field(default=[], description="Patterns, of which any may match.")
    after: Text | None = None
    before: Text | None = None
    between: Text | None = None
    min_duration: Text | None = None
    max_duration: Text | None = None
    tags: list[Text] = Field(default=[], description="All count; -night is without it.")


class SavedSearch(Part):
    """A query under its name."""

    name: Text
    saved_at: Text = Field(description="When, in UTC; empty if it cannot be read.")
    query: Text | None = Field(description="All of it in one line; null if it cannot be read.")
    good: int = Field(description="How many liked moments it brings.")
    bad: int = Field(description="How many rejected ones.")
    filters: SavedFilters
    problem: Text | None = Field(description="Why it cannot be run, if so.")


class SavedDocument(Document):
    """What `saved list` lists."""

    schema_: Literal["vsr-edge/saved/1"] = schema("vsr-edge/saved/1")
    saved: list[SavedSearch]


class SavedForgetDocument(Document):
    """What `saved forget` forgot."""

    schema_: Literal["vsr-edge/saved-forget/1"] = schema("vsr-edge/saved-forget/1")
    forgotten: list[Text]


class AlertDocument(Document):
    """An alert of `watch`, one line of its own: on stdout, to commands and to web hooks."""

    schema_: Literal["vsr-edge/alert/1"] = schema("vsr-edge/alert/1")
    id: Text = Field(description="The same whenever this moment is told of again.")
    alert: Text = Field(description="The name that it was given.")
    query: Text
    video: Text
    start: Seconds
    end: Seconds
    score: Annotated[float, rounded(4)] = Field(
        description="How alike it is: the verifier's logit with the inner product. It means "
        "something only beside other scores for this query."
    )
    threshold: Annotated[float, rounded(4)] = Field(
        description="Scores above it fire: by past footage, and the false alarms it may cost."
    )
    extrapolated: bool = Field(description="Too little footage is past to count so rare a score.")
    past_hours: Annotated[float, rounded(3)] = Field(description="Of footage the threshold is by.")
    probability: Probability | None = Field(
        description="That it shows what was asked for, in an archive of this video alone; null "
        "where nothing is verified."
    )
    recorded_at: Text = Field(description="When the moment began: ISO 8601, in UTC.")
    recorded_from: Text = Field(
        description="How that is known: container, name, or file (the time of its last change)."
    )
