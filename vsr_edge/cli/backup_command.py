"""The commands `backup` and `restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from vsr_edge.cli.console import answer, counting_progress, say, terminate_like_ctrl_c
from vsr_edge.cli.options import ArchiveOption, JsonOption, argument, option
from vsr_edge.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vsr_edge.backup.contents import Backup

_MB = 1_000_000


def backup(
    out: Annotated[
        Path,
        argument(
            "Folder to make; in one that is there already it is named by the time.",
            metavar="FOLDER",
            readable=False,
        ),
    ],
    *,
    archive: ArchiveOption = None,
    json_output: JsonOption = False,
) -> None:
    """Back the archive up as it is at this moment, while it is indexed, watched and served.

    The videos are not in it, nor thumbnails, which are made again. Everything is read once more and
    checked; a backup that was not finished leaves nothing. It holds who may come in to a served
    archive: keep it where nobody else reads it.

    Example: [bold]vsr-edge backup /mnt/backups[/bold]
    """
    from vsr_edge.backup.back_up import back_up

    folder = _folder(archive)
    with terminate_like_ctrl_c(), counting_progress("MB backed up") as progress:
        made = back_up(folder, out, _in_megabytes(progress))
    answer(json_output, lambda of: of.BackupDocument(backup=_parts(of, made)))
    say(f"{made.folder}: {made.videos} videos, {made.bytes / _MB:.1f} MB, of {made.made_at}")


def restore(
    source: Annotated[
        Path, argument("Folder that `backup` made.", metavar="BACKUP", readable=False)
    ],
    *,
    archive: ArchiveOption = None,
    force: Annotated[
        bool, option("Put it in the place of the archive that is there.", "--force")
    ] = False,
    dry_run: Annotated[bool, option("Only check the backup.", "--dry-run", "-n")] = False,
    json_output: JsonOption = False,
) -> None:
    """Put a backup in the archive's folder, which may be another one than it was made of.

    Nothing there changes before every byte is checked; a former archive is searched until then, and
    the new one from then on. Videos are known by their content: where they lie elsewhere now, index
    that folder, which finds them again without decoding.

    Example: [bold]vsr-edge restore /mnt/backups/archive-20260301T031500Z --archive ./archive[/bold]
    """
    from vsr_edge.backup import restore as restoring

    folder = _folder(archive)
    with terminate_like_ctrl_c(), counting_progress("MB checked") as progress:
        report = _in_megabytes(progress)
        if dry_run:
            done = restoring.Restored(restoring.check_backup(source, report), folder)
        else:
            done = restoring.restore(source, folder, force=force, on_progress=report)
    found = done.backup
    notices = [*done.notices, *([] if dry_run else _notices(found.bundle_id))]
    missing = 0 if dry_run else _missing(folder)
    answer(
        json_output,
        lambda of: of.RestoreDocument(
            archive=folder,
            backup=_parts(of, found),
            restored=not dry_run,
            replaced=done.replaced,
            set_aside=done.set_aside,
            missing=missing,
            notices=notices,
        ),
    )
    about = f"{found.videos} videos, of {found.made_at}"
    say(f"{source} is sound: {about}" if dry_run else f"{folder}: restored, {about}")
    if done.set_aside is not None:
        say(f"the former archive was damaged, and is {done.set_aside} now")
    for notice in notices:
        say(notice)
    if missing:
        say(
            f"{missing} of {found.videos} videos do not lie where they did: `vsr-edge index FOLDER`"
            " of where they lie now finds them again by their content"
        )


def _folder(archive: str | None) -> Path:
    from vsr_edge.config import load_settings

    settings = load_settings({"archive": archive})
    if settings.database:
        raise UsageError(
            "an archive on a PostgreSQL server is backed up with it: use pg_dump and pg_restore"
        )
    return settings.archive


def _in_megabytes(progress: Callable[[int, int], None]) -> Callable[[int, int], None]:
    return lambda done, total: progress(done // _MB, -(-total // _MB))


def _parts(of: Any, made: Backup) -> Any:
    from dataclasses import asdict

    kept = of.BackupParts.model_fields
    told = asdict(made) | {"bytes": made.bytes}
    return of.BackupParts.model_validate({name: told[name] for name in kept})


def _notices(bundle_id: str) -> Iterator[str]:
    from vsr_edge.bundle.locate import name_of_id

    if name_of_id(bundle_id) is None:
        yield (
            f"it was encoded with {bundle_id}, and no such bundle is installed here: bring it with "
            "vsr-edge bundle pull, or name its folder with --bundle"
        )


def _missing(folder: Path) -> int:
    from vsr_edge.ingest.scan import missing_videos
    from vsr_edge.store import open_store

    with open_store(folder) as store:
        return len(missing_videos(store))
