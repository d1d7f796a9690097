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


class RowChecksum(Part):
    """The rows of one kind: the same in the archive that was copied and in the copy."""

    rows: int
    checksum: Text = Field(
        description="The sum of the rows' hashes (BLAKE2b, 128 bits), in hexadecimal: of the same "
        "rows it is the same, whatever stores them and in whichever order."
    )


class MigrationDocument(Document):
    """What `migrate` did."""

    schema_: Literal["vsr-edge/migration/1"] = schema("vsr-edge/migration/1")
    source: Text = Field(description="Folder, or address without its password.")
    target: Text
    bundle_id: Text = Field(description="Of the encoders that the vectors are of.")
    copied: int = Field(description="Videos that this run copied.")
    passed_over: int = Field(description="Videos that an earlier run had copied.")
    there: bool = Field(description="Whether an archive of just these rows was there already.")
    checksums: dict[str, RowChecksum] = Field(
        description="By the kind of rows; `archive` is what is said of it as a whole."
    )
    beside: list[Text] = Field(description="Files beside the rows that came along.")
    left: list[Text] = Field(description="Those that did not: others of that name are there.")
    notices: list[Text]
