"""The JSON documents of what is done with hits: :mod:`vsr_edge.documents` names and lists them."""

from __future__ import annotations

from pydantic import Field

from vsr_edge.document_parts import Document, Text, schema

__all__ = ["Document", "Field", "Text", "schema"]
