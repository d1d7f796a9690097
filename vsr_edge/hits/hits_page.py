"""An answer as one HTML page that needs nothing beside it: pictures lie within, no script runs."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template

from vsr_edge.answer import Candidate, Moment, SearchResult, Turn
from vsr_edge.bundle.locate import bundle_title, name_of_id
from vsr_edge.errors import printable
from vsr_edge.hits.in_words import (
    is_guess,
    likelihood,
    percent,
    recorded,
    span,
    verdict_in_words,
)
from vsr_edge.hits.thumbnails import Thumbnail
from vsr_edge.media.source import split_stream
from vsr_edge.types import clock

_TEMPLATE = Path(__file__).with_name("hits_page.html")
# So many of what a turn brought up are named.
_CANDIDATES = 5


def hits_page(found: SearchResult, pictures: Sequence[Thumbnail], zone: str = "") -> str:
    """The page of an answer, with a picture for each of its moments; times by a zone's clocks."""
    stages = ", ".join(f"{name} {ms:.1f}" for name, ms in found.timing_ms.items())
    bundle = bundle_title(name_of_id(found.bundle), found.bundle)
    return Template(_TEMPLATE.read_text("utf-8")).substitute(
        title=_text(found.query),
        query=_text(found.query),
        verdict=_text(verdict_in_words(found)),
        notices=_lines(f'<p class="note">{_text(said)}</p>' for said in found.notices),
        hits=_lines(
            _hit(found, moment, picture, zone)
            for moment, picture in zip(found.moments, pictures, strict=True)
        ),
        turns=_lines(map(_turn, found.turns)),
        timing=_text(f"Milliseconds: {stages}. Bundle: {bundle}."),
    )


def _hit(found: SearchResult, moment: Moment, picture: Thumbnail, zone: str) -> str:
    guess = is_guess(found, moment)
    name = _text(moment.video.name)
    at = clock(moment.shown_at)
    if picture.jpeg is None:
        shown = f'<div class="none">no picture: {_text(picture.remark)}</div>'
    else:
        data = base64.b64encode(picture.jpeg).decode("ascii")
        alt = f"{name} at {at}"
        shown = (
            f'<a class="picture" href="{_link(moment)}" aria-label="Play {alt}">'
            f'<img src="data:image/jpeg;base64,{data}" alt="{alt}"></a>'
        )
    when = recorded(moment, zone)
    remarks = [
        *([f"“{moment.text}”"] if moment.text else []),
        *([f"recorded {when}"] if when else []),
        *([picture.remark] if picture.jpeg and picture.remark else []),
    ]
    return (
        f'<li class="{"guess" if guess else "hit"}">{shown}<div class="about">'
        f'<div class="first"><span class="rank">{moment.rank}.</span>'
        f'<span class="likely">{_text(likelihood(moment))}{" – a guess" if guess else ""}</span>'
        f'<span class="span">{_text(span(moment))}</span></div>'
        f'<div><a href="{_link(moment)}">{name}</a></div>'
        f'<p class="more">{_text(str(moment.video.parent))}</p>'
        + "".join(f'<p class="more">{_text(remark)}</p>' for remark in remarks)
        + "</div></li>"
    )


def _link(moment: Moment) -> str:
    """The file at the moment's start, as a media fragment."""
    file, _ = split_stream(moment.video)
    return escape(f"{file.absolute().as_uri()}#t={moment.start:.3f},{moment.end:.3f}")


def _turn(turn: Turn) -> str:
    told = f"{turn.action}, {len(turn.candidates)} new candidates, {turn.latency_ms:.1f} ms"
    parts = [_text(told[:1].upper() + told[1:])]
    if (change := turn.refinement) is not None:
        spent = f"{turn.soft_tokens} soft tokens" if turn.soft_tokens else change.method
        said = f"The query was refined by {spent}, cosine to the original {change.cosine:.2f}"
        said += f"; towards: {', '.join(change.gained)}" if change.gained else ""
        said += f"; away from: {', '.join(change.lost)}" if change.lost else ""
        parts.append(f"<br>{_text(said)}")
    shown = _lines(f"<li>{_text(_candidate(one))}</li>" for one in turn.candidates[:_CANDIDATES])
    parts.append(f"<ul>{shown}</ul>" if shown else "")
    parts.append(f"<span>{_text(turn.then)}</span>" if turn.then else "")
    return f"<li>{''.join(parts)}</li>"


def _candidate(one: Candidate) -> str:
    likely = "" if one.match_probability is None else f"{percent(one.match_probability)}, "
    where = f"{clock(one.start)}–{clock(one.end)}"
    return f"{likely}score {one.score:.3f}, {where}, {one.video.name}"


def _text(text: str) -> str:
    return escape(printable(text))


def _lines(parts: Iterable[str]) -> str:
    return "\n".join(part for part in parts if part)
