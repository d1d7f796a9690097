"""What may be in a bundle on the move, and where one is installed."""

from __future__ import annotations

import re
from pathlib import Path

from vsr_edge.bundle.locate import BUILT_IN, named_files
from vsr_edge.bundle.manifest import MANIFEST_FILE, BundleFile, Manifest, read_manifest
from vsr_edge.config import bundles_folder
from vsr_edge.errors import BundleDamaged, UsageError

# What travels beside the files that the manifest names. The manifest vouches for none of it:
# nothing reads these but people.
DOCUMENTS = ("MODEL_CARD.md", "LICENSE", "NOTICE")
MAX_DOCUMENT_BYTES = 1_000_000
# A manifest is read into memory before anything is known about it. The built-in one has 35 kB.
MAX_MANIFEST_BYTES = 16_000_000

# Names that are one and the same plain file on every system: no separators, no drive or stream, no
# leading dot, nothing that a terminal or a shell would take amiss.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}", re.ASCII)
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.ASCII | re.IGNORECASE)


def is_plain_name(name: str) -> bool:
    """Is this the name of a file, and of nothing else, wherever it is written?"""
    return bool(_PLAIN.fullmatch(name)) and not name.endswith(".") and not _DEVICE.fullmatch(name)


def contents(manifest: Manifest) -> dict[str, BundleFile]:
    """File name → what the manifest says of it, for every file that it names.

    Raises:
        BundleDamaged: a name that does not travel, or one that stands for two things.
    """
    found: dict[str, BundleFile] = {}
    taken = {name.casefold(): name for name in (MANIFEST_FILE, *DOCUMENTS)}
    for role, entry in named_files(manifest):
        name = entry.file
        if not is_plain_name(name):
            raise BundleDamaged(f"the manifest names {name!r} ({role}): not a plain file name")
        if entry.size_bytes < 0:
            raise BundleDamaged(f"the manifest says that {name} ({role}) has a negative size")
        if found.get(name) == entry:
            continue  # one file in two roles
        if name.casefold() in taken:
            raise BundleDamaged(
                f"the manifest names {name!r} ({role}), which collides with "
                f"{taken[name.casefold()]!r}"
            )
        taken[name.casefold()] = name
        found[name] = entry
    return found


def read_foreign_manifest(folder: Path) -> Manifest:
    """Parse a manifest that came from elsewhere; what it names may be written beside it.

    Raises:
        BundleDamaged: it is malformed in whatever way, or names what may not be written.
    """
    try:
        manifest = read_manifest(folder)
    except (ArithmeticError, RecursionError) as error:  # numbers and depths that JSON allows
        raise BundleDamaged(f"the manifest is malformed: {error!r}") from error
    contents(manifest)
    return manifest


def install_target(name: str) -> Path:
    """The folder in which a bundle of that name is installed.

    Raises:
        UsageError: the name cannot be one, or is a built-in bundle's.
    """
    if not is_plain_name(name):
        raise UsageError(f"{name!r} cannot be an installed bundle's name: --out DIR says where to")
    if name in BUILT_IN:
        raise UsageError(
            f"{name!r} is the name of a built-in bundle: give another NAME, or --out DIR"
        )
    return bundles_folder() / name
