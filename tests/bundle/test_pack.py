"""A packed bundle is one file, the same everywhere, and only whole ones come to be."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from vsr_edge.bundle.locate import sha256_of
from vsr_edge.bundle.manifest import MANIFEST_FILE
from vsr_edge.bundle.packed import pack_bundle
from vsr_edge.errors import BundleDamaged, UsageError


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small, tmp_path / "copy"))


def test_the_manifest_comes_first_then_what_it_names_then_documents(
    copy: Path, tmp_path: Path
) -> None:
    (copy / "LICENSE").write_text("as it is")
    (copy / "notes.txt").write_text("not part of it")
    packed = pack_bundle(copy, tmp_path / "packed.tar")
    named = json.loads((copy / MANIFEST_FILE).read_text("utf-8"))["files"].values()
    with tarfile.open(packed.file) as tar:
        members = tar.getmembers()
    assert [m.name for m in members] == [
        MANIFEST_FILE,
        *sorted(entry["file"] for entry in named),
        "LICENSE",
        "MODEL_CARD.md",
    ]
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode, m.type) for m in members} == {
        (0, 0, 0, "", "", 0o644, tarfile.REGTYPE)
    }
    assert packed.sha256 == sha256_of(packed.file)
    assert packed.manifest_sha256 == sha256_of(copy / MANIFEST_FILE)
    assert packed.size_bytes == packed.file.stat().st_size


def test_the_same_bundle_gives_the_same_file_whatever_its_times_and_modes(
    copy: Path, small: Path, tmp_path: Path
) -> None:
    for path in copy.iterdir():
        path.chmod(0o600)
        os.utime(path, (1, 1))
    first, second = (pack_bundle(f, tmp_path / f"{f.name}.tar") for f in (small, copy))
    assert first.sha256 == second.sha256


def test_a_damaged_bundle_is_not_packed_and_the_earlier_file_stays(
    copy: Path, tmp_path: Path
) -> None:
    out = tmp_path / "packed.tar"
    out.write_text("from before")
    (copy / "image.onnx").write_text("altered")
    with pytest.raises(BundleDamaged, match=r"image\.onnx"):
        pack_bundle(copy, out)
    assert out.read_text() == "from before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "packed.tar"]


def test_a_document_that_no_reader_would_take_is_not_packed(copy: Path, tmp_path: Path) -> None:
    (copy / "NOTICE").write_bytes(bytes(1_000_001))
    with pytest.raises(UsageError, match="NOTICE has over"):
        pack_bundle(copy, tmp_path / "packed.tar")
    assert not (tmp_path / "packed.tar").exists()
