"""The JSON documents of backups: :mod:`vsr_edge.documents` names and lists them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vsr_edge.document_parts import Document, Part, Text, schema


class BackedUpFile(Part):
    """A file of a backup."""

    name: Text
    bytes: int
    sha256: Text


class BackupParts(Part):
    """What a backup says of itself."""

    folder: Text
    archive: Text = Field(description="Where the archive lay.")
    made_at: Text = Field(description="ISO 8601, in UTC: the moment that it is of.")
    made_by: Text
    bundle_id: Text = Field(description="Of the encoders that its vectors are of.")
    videos: int
    bytes: int
    files: list[BackedUpFile]


class BackupDocument(Document):
    """What `backup` made."""

    schema_: Literal["vsr-edge/backup/1"] = schema("vsr-edge/backup/1")
    backup: BackupParts


class RestoreDocument(Document):
    """What `restore` did, or with `--dry-run` checked."""

    schema_: Literal["vsr-edge/restore/1"] = schema("vsr-edge/restore/1")
    archive: Text
    backup: BackupParts
    restored: bool = Field(description="False with `--dry-run`.")
    replaced: bool = Field(description="Whether an archive was there.")
    set_aside: Text | None = Field(description="Where the former one is, which was damaged.")
    missing: int = Field(description="Videos that do not lie where they did.")
    notices: list[Text]
