"""Stage, verify, publish: a bundle comes to be beside its place, and is put there once it is whole.

The manifest is written last, as the mark that a bundle is complete.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vsr_edge.bundle.manifest import FORMAT, MANIFEST_FILE, SEAL, digest_of
from vsr_edge.errors import BundleExists, UsageError


def check_target(out: Path, source: Path | None = None) -> None:
    """May the files of a bundle that is made of a ``source`` folder lie in ``out``, in place of
    those of the same names?

    Raises:
        UsageError: it is the source, or holds it; it is a file, or something else that has a
            manifest.json lies there.
    """
    if source is not None and out.resolve() in (source.resolve(), *source.resolve().parents):
        raise UsageError(
            f"the bundle would take the place of files that it is made of: {source} is, or lies "
            f"in, {out}; name another folder with --out"
        )
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: name a folder with --out")
    path = out / MANIFEST_FILE
    if not path.exists():
        return
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise UsageError(
            f"{path} is no bundle's, and a bundle would take its place: name another folder with "
            "--out"
        )


@contextmanager
def staging(parent: Path) -> Iterator[Path]:
    """A new folder for a bundle on the disk of ``parent``, where it is to be published; what is not
    by then is gone at the end. Its own parent is there for what else is temporary.
    """
    parent.mkdir(parents=True, exist_ok=True)
    # What a kill leaves behind begins with a dot: no bundle is found by such a name.
    with tempfile.TemporaryDirectory(prefix=".bundle-", suffix=".partial", dir=parent) as scratch:
        folder = Path(scratch) / "bundle"  # the temporary one lets nobody else in
        folder.mkdir()
        yield folder


def write_manifest(folder: Path, fields: Mapping[str, Any]) -> None:
    """Seal the fields and write them as the manifest in ``folder``, atomically."""
    sealed = {**fields, SEAL: digest_of(fields)}
    text = json.dumps(sealed, indent=1, ensure_ascii=False, allow_nan=False)
    partial = folder / f"{MANIFEST_FILE}.partial"
    with partial.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / MANIFEST_FILE)


def publish(folder: Path, target: Path, *, replace: bool = False) -> None:
    """Put a staged and verified bundle in its place.

    With ``replace``, its files take the place of those of the same names in a folder that is there
    already, the manifest first gone and then written last: what is only half replaced does not
    look complete. What else lies there stays.

    Raises:
        BundleExists: something is there already.
    """
    if replace and target.is_dir():
        (target / MANIFEST_FILE).unlink(missing_ok=True)
        for path in sorted(folder.iterdir(), key=lambda path: path.name == MANIFEST_FILE):
            path.replace(target / path.name)
        return
    try:
        folder.rename(target)
    except OSError as error:
        if os.path.lexists(target):
            raise BundleExists(f"{target} came to be meanwhile: pull again") from error
        raise
