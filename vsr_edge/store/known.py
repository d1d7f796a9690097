"""Names and tags of an archive for a shell that completes them: at once, and changing nothing."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from vsr_edge.store.connection import DATABASE_FILE, connect_to_look

_MOST = 200


def known_tags(folder: Path, begins: str = "") -> list[str]:
    """The tags in an archive that begin so, by name.

    Raises:
        sqlite3.Error: there is no archive, or one of before there were tags.
    """
    with closing(connect_to_look(folder / DATABASE_FILE)) as connection:
        rows = connection.execute(
            "SELECT DISTINCT tag FROM tags WHERE substr(tag, 1, ?) = ? ORDER BY tag LIMIT ?",
            [len(begins), begins.casefold(), _MOST],
        )
        return [row[0] for row in rows]


def known_names(folder: Path, begins: str = "") -> list[str]:
    """Names of videos and of the folders that they lie in, or paths, that begin so.

    Raises:
        sqlite3.Error: there is no archive.
    """
    found: dict[str, None] = {}
    with closing(connect_to_look(folder / DATABASE_FILE)) as connection:
        like = f"%{begins.translate({ord(c): f'~{c}' for c in '%_~'})}%"
        for (path,) in connection.execute(
            "SELECT path FROM videos WHERE CAST(path AS TEXT) LIKE ? ESCAPE '~' ORDER BY path",
            [like],
        ):
            whole = Path(os.fsdecode(path))
            names = [str(whole)] if Path(begins).is_absolute() else [whole.parent.name, whole.name]
            found |= {name: None for name in names if name.startswith(begins)}
            if len(found) >= _MOST:
                break
    return [name for name in found if name]
