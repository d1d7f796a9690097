"""Bundles to carry about, and tars that nobody should accept."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.manifests import sealed
from vsr_edge.bundle.install import install_file
from vsr_edge.bundle.locate import find_bundle
from vsr_edge.bundle.manifest import MANIFEST_FILE
from vsr_edge.errors import BundleDamaged

Member = tuple[tarfile.TarInfo, bytes]
Change = Callable[[dict[str, Any]], object]


def small_bundle(folder: Path) -> Path:
    """A folder that is a bundle in all but this: its files hold text instead of models."""
    shutil.copytree(find_bundle("lite"), folder, ignore=lambda *_: ["__pycache__"])
    manifest = json.loads((folder / MANIFEST_FILE).read_text("utf-8"))
    manifest["name"], manifest["id"] = "small", "small-1"
    for role, entry in manifest["files"].items():
        content = f"this would be the {role}. ".encode() * 40
        (folder / entry["file"]).write_bytes(content)
        entry |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / MANIFEST_FILE).write_text(json.dumps(sealed(manifest)), "utf-8")
    return folder


def change_manifest(content: bytes, change: Change) -> bytes:
    """The manifest with something changed in it, and sealed anew: no mere seal keeps it out."""
    manifest = json.loads(content)
    change(manifest)
    return json.dumps(sealed(manifest)).encode()


def member(name: str, content: bytes = b"", *, kind: bytes = tarfile.REGTYPE) -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    return info, content


def link(name: str, to: str, *, kind: bytes) -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info, b""


def members_of(folder: Path) -> list[Member]:
    """What `bundle pack` would put into the tar, in its order."""
    manifest = json.loads((folder / MANIFEST_FILE).read_text("utf-8"))
    names = sorted(entry["file"] for entry in manifest["files"].values())
    return [
        member(name, (folder / name).read_bytes())
        for name in (MANIFEST_FILE, *names, "MODEL_CARD.md")
    ]


def tar_of(members: Iterable[Member], *, format: int = tarfile.USTAR_FORMAT) -> bytes:
    """The bytes of a tar; nothing is too odd for it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def everything_below(folder: Path) -> dict[Path, bytes | None]:
    """Every path, hidden ones too, with its content."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def assert_refused(tmp_path: Path, content: bytes, reason: str, **how: Any) -> None:
    """Installing the tar fails for that reason, and nothing at all was written."""
    file, site = tmp_path / "carried.tar", tmp_path / "site"
    file.write_bytes(content)
    site.mkdir()
    before = everything_below(tmp_path)
    with pytest.raises(BundleDamaged, match=reason):
        install_file(file, out=site / "target", **how)
    assert everything_below(tmp_path) == before
    assert list(tmp_path.parent.glob("evil*")) == []
