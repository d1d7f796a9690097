"""Words that are said or written: the options for them, and what is said of an answer by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from vsr_edge.cli.options import option
from vsr_edge.cli.tables import Column

if TYPE_CHECKING:
    from vsr_edge.answer import Moment
    from vsr_edge.archive import Archive

SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class TextOptions:
    """Whether words count, of :class:`vsr_edge.query.SearchOptions`; None where it was not said."""

    PANEL: ClassVar = "What is asked beside the sentence"

    text: Annotated[
        bool | None,
        option(
            "Search for words that are said or written, and only these; or not for them. "
            "\\[default: both]",
            "--text/--no-text",
        ),
    ]


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """What finds words beside those of subtitles, of :meth:`vsr_edge.archive.Archive.index`."""

    ocr: Annotated[bool, option("Also read text in the pictures; slow.", "--ocr")]
    speech: Annotated[
        Path | None,
        option(
            "Also hear what is said, by the Whisper model for CTranslate2 in this folder; slow.",
            metavar="FOLDER",
            readable=False,
        ),
    ]


def text_columns(moments: Sequence[Moment]) -> list[Column]:
    """The columns that an answer by words has more; none without any."""
    if all(moment.source == "seen" for moment in moments):
        return []
    return [Column("found"), Column("words", "text")]


def text_cells(moment: Moment, columns: Sequence[Column]) -> list[str]:
    """What led to a moment, and its words, for these columns."""
    words = moment.text or ""
    shown = words if len(words) <= SHOWN_CHARACTERS else f"{words[: SHOWN_CHARACTERS - 1]}…"
    return [moment.source, shown] if columns else []


def why_no_words(archive: Archive) -> str:
    """What to say where no words were found."""
    if not archive.store.has_texts():
        return (
            "no words are known of these videos: subtitles that lie beside them (film.srt, "
            "film.en.vtt) or inside them are read by vsr-edge index"
        )
    return "nowhere are all these words near one another; fewer of them, or fire*, find more"
