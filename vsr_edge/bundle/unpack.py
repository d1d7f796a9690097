"""Read a packed bundle that nobody vouches for.

Of the tar format only what `bundle pack` writes is accepted: regular files with plain names, one
512-byte header each. The extensions (links, long names, sparse files, pax attributes) are what
archives escape their folder with, and tarfile's own reader follows them and stops silently at
garbage; so only its header parser is used here.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vsr_edge.bundle.contents import (
    DOCUMENTS,
    MAX_DOCUMENT_BYTES,
    MAX_MANIFEST_BYTES,
    contents,
    is_plain_name,
)
from vsr_edge.bundle.manifest import MANIFEST_FILE, Manifest
from vsr_edge.errors import BundleDamaged

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
    tarfile.GNUTYPE_LONGNAME: "an extended header",
    tarfile.GNUTYPE_LONGLINK: "an extended header",
    tarfile.XHDTYPE: "an extended header",
    tarfile.XGLTYPE: "an extended header",
    tarfile.SOLARIS_XHDTYPE: "an extended header",
}


class PackedParcel:
    """A packed bundle, read once from front to back: the manifest, then the rest."""

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
        wanted = contents(manifest)
        seen = {MANIFEST_FILE}
        while (member := self._next_member()) is not None:
            name = member.name
            if name in seen:
                raise self._refusal(f"it holds {name!r} twice")
            seen.add(name)
            if name in DOCUMENTS:
                if member.size > MAX_DOCUMENT_BYTES:
                    raise self._refusal(f"its {name} has over {MAX_DOCUMENT_BYTES} bytes")
                self._extract(member, folder)
                continue
            if name not in wanted:
                raise self._refusal(f"it holds {name!r}, which its manifest does not name")
            expected = wanted[name].size_bytes
            if member.size != expected:
                raise self._refusal(
                    f"its {name} has {member.size} bytes, its manifest says {expected}"
                )
            if self._extract(member, folder) != wanted[name].sha256:
                raise self._refusal(f"its {name} was altered (the sha256 differs)")
        if missing := [name for name in wanted if name not in seen]:
            raise self._refusal(f"{', '.join(missing)} is missing")

    def _next_member(self) -> tarfile.TarInfo | None:
        block = self._stream.read(BLOCK)
        if len(block) == BLOCK and not any(block):
            self._check_tail()
            return None
        if len(block) < BLOCK:
            raise self._refusal("it ends too early")
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
        digest = hashlib.sha256()
        left = member.size
        with (folder / member.name).open("xb") as out:
            while left:
                chunk = self._stream.read(min(left, CHUNK))
                if not chunk:
                    raise self._refusal(f"it ends within {member.name}")
                digest.update(chunk)
                out.write(chunk)
                left -= len(chunk)
        padding = self._stream.read(-member.size % BLOCK)
        if len(padding) != -member.size % BLOCK:
            raise self._refusal(f"it ends within {member.name}")
        if any(padding):
            raise self._refusal(f"there is something hidden behind {member.name}")
        return digest.hexdigest()

    def _check_tail(self) -> None:
        """A tar ends with two blocks of zeros or more, the first of which was read."""
        tail = self._stream.read(MAX_TAIL + 1)
        if any(tail) or len(tail) > MAX_TAIL:
            raise self._refusal("something follows its end")
        if len(tail) < BLOCK or len(tail) % BLOCK:
            raise self._refusal("it ends too early")

    def _refusal(self, reason: str) -> BundleDamaged:
        return BundleDamaged(
            f"{self.origin} is refused: {reason}; nothing was installed. Get the file again, and "
            "compare its sha256 with what `vsr-edge bundle pack` said"
        )


@contextmanager
def open_packed(file: Path, sha256: str | None = None) -> Iterator[PackedParcel]:
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
        yield PackedParcel(file, stream)
