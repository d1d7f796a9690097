"""Why a filter lets nothing through: which of its conditions nothing meets."""

from __future__ import annotations

from dataclasses import replace

from vsr_edge.query import Daily, Filter
from vsr_edge.store.base import Store
from vsr_edge.times import shown

_NAMED_TAGS = 20


def why_nothing(store: Store, where: Filter, zone: str = "") -> str | None:
    """A sentence for people; None if something is let through."""
    if store.videos(where) and store.frame_count(where):
        return None
    alone = {
        "after": f"nothing was recorded after {_at(where.after, zone)}",
        "before": f"nothing was recorded before {_at(where.before, zone)}",
        "between": f"nothing was recorded between {_of_day(where.between)}",
        "min_duration": f"no video is as long as {where.min_duration:g} s"
        if where.min_duration is not None
        else "",
        "max_duration": f"no video is as short as {where.max_duration:g} s"
        if where.max_duration is not None
        else "",
    }
    timed = {"after", "before", "between"}
    for name, sentence in alone.items():
        value = getattr(where, name)
        if value is not None and not store.frame_count(replace(Filter(), **{name: value})):
            return f"{sentence}{_reach(store, zone) if name in timed else ''}"
    for tag in where.tags:
        if not store.frame_count(Filter(tags=(tag,))):
            return _without(store, tag)
    return f"no footage meets all of these: {described(where, zone)}"


def described(where: Filter, zone: str = "") -> str:
    """The conditions of a filter in words."""
    said = [f"video {' or '.join(where.videos)}"] if where.videos else []
    said += [f"after {_at(where.after, zone)}"] if where.after is not None else []
    said += [f"before {_at(where.before, zone)}"] if where.before is not None else []
    said += [f"between {_of_day(where.between)}"] if where.between is not None else []
    said += [f"at least {where.min_duration:g} s"] if where.min_duration is not None else []
    said += [f"at most {where.max_duration:g} s"] if where.max_duration is not None else []
    said += [f"tagged {tag}" if tag[0] != "-" else f"not tagged {tag[1:]}" for tag in where.tags]
    return ", ".join(said)


def _reach(store: Store, zone: str) -> str:
    """From when to when there is footage."""
    videos = store.videos()
    begins = [one.recorded_at for one in videos if one.recorded_at is not None]
    ends = [(one.recorded_at or 0.0) + one.video.duration for one in videos]
    if not begins:
        return "; nothing is indexed yet"
    return f"; the archive's footage is from {shown(min(begins), zone)} to {shown(max(ends), zone)}"


def _without(store: Store, tag: str) -> str:
    if tag.startswith("-"):
        return f"every video is tagged {tag[1:]}"
    known = list(store.tags())
    more = f" and {len(known) - _NAMED_TAGS} more" if len(known) > _NAMED_TAGS else ""
    tags = f"; the tags are: {', '.join(known[:_NAMED_TAGS])}{more}" if known else "; none is"
    return f"no video is tagged {tag}{tags}"


def _at(instant: float | None, zone: str) -> str:
    return "" if instant is None else shown(instant, zone)


def _of_day(daily: Daily | None) -> str:
    if daily is None:
        return ""
    clock = (f"{at // 3600:02d}:{at % 3600 // 60:02d}" for at in (daily.since, daily.until))
    return " and ".join(clock)
