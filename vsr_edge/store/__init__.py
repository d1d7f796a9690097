"""Rows and vectors; knows no model. The other rooms use :func:`open_store` and
``vsr_edge.store.base`` alone.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vsr_edge.config import is_database
from vsr_edge.errors import ArchiveError, UsageError
from vsr_edge.store.base import Store

if TYPE_CHECKING:
    from vsr_edge.config import Settings


def open_store(
    folder: Path | str,
    *,
    bundle_id: str | None = None,
    dim: int | None = None,
    create: bool = False,
    threads: int = 0,
) -> Store:
    """Open the archive in a local folder, or on a PostgreSQL server.

    Args:
        folder: a path, a ``file://`` URL, or ``postgresql://user@host/database?schema=name``.
        bundle_id: the bundle in use; None to only look, whatever bundle encoded the archive.
        dim: its vector length D; None like ``bundle_id``. Both are needed to create.
        create: make the folder and an empty archive where there is none.
        threads: for searching; 0 is as many as this process may use.

    Raises:
        ArchiveNotFound: nothing was indexed there, and ``create`` is False.
        BundleMismatch: it was encoded with another bundle.
        ArchiveDamaged: the database cannot be read.
        ArchiveError: it was written by a newer version, or the folder or server cannot be used.
    """
    if is_database(folder):
        from vsr_edge.store.postgres.pg_store import ServerStore

        return ServerStore(str(folder), bundle_id=bundle_id, dim=dim, create=create)
    # The database and usearch take 0.2 s to import: not for `--help`.
    from vsr_edge.store.sqlite import LocalStore

    return LocalStore(_local(folder), bundle_id=bundle_id, dim=dim, create=create, threads=threads)


def open_settings_store(
    settings: Settings, bundle_id: str | None = None, dim: int | None = None, create: bool = False
) -> Store:
    """Open the store that the settings name (:func:`open_store`).

    Raises:
        ArchiveError: no folder can lie there, or none that may be looked into; and all that
        ``open_store`` raises.
    """
    folder = settings.archive
    if settings.database:
        store = open_store(settings.database, bundle_id=bundle_id, dim=dim, create=create)
        with suppress(OSError):  # whoever keeps something there says what is wrong with it
            folder.mkdir(parents=True, exist_ok=True)
        return store
    try:
        is_file = folder.is_file()
        (folder / "archive.db").exists()
    except OSError as error:
        raise ArchiveError(
            f"{folder} cannot be looked into ({error.strerror}): change its permissions, or name "
            "another folder with --archive"
        ) from error
    if is_file:
        raise ArchiveError(
            f"{folder} is a file, not an archive's folder: name another with --archive"
        )
    return open_store(folder, bundle_id=bundle_id, dim=dim, create=create, threads=settings.threads)


def _local(folder: Path | str) -> Path:
    if isinstance(folder, Path) or "://" not in folder:
        return Path(folder)
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    url = urlsplit(folder)
    if url.scheme != "file" or url.netloc not in {"", "localhost"}:
        raise UsageError(f"{folder}: archives lie in local folders; give a path or a file:// URL")
    return Path(url2pathname(url.path))
