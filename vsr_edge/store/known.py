"""Names and tags of an archive for a shell that completes them: at once, and changing nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from vsr_edge.config import is_database
from vsr_edge.store.connection import DATABASE_FILE, connect_to_look

_MOST = 200
# Of so many paths on a server, most of which may lie in few folders.
_MOST_PATHS = 5000


def known_tags(place: Path | str, begins: str = "") -> list[str]:
    """The tags in an archive, a folder or an address, that begin so, by name.

    Raises:
        sqlite3.Error: there is no archive, or one of before there were tags.
        ArchiveError: there is none on that server, or it does not answer within seconds.
    """
    if isinstance(place, str) and is_database(place):
        from vsr_edge.store.postgres.pg_known import tags_on_server

        return tags_on_server(place, begins.casefold(), _MOST)
    with closing(connect_to_look(Path(place) / DATABASE_FILE)) as connection:
        rows = connection.execute(
            "SELECT DISTINCT tag FROM tags WHERE substr(tag, 1, ?) = ? ORDER BY tag LIMIT ?",
            [len(begins), begins.casefold(), _MOST],
        )
        return [row[0] for row in rows]


def known_names(place: Path | str, begins: str = "") -> list[str]:
    """Names of videos and of the folders that they lie in, or paths, that begin so; errors as of
    :func:`known_tags`.
    """
    if isinstance(place, str) and is_database(place):
        from vsr_edge.store.postgres.pg_known import paths_on_server

        return _names(paths_on_server(place, os.fsencode(begins), _MOST_PATHS), begins)
    like = f"%{begins.translate({ord(c): f'~{c}' for c in '%_~'})}%"
    with closing(connect_to_look(Path(place) / DATABASE_FILE)) as connection:
        rows = connection.execute(
            "SELECT path FROM videos WHERE CAST(path AS TEXT) LIKE ? ESCAPE '~' ORDER BY path",
            [like],
        )
        return _names((path for (path,) in rows), begins)


def _names(paths: Iterable[bytes], begins: str) -> list[str]:
    found: dict[str, None] = {}
    for path in paths:
        whole = Path(os.fsdecode(path))
        names = [str(whole)] if Path(begins).is_absolute() else [whole.parent.name, whole.name]
        found |= {name: None for name in names if name.startswith(begins)}
        if len(found) >= _MOST:
            break
    return [name for name in found if name]
