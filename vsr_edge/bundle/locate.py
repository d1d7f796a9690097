"""Find a bundle, and make sure that every file of it is there, whole and what the manifest says."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from importlib import resources
from pathlib import Path

from vsr_edge.bundle.manifest import Manifest, is_plain_name, read_manifest
from vsr_edge.config import bundles_folder
from vsr_edge.errors import BundleDamaged, BundleNotFound, UsageError

BUILT_IN = ("lite",)


def installed_bundles() -> dict[str, Path]:
    """Name → folder of every bundle that `vsr-edge bundle pull` installed, in order of name."""
    try:
        folders = sorted(path for path in bundles_folder().iterdir() if path.is_dir())
    except (OSError, UsageError):
        return {}  # nothing was installed yet, or there is no home folder
    # What an interrupted installation left behind begins with a dot.
    return {path.name: path for path in folders if not path.name.startswith(".")}


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


def find_bundle(name_or_path: str | Path) -> Path:
    """The folder of a bundle.

    A ``Path`` is that folder. A text may be, in this order, the name of a built-in bundle, that of
    an installed one, or a folder's path; so a folder that is called like a built-in or installed
    bundle is named by a path with a separator, as in ``./my-bundle``.

    Raises:
        BundleNotFound: none of these.
    """
    installed = installed_bundles()
    if isinstance(name_or_path, str):
        if name_or_path in BUILT_IN:
            return Path(str(resources.files("vsr_edge") / "bundle" / name_or_path))
        if name_or_path in installed:
            return installed[name_or_path]
    folder = Path(name_or_path)
    with suppress(RuntimeError):  # the home of nobody: no folder is found there
        folder = folder.expanduser()
    try:
        found = folder.is_dir()
    except OSError as error:
        raise BundleNotFound(f"{folder} cannot be looked into: {error.strerror}") from error
    if not found:
        raise BundleNotFound(
            f"no bundle is called {str(name_or_path)!r} and no folder lies there; "
            f"built in: {', '.join(BUILT_IN)}; "
            f"installed: {', '.join(installed) or 'none'} (vsr-edge bundle pull)"
        )
    return folder


def bundle_name(folder: Path) -> str:
    """What ``find_bundle`` knows the bundle in that folder by: a name, or else the path."""
    names = (*BUILT_IN, *installed_bundles())
    return next((name for name in names if find_bundle(name) == folder), str(folder))


def name_of_id(known: str) -> str | None:
    """The bundle on this machine that has this id, or whose encoders have it, by its name."""
    for name in (*BUILT_IN, *installed_bundles()):
        with suppress(BundleDamaged):
            manifest = read_manifest(find_bundle(name))
            if known in (manifest.bundle_id, manifest.encoders_id):
                return name
    return None


def bundle_title(name: str | None, bundle_id: str) -> str:
    """A bundle for people: what to call it, and what it is."""
    return bundle_id if name is None else f"{name} ({bundle_id})"


def verify_bundle(name_or_path: str | Path) -> Manifest:
    """Find a bundle, read its manifest and check each file's size and sha256.

    Raises:
        BundleNotFound: there is none.
        BundleDamaged: something differs; the message names the file and the difference.
    """
    folder = find_bundle(name_or_path)
    manifest = read_manifest(folder)
    for role, entry in manifest.named_files:
        path = folder / entry.file
        fault = None
        if not path.is_file():
            fault = "is missing"
        elif (size := path.stat().st_size) != entry.size_bytes:
            fault = f"has {size} bytes, the manifest says {entry.size_bytes}"
        elif sha256_of(path) != entry.sha256:
            fault = "was altered (its sha256 differs from the manifest's)"
        if fault:
            raise BundleDamaged(f"{path} ({role}) {fault}: copy or export the bundle again")
    return manifest


def sha256_of(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
