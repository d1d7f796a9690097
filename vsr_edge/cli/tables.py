"""Tables for people that fit the terminal: a path or a number is never broken inside.

Where a row does not fit, its longest columns are folded, words between words and paths at their
separators; where that would leave them too narrow, each row becomes a paragraph of its own. What
is no terminal has no width: there every row is one line and nothing is folded or shortened.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from rich.cells import cell_len

from vsr_edge.errors import printable

Row: TypeAlias = Sequence[str]
Kind: TypeAlias = Literal["plain", "number", "text", "path"]

_GAP: Final = "  "
# Narrower than this, a folded column is harder to read than a paragraph a row.
_LEAST_FOLDED: Final = 20
_PATH_PARTS: Final = r"[^/\\]*[/\\]+|[^/\\]+"
# What is no path may be broken after a hyphen as well.
_WORD_PARTS: Final = r"[^/\\-]*[/\\-]+\s*|[^/\\-]+"


class Column(NamedTuple):
    """A heading, perhaps empty, and what stands below it: numbers stand to the right; only text and
    paths may be folded.
    """

    title: str
    kind: Kind = "plain"


class Table(NamedTuple):
    """Rows under their columns; where they do not fit, paragraphs that begin with the columns
    ``named_by``.
    """

    columns: Sequence[Column]
    rows: Iterable[Row]
    named_by: Sequence[int] = (0,)


def pairs(known: Mapping[str, str]) -> Table:
    """Names and values in two columns."""
    return Table((Column(""), Column("", "text")), list(known.items()))


def print_tables(*tables: Table) -> None:
    """Tables on stdout, an empty line between two of them."""
    from rich.console import Console
    from rich.text import Text

    out = Console(highlight=False)
    width = out.width if out.is_terminal else None
    for number, (columns, rows, named_by) in enumerate(tables):
        if number:
            out.print()
        shown = [[printable(cell).replace("\n", "\\n") for cell in row] for row in rows]
        for line, bold in layout(columns, shown, width, named_by):
            # As it is: rich would fold it by rules of its own, and take [brackets] for markup.
            out.print(Text(line, style="bold" if bold else ""), soft_wrap=True)


def megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def layout(
    columns: Sequence[Column],
    rows: Sequence[Row],
    width: int | None,
    named_by: Sequence[int] = (0,),
) -> Iterator[tuple[str, bool]]:
    """The lines of a table, and whether each is a heading; ``width`` None sets no limit."""
    titles = [column.title for column in columns]
    headed = any(titles)
    whole = [titles, *rows] if headed else list(rows)
    widest = [max((cell_len(row[i]) for row in whole), default=0) for i in range(len(columns))]
    widths = _fitted(columns, widest, width)
    if widths is None:
        yield from _paragraphs(columns, rows, width or 1, named_by)
        return
    for number, row in enumerate(whole):
        cells = [
            fold(cell, room, column.kind) if cell_len(cell) > room else [cell]
            for cell, room, column in zip(row, widths, columns, strict=True)
        ]
        for place in range(max(map(len, cells))):
            parts = (cell[place] if place < len(cell) else "" for cell in cells)
            aligned = []
            for part, room, column in zip(parts, widths, columns, strict=True):
                space = " " * (room - cell_len(part))
                aligned.append(space + part if column.kind == "number" else part + space)
            yield _GAP.join(aligned).rstrip(), headed and number == 0


def _fitted(
    columns: Sequence[Column], widest: Sequence[int], width: int | None
) -> list[int] | None:
    """The width of each column, or None where they cannot stand side by side."""
    gaps = len(_GAP) * (len(columns) - 1)
    if width is None or sum(widest) + gaps <= width:
        return list(widest)
    folding = [place for place, column in enumerate(columns) if column.kind in ("text", "path")]
    widths = [min(w, _LEAST_FOLDED) if i in folding else w for i, w in enumerate(widest)]
    spare = width - gaps - sum(widths)
    if spare < 0:
        return None
    while spare and (narrow := [i for i in folding if widths[i] < widest[i]]):
        for place in narrow[:spare]:
            widths[place] += 1
        spare -= len(narrow[:spare])
    return widths


def _paragraphs(
    columns: Sequence[Column], rows: Sequence[Row], width: int, named_by: Sequence[int]
) -> Iterator[tuple[str, bool]]:
    """Each row as what it is called, and below that what its other columns say."""
    others = [place for place in range(len(columns)) if place not in named_by]
    heading = _GAP.join(columns[place].title for place in named_by).strip()
    if heading:
        yield from ((line, True) for line in fold(heading, width, "text"))
    room = max(width - len(_GAP), 1)
    for row in rows:
        name = _GAP.join(row[place] for place in named_by if row[place])
        kind: Kind = "path" if any(columns[i].kind == "path" for i in named_by) else "text"
        yield from ((line, False) for line in fold(name, width, kind))
        lines: list[str] = []
        for place in others:
            if not row[place]:
                continue
            text = f"{columns[place].title} {row[place]}".strip()
            if lines and cell_len(lines[-1] + _GAP + text) <= room:
                lines[-1] += _GAP + text
            else:
                lines += fold(text, room, columns[place].kind)
        yield from ((_GAP + line, False) for line in lines)


def fold(text: str, width: int, kind: Kind = "text") -> list[str]:
    """Text in lines of at most ``width`` cells.

    Words are kept whole and paths broken after their separators only. A file name that is still
    too long is shortened in its middle; any other word that is, is cut.
    """
    if kind == "path":
        pieces = re.findall(_PATH_PARTS, text)
    else:
        pieces = []
        for word in re.findall(r"\S+\s*", text):
            pieces += re.findall(_WORD_PARTS, word) if _long(word, width) else [word]
    lines = [""]
    for piece in pieces:
        if not _long(lines[-1] + piece, width):
            lines[-1] += piece
            continue
        if not _long(piece, width):
            lines.append(piece)
        else:
            lines += [shortened(piece, width)] if kind == "path" else _cut(piece, width)
    return [line.rstrip() for line in lines if line] or lines


def shortened(text: str, width: int) -> str:
    """Text of at most ``width`` cells, its middle left out: what a file is of stands at its end."""
    if cell_len(text) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        shown = f"{text[: kept // 2]}…{text[len(text) - (kept + 1) // 2 :]}"
        if cell_len(shown) <= width:
            return shown
    return "…"


def _cut(text: str, width: int) -> list[str]:
    parts = [""]
    for character in text:
        if parts[-1] and cell_len(parts[-1] + character) > width:
            parts.append("")
        parts[-1] += character
    return parts


def _long(text: str, width: int) -> bool:
    return cell_len(text.rstrip()) > width
