"""The JSON documents of what is done with hits: :mod:`vsr_edge.documents` names and lists them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vsr_edge.document_parts import Document, Part, Text, schema

__all__ = ["Document", "Field", "SavedDocument", "SavedForgetDocument", "Text", "schema"]


class SavedSearch(Part):
    """A query under its name."""

    name: Text
    saved_at: Text = Field(description="When, in UTC; empty if it cannot be read.")
    query: Text | None = Field(description="All of it in one line; null if it cannot be read.")
    good: int = Field(description="How many liked moments it brings.")
    bad: int = Field(description="How many rejected ones.")
    problem: Text | None = Field(description="Why it cannot be run, if so.")


class SavedDocument(Document):
    """What `saved list` lists."""

    schema_: Literal["vsr-edge/saved/1"] = schema("vsr-edge/saved/1")
    saved: list[SavedSearch]


class SavedForgetDocument(Document):
    """What `saved forget` forgot."""

    schema_: Literal["vsr-edge/saved-forget/1"] = schema("vsr-edge/saved-forget/1")
    forgotten: list[Text]
