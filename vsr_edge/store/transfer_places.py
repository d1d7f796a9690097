"""Where rows are moved from and to: a folder, or a server."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from vsr_edge.store.transfer import Staging, StoredRows

if TYPE_CHECKING:
    from vsr_edge.config import Settings


def stored_rows(settings: Settings, *, alone: bool) -> AbstractContextManager[StoredRows]:
    """The rows of the archive that the settings name; ``alone``: nobody may write it meanwhile.

    Raises:
        ArchiveNotFound: there is none.
        ArchiveLocked: somebody writes it.
    """
    if settings.database:
        from vsr_edge.store.postgres.pg_transfer import server_rows

        return server_rows(settings.database, alone=alone)
    from vsr_edge.store.local_transfer import local_rows

    return local_rows(settings.archive, alone=alone)


def staging(
    settings: Settings, bundle_id: str, dim: int, came_from: str, *, restart: bool
) -> AbstractContextManager[Staging]:
    """Begin, or go on with, an archive where the settings name none yet.

    Args:
        restart: throw away what an earlier one has left.

    Raises:
        UsageError: an archive is there.
        ArchiveLocked: somebody else is at it.
        BundleMismatch: what was left is of another bundle.
    """
    if settings.database:
        from vsr_edge.store.postgres.pg_transfer import server_staging

        return server_staging(settings.database, bundle_id, dim, came_from, restart=restart)
    from vsr_edge.store.local_transfer import local_staging

    return local_staging(settings.archive, bundle_id, dim, came_from, restart=restart)
