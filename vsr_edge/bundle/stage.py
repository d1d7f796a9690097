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

from vsr_edge.bundle.manifest import MANIFEST_FILE, SEAL, digest_of
from vsr_edge.errors import BundleExists


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
