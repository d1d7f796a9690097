"""The JSON documents of what is served, beside those of the commands: :mod:`vsr_edge.documents`
names and lists them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from vsr_edge.document_parts import Document, Part, Seconds, Text, Video, schema

JobState = Literal["queued", "running", "done", "failed", "cancelled"]


class VideoDocument(Document):
    """One indexed video."""

    schema_: Literal["vsr-edge/video/1"] = schema("vsr-edge/video/1")
    video: Video


class JobProgress(Part):
    """How far a job is."""

    video: Text = Field(description="The file in hand.")
    done_files: int
    total_files: int
    done_bytes: float
    total_bytes: int
    frames: int = Field(description="Encoded by now.")
    media_seconds: Seconds = Field(description="Footage that was gone through.")
    elapsed: Seconds = Field(description="Since the job began to run.")


class JobDocument(Document):
    """A job that indexes; its progress, and what came of it."""

    schema_: Literal["vsr-edge/job/1"] = schema("vsr-edge/job/1")
    id: Text
    state: JobState
    paths: list[Text]
    include: list[Text]
    exclude: list[Text]
    tags: list[Text]
    made_at: Text = Field(description="ISO 8601, in UTC, as the other times are.")
    began_at: Text | None = None
    ended_at: Text | None = None
    progress: JobProgress | None = None
    result: dict[str, Any] | None = Field(
        default=None, description="The document of `index`, once it is over."
    )
    error: dict[str, Any] | None = Field(
        default=None, description="The document of the error that ended it."
    )


class JobsDocument(Document):
    """The jobs that are known, the newest first."""

    schema_: Literal["vsr-edge/jobs/1"] = schema("vsr-edge/jobs/1")
    jobs: list[JobDocument]


class SessionDocument(Document):
    """Who is logged in."""

    schema_: Literal["vsr-edge/session/1"] = schema("vsr-edge/session/1")
    name: Text
    scopes: list[Text]
    csrf: Text = Field(description="The header X-CSRF-Token of whatever is posted or deleted.")
    expires: float = Field(description="Seconds since 1970.")


class RelevanceDocument(Document):
    """How much a video looks like a query, from its beginning to its end."""

    schema_: Literal["vsr-edge/relevance/1"] = schema("vsr-edge/relevance/1")
    times: list[Seconds] = Field(description="From each one up to the next.")
    above: list[float] = Field(
        description="The best frame there: standard deviations above the archive's mean."
    )


class StandingAlert(Part):
    """A sentence that `watch` asks of each new video."""

    name: Text
    query: Text
    a_day: float = Field(description="False alarms that it may cost.")
    since: Text | None = Field(description="Only what was recorded from this time of day on.")
    until: Text | None
    videos: list[Text] = Field(description="Only these.")


class HealthDocument(Document):
    """Whether the server can answer."""

    schema_: Literal["vsr-edge/health/1"] = schema("vsr-edge/health/1")
    ok: bool
    reasons: list[Text] = Field(description="Why not, a sentence each.")


class Admitted(Part):
    """Who may come in."""

    name: Text
    kind: Literal["user", "token"]
    scopes: list[Text]
    expires: float | None = Field(description="Seconds since 1970; null: never.")


class AccessDocument(Document):
    """Who may come in to an archive that is served, after `serve add-user`, `add-token`, `revoke`
    or `access`.
    """

    schema_: Literal["vsr-edge/access/1"] = schema("vsr-edge/access/1")
    file: Text
    entries: list[Admitted]
    token: Text | None = Field(default=None, description="The new token; it is shown this once.")
