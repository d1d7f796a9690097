"""Install a bundle from a file or a hub: into a temporary folder, and in place once it is sound."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vsr_edge.bundle.contents import install_target, read_foreign_manifest
from vsr_edge.bundle.hub import HubParcel
from vsr_edge.bundle.locate import sha256_of, verify_bundle
from vsr_edge.bundle.manifest import MANIFEST_FILE, Manifest, read_manifest
from vsr_edge.bundle.model import Bundle
from vsr_edge.bundle.registry import REPOSITORY, SHA256, Registry
from vsr_edge.bundle.soundness import check_sound
from vsr_edge.bundle.stage import publish, staging
from vsr_edge.bundle.unpack import open_packed
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


class Parcel(Protocol):
    """A bundle on its way: first its manifest, by which the rest is then judged.

    ``origin`` is what to call it when something is wrong with it.
    """

    origin: str

    def fetch_manifest(self, folder: Path) -> None: ...

    def fetch_files(self, folder: Path, manifest: Manifest) -> None: ...


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
    if given is not None and out is None:
        install_target(given)  # a name that cannot be one is said before anything is read
    with (
        open_packed(file, _checked_sha256(sha256)) as parcel,
        staging(_beside(out)) as folder,
        _called(parcel.origin, folder),
    ):
        return _install(parcel, folder, given, out, None, notify)


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
    if out is None:
        install_target(name)
    with staging(_beside(out)) as folder:
        parcel = HubParcel(
            repository,
            folder.parent / "download",
            revision=revision,
            sha256=sha256,
            endpoint=endpoint,
            notify=notify,
        )
        with _called(parcel.origin, folder):
            return _install(parcel, folder, name, out, parcel.commit, notify)


def _checked_sha256(text: str | None) -> str | None:
    if text is not None and not SHA256.fullmatch(text.lower()):
        raise UsageError(f"--sha256 must be 64 hexadecimal digits, not {text!r}")
    return text and text.lower()


def _beside(out: Path | None) -> Path:
    """The folder in which the bundle will lie."""
    return bundles_folder() if out is None else _absolute(out).parent


@contextmanager
def _called(origin: str, folder: Path) -> Iterator[None]:
    """In messages, what was found in the temporary folder is called by where it came from."""
    try:
        yield
    except BundleDamaged as error:
        message = str(error).replace(str(folder), origin)
        if "nothing was installed" not in message:
            message = f"{origin} is refused: {message}; nothing was installed"
        raise BundleDamaged(message) from error


def _absolute(out: Path) -> Path:
    # Where nobody's home is known, ~ is left as it is.
    return Path(os.path.abspath(os.path.expanduser(out)))  # noqa: PTH100, PTH111 — see above


def _install(
    parcel: Parcel,
    folder: Path,
    name: str | None,
    out: Path | None,
    commit: str | None,
    notify: Notify,
) -> Installed:
    parcel.fetch_manifest(folder)
    manifest = read_foreign_manifest(folder)
    target = _absolute(out) if out is not None else install_target(name or manifest.name)
    sha256 = sha256_of(folder / MANIFEST_FILE)
    if _is_there(target, manifest, sha256):
        return Installed(target, manifest.bundle_id, sha256, commit, new=False)
    parcel.fetch_files(folder, manifest)
    notify(f"checking {manifest.bundle_id} on this machine")
    with Bundle(verify_bundle(folder)) as bundle:
        check_sound(bundle)
    publish(folder, target)
    return Installed(target, manifest.bundle_id, sha256, commit, new=True)


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
