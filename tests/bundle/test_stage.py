"""A bundle is made beside its place and put there whole; its manifest is the mark of that."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from tests.bundle.samples import everything_below
from vsr_edge.bundle.locate import installed_bundles, verify_bundle
from vsr_edge.bundle.manifest import MANIFEST_FILE, SEAL, read_manifest
from vsr_edge.bundle.stage import publish, staging, write_manifest
from vsr_edge.errors import BundleExists


def stage(small: Path, folder: Path, **changes: str) -> None:
    """A copy of the small bundle, its manifest changed."""
    for path in small.iterdir():
        shutil.copy(path, folder)
    fields = json.loads((small / MANIFEST_FILE).read_text("utf-8"))
    write_manifest(folder, {**fields, **changes})


def test_what_is_not_published_is_gone(small: Path, tmp_path: Path) -> None:
    with suppress(KeyError), staging(tmp_path / "site") as folder:
        stage(small, folder)
        assert folder.parent.parent == tmp_path / "site"
        assert folder.parent.name.startswith(".")  # so that no bundle is found by that name
        raise KeyError
    assert everything_below(tmp_path) == {tmp_path / "site": None}
    assert installed_bundles() == {}


def test_a_published_bundle_is_whole_and_readable_by_others(small: Path, tmp_path: Path) -> None:
    with staging(tmp_path) as folder:
        stage(small, folder, name="staged")
        publish(folder, tmp_path / "made")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    assert verify_bundle(tmp_path / "made").name == "staged"
    other = tmp_path / "other"
    other.mkdir()
    assert (tmp_path / "made").stat().st_mode == other.stat().st_mode


def test_the_seal_is_of_all_other_fields(small: Path, tmp_path: Path) -> None:
    fields = json.loads((small / MANIFEST_FILE).read_text("utf-8"))
    write_manifest(tmp_path, {**fields, SEAL: "an earlier one"})
    assert read_manifest(tmp_path).raw == fields
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_manifest(tmp_path, {**fields, "name": float("nan")})
    assert read_manifest(tmp_path).raw == fields


def test_what_is_there_stays_unless_it_is_to_be_replaced(small: Path, tmp_path: Path) -> None:
    target = tmp_path / "made"
    shutil.copytree(small, target)
    (target / "notes.txt").write_text("mine")
    before = everything_below(target)
    with staging(tmp_path) as folder:
        stage(small, folder, name="new")
        with pytest.raises(BundleExists, match="came to be meanwhile"):
            publish(folder, target)
        assert everything_below(target) == before
        publish(folder, target, replace=True)
    assert verify_bundle(target).name == "new"
    assert (target / "notes.txt").read_text() == "mine"


def test_what_is_half_replaced_does_not_look_complete(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "made"
    shutil.copytree(small, target)

    def fail(*_: object) -> None:
        raise OSError("no space left")

    with staging(tmp_path) as folder:
        stage(small, folder)
        monkeypatch.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="no space"):
            publish(folder, target, replace=True)
    assert not (target / MANIFEST_FILE).exists()
