"""The JSON documents of what is done with hits: :mod:`vsr_edge.documents` names and lists them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vsr_edge.document_parts import Document, Probability, Seconds, Text, rounded, schema

__all__ = ["AlertDocument"]


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
