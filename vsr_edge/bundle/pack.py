"""Pack a bundle into one file that can be carried to where no network reaches."""

from __future__ import annotations

import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vsr_edge.bundle.contents import DOCUMENTS, MAX_DOCUMENT_BYTES, contents
from vsr_edge.bundle.locate import sha256_of, verify_bundle
from vsr_edge.bundle.manifest import MANIFEST_FILE
from vsr_edge.errors import UsageError


@dataclass(frozen=True, slots=True)
class Packed:
    """A packed bundle; ``sha256`` is of the file, ``manifest_sha256`` of the manifest in it."""

    file: Path
    bundle_id: str
    sha256: str
    manifest_sha256: str
    size_bytes: int
    members: tuple[str, ...]


def pack_bundle(name_or_path: str | Path, out: Path) -> Packed:
    """Verify a bundle and write it to ``out`` as a tar that is the same on every machine.

    The manifest is the first member, so that the reader knows what may follow before it writes
    anything.

    Raises:
        BundleNotFound, BundleDamaged: there is none, or it is not what its manifest says.
        UsageError: a document is larger than any reader would take.
    """
    bundle = verify_bundle(name_or_path)
    documents = [name for name in DOCUMENTS if (bundle.folder / name).is_file()]
    for name in documents:
        if (bundle.folder / name).stat().st_size > MAX_DOCUMENT_BYTES:
            raise UsageError(f"{bundle.folder / name} has over {MAX_DOCUMENT_BYTES} bytes")
    members = (MANIFEST_FILE, *sorted(contents(bundle.manifest)), *sorted(documents))
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        with partial.open("xb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                for name in members:
                    _add(tar, bundle.folder / name)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        sha256 = sha256_of(partial)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    manifest_sha256 = sha256_of(bundle.folder / MANIFEST_FILE)
    return Packed(out, bundle.manifest.bundle_id, sha256, manifest_sha256, size, members)


def _add(tar: tarfile.TarFile, path: Path) -> None:
    """One file, without what differs from one machine to the next: owner, time, mode."""
    with path.open("rb") as content:
        member = tarfile.TarInfo(path.name)
        member.size = _size(content)
        member.mode = 0o644
        tar.addfile(member, content)


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size
