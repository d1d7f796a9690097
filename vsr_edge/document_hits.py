"""The JSON documents of what is done with hits: :mod:`vsr_edge.documents` names and lists them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vsr_edge.document_parts import Document, Seconds, Text, schema


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
