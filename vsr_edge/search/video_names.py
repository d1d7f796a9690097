"""Which videos somebody means by a path, a folder or a glob, and what he may have meant instead."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from vsr_edge.errors import UsageError
from vsr_edge.query import Filter, VideoNames
from vsr_edge.store.base import Store
from vsr_edge.types import StoredVideo

# What a mistyped name is compared with, and what of it is shown.
_SEARCHED_NAMES, _NAMED, _LIKENESS = 5_000, 3, 0.6


def named(
    store: Store,
    video: VideoNames | None,
    where: Filter | None = None,
    *,
    required: bool = True,
) -> Filter | None:
    """The filter that paths, folders and globs mean, with the other conditions of ``where``; None
    does not narrow.

    Raises:
        UsageError: one that is ``required`` to match something matches nothing; the message names
        what is called nearly so.
    """
    if video is None:
        return where
    names = [os.fspath(name) for name in ([video] if isinstance(video, str | Path) else video)]
    patterns = tuple(_pattern(store, name) for name in names)
    for name, pattern in zip(names, patterns, strict=True):
        if required and not store.frame_count(Filter((pattern,))):
            raise _unmatched(store, name)
    return replace(where or Filter(), videos=patterns)


def _unmatched(store: Store, name: str) -> UsageError:
    videos = store.videos()
    if not videos:
        return UsageError("nothing is indexed in this archive yet: vsr-edge index FOLDER")
    similar = _similar(name, videos)
    near = f"; nearly so are called: {', '.join(similar)}" if similar else ""
    hint = "; in a glob, [[] stands for the bracket [" if "[" in name else ""
    return UsageError(
        f"no indexed video matches {name!r}{near}{hint}; `vsr-edge videos` lists them"
    )


def _pattern(store: Store, name: str) -> str:
    """A name as a pattern: what lies at that path from here, else whatever is called so."""
    path = Path(os.path.abspath(name))  # noqa: PTH100 — as scan does
    # A glob that matches this path alone, whatever is in its name.
    exact = re.sub(r"([*?[])", r"[\1]", str(path))
    if name and store.find(path) is not None:
        return exact
    if name and store.frame_count(Filter((f"{exact}/",))):
        return f"{exact}/"
    return name


def _similar(name: str, videos: Sequence[StoredVideo]) -> list[str]:
    """Names of videos and folders that somebody may have meant."""
    wanted = re.sub(r"[*?\[\]]", "", name.replace("\\", "/")).strip("/").rpartition("/")[2]
    known: dict[str, str] = {}
    for stored in videos[:_SEARCHED_NAMES]:
        path = stored.video.path
        for part in (path.name, path.stem, *(folder.name for folder in path.parents)):
            if part:
                known.setdefault(part.casefold(), path.name if part == path.stem else part)
    near = get_close_matches(wanted.casefold(), known, n=_NAMED, cutoff=_LIKENESS)
    return list(dict.fromkeys(known[part] for part in near))
