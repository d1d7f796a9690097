"""What was asked: a sentence, or something that it looks like, told apart."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from vsr_edge.errors import UsageError
from vsr_edge.media.source import VIDEO_SUFFIXES
from vsr_edge.query import Query, SearchOptions

_PICTURE = re.compile(r"\.(jpe?g|png|webp|bmp|gif|tiff?|heic|heif|avif)$", re.IGNORECASE)


def asked(query: str | Query, options: SearchOptions) -> Query:
    """A query, with what it is like told apart: a picture's file, or a moment of a video."""
    said = query if isinstance(query, Query) else Query(query)
    if said.text is not None and not options.text and _is_picture(said.text.strip()):
        raise UsageError(
            f"{said.text.strip()} names a picture: to find what looks like it, "
            f"vsr-edge search --like {said.text.strip()}"
        )
    like = said.like
    if isinstance(like, str):
        like = Query.read_like(like)
    if isinstance(like, Path) and like.suffix.lower() in VIDEO_SUFFIXES - {".gif"}:
        raise UsageError(f"{like} is a video: say which moment of it, as in {like}@1:23")
    return replace(said, like=like)


def _is_picture(query: str) -> bool:
    """Whether a query is the name of a picture file; a sentence may end in one too."""
    named = _PICTURE.search(query) is not None
    return named and (" " not in query or os.path.isfile(query))  # noqa: PTH113 — never raises
