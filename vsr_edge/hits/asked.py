"""A query that lasts: as JSON and back, meaning the same later; and what feedback adds to it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vsr_edge.archive import Archive
from vsr_edge.errors import UsageError
from vsr_edge.query import Place, Query
from vsr_edge.search.fusion import LOOK_UP


def settled(archive: Archive, query: Query) -> Query:
    """The query with whole paths, and with the fingerprints of the videos that it names."""
    from vsr_edge.search.places import named_frame

    like = query.like
    if isinstance(like, str):
        like = Query.read_like(like)
    if isinstance(like, Path):
        like = like.absolute()
    elif isinstance(like, Place):
        found = named_frame(archive.store, like)
        like = replace(like, video=Path(like.video).absolute())
        if found is not None:
            video = found[0].video
            like = replace(like, video=video.path, fingerprint=video.fingerprint)
    return replace(query, like=like)


def query_document(query: Query) -> dict[str, Any]:
    """A query as JSON's values. Raises ``UsageError`` for one with pixels in it."""
    if not (query.like is None or isinstance(query.like, str | Path | Place)):
        raise UsageError("a picture that is in no file cannot be kept: save it, and name the file")
    like = asdict(query.like) if isinstance(query.like, Place) else query.like
    values = {
        "text": query.text,
        "like": like,
        "weight": query.weight,
        "not": query.against,
        "good": [asdict(place) for place in query.good],
        "bad": [asdict(place) for place in query.bad],
    }
    return {name: _plain(value) for name, value in values.items()}


def query_of(document: Mapping[str, Any]) -> Query:
    """The query of a document.

    Raises:
        UsageError: it is none.
    """
    try:
        like = document["like"]
        return Query(
            document["text"],
            Place(**like) if isinstance(like, Mapping) else like and Path(like),
            document["weight"],
            document["not"],
            tuple(Place(**place) for place in document["good"]),
            tuple(Place(**place) for place in document["bad"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"this is no query that was kept ({error}): ask anew") from error


def with_feedback(
    archive: Archive,
    query: Query | None,
    last: Mapping[str, Any],
    good: Sequence[int],
    bad: Sequence[int],
) -> Query:
    """A query with what was liked and rejected of the last answer, by rank.

    Without a new ``query`` it is that of the last answer, with all that was judged before. What
    is judged anew counts as it is judged now.

    Raises:
        UsageError: a rank that the answer does not have, or one that is both; without a query, an
            answer to one that cannot be refined.
    """
    if both := sorted(set(good) & set(bad)):
        raise UsageError(f"{both[0]} cannot be both, good and bad")
    liked, rejected = (_places(archive, last, ranks) for ranks in (good, bad))
    if query is None and last.get("read_as") is not None:
        raise UsageError("the last query had several parts: say one sentence with --good and --bad")
    if query is None and (turns := last.get("turns")) and turns[0].get("action") == LOOK_UP:
        raise UsageError(
            "the last answer was by words alone, and --good and --bad are of what is seen: say a "
            "sentence for that with them"
        )
    former = query_of(last.get("asked") or {}) if query is None else query
    judged = {*liked, *rejected}
    return replace(
        former,
        good=(*(place for place in former.good if place not in judged), *liked),
        bad=(*(place for place in former.bad if place not in judged), *rejected),
    )


def _places(archive: Archive, last: Mapping[str, Any], ranks: Iterable[int]) -> list[Place]:
    moments = {moment["rank"]: moment for moment in last.get("moments", ())}
    places = []
    for rank in dict.fromkeys(ranks):
        if rank not in moments:
            raise UsageError(
                f"the last answer has no moment {rank}: it has {len(moments)}, to the query "
                f"{last.get('query')!r}"
            )
        moment = moments[rank]
        stored = archive.store.find(Path(moment["video"]))
        fingerprint = None if stored is None else stored.video.fingerprint
        places.append(Place(moment["video"], moment["start"], moment["end"], fingerprint))
    return places


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return os.fspath(value) if isinstance(value, Path) else value
