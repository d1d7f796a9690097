"""Install a bundle from a file or a hub: beside its place first, and in place once it is sound."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vsr_edge.bundle.hub import HubSource
from vsr_edge.bundle.locate import install_target, sha256_of, verify_bundle
from vsr_edge.bundle.manifest import MANIFEST_FILE, Manifest, read_manifest
from vsr_edge.bundle.model import Bundle
from vsr_edge.bundle.packed import PackedSource, open_packed
from vsr_edge.bundle.registry import REPOSITORY, SHA256, Registry
from vsr_edge.bundle.stage import publish, staging
from vsr_edge.bundle.verify import check_sound
from vsr_edge.config import bundles_folder
from vsr_edge.errors import BundleDamaged, BundleExists, BundleNotFound, UsageError

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Installed:
    """Where a bundle is now; ``commit`` if it came from a hub, ``new`` if it was not there yet."""

    folder: Path
    bundle_id: str
    manifest_sha256: str
    commit: str | None
    new: bool


def install_file(
    file: Path,
    *,
    name: str | None = None,
    sha256: str | None = None,
    out: Path | None = None,
    notify: Notify = lambda _: None,
) -> Installed:
    """Install a packed bundle.

    Args:
        name: to install it under; its last path component counts. None takes the manifest's.
        sha256: of the whole file, as `bundle pack` said it.
        out: the folder to install it as, instead of one in the user's data folder.

    Raises:
        BundleDamaged: the file was tampered with, cut off, or is no bundle.
        BundleExists: something else is there already.
    """
    given = name.rpartition("/")[2] if name is not None else None
    parent = _parent(given, out)
    with open_packed(file, _checked_sha256(sha256)) as source, staging(parent) as folder:
        return _install(source, folder, given, out, notify)


def install_from_hub(
    source: str,
    registry: Registry,
    *,
    revision: str | None = None,
    sha256: str | None = None,
    out: Path | None = None,
    endpoint: str | None = None,
    notify: Notify = lambda _: None,
) -> Installed:
    """Download and install a bundle.

    Args:
        source: a repository's id, or the name of a bundle in the registry.
        revision: branch, tag or commit; None is main, or what the registry says.
        sha256: of the manifest; it vouches for all else.
        out: the folder to install it as, instead of one in the user's data folder.

    Raises:
        BundleNotFound: neither, or a checkpoint that must be exported first.
        HubError: the hub does not give it.
        BundleDamaged: it is not what the manifest or the sha256 says.
        BundleExists: something else is there already.
    """
    repository, sha256 = source, _checked_sha256(sha256)
    if (known := registry.bundles.get(source)) is not None:
        repository = known.repository
        if revision in (None, known.revision):
            revision, sha256 = known.revision, sha256 or known.sha256
    elif (checkpoint := registry.source(source)) is not None:
        raise BundleNotFound(
            f"{source} is a checkpoint, no exported bundle (licence: {checkpoint.licence}). Make "
            f"a bundle of it, in a copy of this project: {checkpoint.export_command()}"
        )
    elif not REPOSITORY.fullmatch(source):
        raise BundleNotFound(
            f"the registry knows no {source!r} and it is no repository's id, OWNER/NAME; "
            "`vsr-edge bundle list` shows what is known"
        )
    name = source.rpartition("/")[2]
    with staging(_parent(name, out)) as folder:
        scratch = folder.parent / "download"
        hub = HubSource(repository, scratch, revision, sha256, endpoint, notify)
        return _install(hub, folder, name, out, notify)


def _checked_sha256(text: str | None) -> str | None:
    if text is not None and not SHA256.fullmatch(text.lower()):
        raise UsageError(f"--sha256 must be 64 hexadecimal digits, not {text!r}")
    return text and text.lower()


def _parent(name: str | None, out: Path | None) -> Path:
    """The folder to install in; a name that cannot be one is said before anything is read."""
    if out is not None:
        return _absolute(out).parent
    return bundles_folder() if name is None else install_target(name).parent


def _absolute(out: Path) -> Path:
    # Where nobody's home is known, ~ is left as it is.
    return Path(os.path.abspath(os.path.expanduser(out)))  # noqa: PTH100, PTH111 — see above


def _install(
    source: HubSource | PackedSource,
    folder: Path,
    name: str | None,
    out: Path | None,
    notify: Notify,
) -> Installed:
    try:
        source.fetch_manifest(folder)
        manifest = read_manifest(folder)
        target = _absolute(out) if out is not None else install_target(name or manifest.name)
        sha256 = sha256_of(folder / MANIFEST_FILE)
        new = not _is_there(target, manifest, sha256)
        if new:
            source.fetch_files(folder, manifest)
            notify(f"checking {manifest.bundle_id} on this machine")
            with Bundle(verify_bundle(folder)) as bundle:
                check_sound(bundle)
            publish(folder, target)
        return Installed(target, manifest.bundle_id, sha256, source.commit, new)
    except BundleDamaged as error:
        # What was found in the temporary folder is called by where it came from.
        message = str(error).replace(str(folder), source.origin)
        if "nothing was installed" not in message:
            message = f"{source.origin} is refused: {message}; nothing was installed"
        raise BundleDamaged(message) from error


def _is_there(target: Path, manifest: Manifest, sha256: str) -> bool:
    """Is this very bundle there already?

    Raises:
        BundleExists: no, but another one is, or something else, or a damaged one.
    """
    if not os.path.lexists(target):
        return False
    try:
        found = read_manifest(target)
    except BundleDamaged as error:
        raise BundleExists(
            f"something that is no bundle lies at {target}: --out DIR installs elsewhere"
        ) from error
    if found.bundle_id != manifest.bundle_id or sha256_of(target / MANIFEST_FILE) != sha256:
        same = " with another manifest" if found.bundle_id == manifest.bundle_id else ""
        raise BundleExists(
            f"{found.bundle_id}{same} is installed at {target}, and {manifest.bundle_id} would "
            "take its place: --out DIR installs it elsewhere, or remove that folder first"
        )
    try:
        verify_bundle(target)
    except BundleDamaged as error:
        raise BundleExists(
            f"{target} holds this bundle, but damaged ({error}): remove that folder and pull again"
        ) from error
    return True
