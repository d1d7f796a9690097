"""The JSON documents of what is done with hits: :mod:`vsr_edge.documents` names and lists them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from vsr_edge.document_parts import Document, FileReport, Part, Seconds, Text, schema
from vsr_edge.hits.cuts import Cut, CutSummary

__all__ = ["CutDocument", "Document", "Field", "Text", "schema"]


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
