"""A bundle as one file that can be carried to where no network reaches, written and read.

Reading is done for whom nobody vouches: of the tar format only what `bundle pack` writes is
accepted, which is regular files with plain names, one 512-byte header each. The extensions (links,
long names, sparse files, pax attributes) are what archives escape their folder with, and tarfile's
own reader follows them, or drops them in silence, and stops silently at garbage; so only its header
parser is used here.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vsr_edge.bundle.locate import sha256_of, verify_bundle
from vsr_edge.bundle.manifest import DOCUMENTS, MANIFEST_FILE, Manifest, is_plain_name
from vsr_edge.errors import BundleDamaged, UsageError

MAX_DOCUMENT_BYTES = 1_000_000
# A manifest is read into memory before anything is known about it. The built-in one has 35 kB.
MAX_MANIFEST_BYTES = 16_000_000
BLOCK = tarfile.BLOCKSIZE
CHUNK = 1 << 20
# Writers fill up their last record with zeros, 10 kB mostly.
MAX_TAIL = 1 << 20
_KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.DIRTYPE: "a folder",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.CONTTYPE: "a contiguous file",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
    # GNU's for long names and links; of pax for one member, for all, and as Solaris has it.
    **dict.fromkeys((b"L", b"K", b"x", b"g", b"X"), "an extended header"),
}


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
    manifest = verify_bundle(name_or_path)
    folder = manifest.folder
    documents = sorted(name for name in DOCUMENTS if (folder / name).is_file())
    for name in documents:
        if (folder / name).stat().st_size > MAX_DOCUMENT_BYTES:
            raise UsageError(f"{folder / name} has over {MAX_DOCUMENT_BYTES} bytes")
    named = sorted(entry.file for _, entry in manifest.named_files)
    members = (MANIFEST_FILE, *named, *documents)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        with partial.open("xb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                for name in members:
                    # Without what differs from one machine to the next: owner, time, mode.
                    member = tarfile.TarInfo(name)
                    member.size, member.mode = (folder / name).stat().st_size, 0o644
                    with (folder / name).open("rb") as content:
                        tar.addfile(member, content)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        sha256 = sha256_of(partial)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return Packed(out, manifest.bundle_id, sha256, sha256_of(folder / MANIFEST_FILE), size, members)


@contextmanager
def open_packed(file: Path, sha256: str | None = None) -> Iterator[PackedSource]:
    """Open a packed bundle, first comparing the sha256 of the whole file, if one is given.

    Raises:
        BundleDamaged: the sha256 is another.
    """
    with file.open("rb") as stream:
        if sha256 is not None:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
            if found != sha256:
                raise BundleDamaged(
                    f"{file} is refused: its sha256 is {found}, not {sha256}; nothing was "
                    "installed. Get the file again"
                )
            stream.seek(0)
        yield PackedSource(file, stream)


class PackedSource:
    """A packed bundle, read once from front to back: the manifest, then the rest."""

    commit = None

    def __init__(self, file: Path, stream: BinaryIO) -> None:
        self.origin = str(file)
        self._stream = stream

    def fetch_manifest(self, folder: Path) -> None:
        """Write the manifest, which must come first, into ``folder``.

        Raises:
            BundleDamaged: the file is no packed bundle.
        """
        member = self._next_member()
        if member is None or member.name != MANIFEST_FILE:
            found = "nothing" if member is None else repr(member.name)
            raise self._refusal(f"its first member is {found}, not {MANIFEST_FILE}")
        if member.size > MAX_MANIFEST_BYTES:
            raise self._refusal(f"its manifest has over {MAX_MANIFEST_BYTES} bytes")
        self._extract(member, folder)

    def fetch_files(self, folder: Path, manifest: Manifest) -> None:
        """Write what the manifest names, and the documents beside it, into ``folder``.

        Raises:
            BundleDamaged: a member that the manifest does not name, or not as it is; or one that
                is missing.
        """
        wanted = {entry.file: entry for _, entry in manifest.named_files}
        seen = {MANIFEST_FILE}
        while (member := self._next_member()) is not None:
            name, entry = member.name, wanted.get(member.name)
            if name in seen:
                raise self._refusal(f"it holds {name!r} twice")
            seen.add(name)
            if entry is None:
                if name not in DOCUMENTS:
                    raise self._refusal(f"it holds {name!r}, which its manifest does not name")
                if member.size > MAX_DOCUMENT_BYTES:
                    raise self._refusal(f"its {name} has over {MAX_DOCUMENT_BYTES} bytes")
                self._extract(member, folder)
            elif member.size != entry.size_bytes:
                raise self._refusal(
                    f"its {name} has {member.size} bytes, its manifest says {entry.size_bytes}"
                )
            elif self._extract(member, folder) != entry.sha256:
                raise self._refusal(f"its {name} was altered (the sha256 differs)")
        if missing := wanted.keys() - seen:
            raise self._refusal(f"{', '.join(sorted(missing))} is missing")

    def _next_member(self) -> tarfile.TarInfo | None:
        block = self._stream.read(BLOCK)
        if len(block) < BLOCK:
            raise self._refusal("it ends too early")
        if not any(block):
            # A tar ends with two blocks of zeros or more, the first of which this is.
            tail = self._stream.read(MAX_TAIL + 1)
            if any(tail) or len(tail) > MAX_TAIL:
                raise self._refusal("something follows its end")
            if len(tail) < BLOCK or len(tail) % BLOCK:
                raise self._refusal("it ends too early")
            return None
        try:
            member = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.TarError, ValueError) as error:
            raise self._refusal(f"it is no uncompressed tar, or damaged ({error})") from error
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            kind = _KINDS.get(member.type, "of an unknown kind")
            raise self._refusal(f"{member.name!r} in it is {kind}, not a regular file")
        if not is_plain_name(member.name):
            raise self._refusal(f"{member.name!r} in it is not a plain file name")
        if member.size < 0:
            raise self._refusal(f"{member.name!r} in it has a negative size")
        return member

    def _extract(self, member: tarfile.TarInfo, folder: Path) -> str:
        """Write one member as a new file; its sha256."""
        digest, left, padded = hashlib.sha256(), member.size, -member.size % BLOCK
        with (folder / member.name).open("xb") as out:
            while left:
                chunk = self._stream.read(min(left, CHUNK))
                if not chunk:
                    raise self._refusal(f"it ends within {member.name}")
                digest.update(chunk)
                out.write(chunk)
                left -= len(chunk)
        padding = self._stream.read(padded)
        if len(padding) != padded:
            raise self._refusal(f"it ends within {member.name}")
        if any(padding):
            raise self._refusal(f"there is something hidden behind {member.name}")
        return digest.hexdigest()

    def _refusal(self, reason: str) -> BundleDamaged:
        return BundleDamaged(
            f"{self.origin} is refused: {reason}; nothing was installed. Get the file again, and "
            "compare its sha256 with what `vsr-edge bundle pack` said"
        )
