"""Pulling from a hub, with the real client and a hub on this machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bundle.hub import COMMIT, OTHER_COMMIT, Hub, serving
from tests.bundle.samples import Change, change_manifest, everything_below
from vsr_edge.bundle.install import Installed, install_from_hub
from vsr_edge.bundle.locate import find_bundle, sha256_of, verify_bundle
from vsr_edge.bundle.manifest import MANIFEST_FILE
from vsr_edge.bundle.registry import PublishedBundle, Registry, Source
from vsr_edge.errors import (
    BundleDamaged,
    BundleError,
    BundleExists,
    BundleNotFound,
    HubForbidden,
    HubNotFound,
    HubUnreachable,
    UsageError,
)

LITE, SMALL, CHECKPOINT = "someone/lite-copy", "someone/small", "someone/checkpoint"
NOTHING_KNOWN = Registry({}, {})
LITE_FILES = {entry.file for entry in verify_bundle("lite").files.values()}


@pytest.fixture
def hub(small: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as hub:
        hub.publish(LITE, find_bundle("lite"))
        hub.publish(SMALL, small)
        hub.repositories[CHECKPOINT] = {"config.json": b"{}", "model.safetensors": b"weights"}
        for files in hub.repositories.values():
            files |= {"README.md": b"not for a bundle", ".gitattributes": b""}
        yield hub


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Where to install; nothing else is there."""
    return tmp_path


def pull(hub: Hub, site: Path, source: str, **how: Any) -> Installed:
    registry = how.pop("registry", NOTHING_KNOWN)
    defaults: dict[str, Any] = {"endpoint": hub.endpoint, "out": site / "target"}
    return install_from_hub(source, registry, **(defaults | how))


def assert_refused(
    hub: Hub, site: Path, source: str, error: type[BundleError], reason: str, **how: Any
) -> None:
    before = everything_below(site)
    with pytest.raises(error, match=reason):
        pull(hub, site, source, **how)
    assert everything_below(site) == before


def with_manifest(hub: Hub, repository: str, change: Change) -> None:
    files = hub.repositories[repository]
    files[MANIFEST_FILE] = change_manifest(files[MANIFEST_FILE], change)


def test_only_what_belongs_to_the_bundle_is_downloaded(hub: Hub, site: Path) -> None:
    said: list[str] = []
    hub.repositories[LITE]["weights.bin"] = b"large"
    done = pull(hub, site, LITE, notify=said.append)
    assert done.new
    assert (done.commit, done.folder) == (COMMIT, site / "target")
    assert hub.downloaded() == LITE_FILES | {MANIFEST_FILE, "MODEL_CARD.md"}
    assert {path.name for path in site.rglob("*")} == hub.downloaded() | {"target"}
    assert verify_bundle(done.folder).bundle_id == done.bundle_id
    assert said[0] == f"{LITE}: main is commit {COMMIT}"
    assert any(line.startswith("downloading text.onnx, 27.2 MB") for line in said)
    # A second time only the manifest is looked at.
    hub.requests.clear()
    again = pull(hub, site, LITE, revision=COMMIT)
    assert not again.new
    assert hub.downloaded() == {MANIFEST_FILE}


def test_another_bundle_is_not_overwritten(hub: Hub, site: Path) -> None:
    shutil.copytree(find_bundle("lite"), site / "target")
    assert_refused(hub, site, SMALL, BundleExists, "small-1 would take its place: --out DIR")


def test_what_is_no_bundle_is_not_overwritten(hub: Hub, site: Path) -> None:
    (site / "target").mkdir()
    (site / "target" / "diary.txt").write_text("mine")
    assert_refused(hub, site, SMALL, BundleExists, "no bundle lies at")


def test_a_damaged_copy_is_named(hub: Hub, site: Path, small: Path) -> None:
    shutil.copytree(small, site / "target")
    (site / "target" / "image.onnx").write_text("")
    assert_refused(hub, site, SMALL, BundleExists, "but damaged")


def test_the_sha256_of_the_manifest_vouches_for_it(hub: Hub, site: Path) -> None:
    sha256 = sha256_of(find_bundle("lite") / MANIFEST_FILE)
    assert pull(hub, site, LITE, sha256=sha256.upper()).manifest_sha256 == sha256
    shutil.rmtree(site / "target")
    assert_refused(hub, site, LITE, BundleDamaged, f"{sha256}, not 000", sha256="0" * 64)
    with pytest.raises(UsageError, match="64 hexadecimal digits"):
        pull(hub, site, LITE, sha256="abc")


def test_a_bundle_of_the_registry_is_pulled_by_its_name(hub: Hub, site: Path) -> None:
    sha256 = sha256_of(find_bundle("lite") / MANIFEST_FILE)
    known = PublishedBundle("known", LITE, COMMIT, sha256, "MIT", "")
    assert pull(hub, site, "known", registry=Registry({"known": known}, {})).commit == COMMIT
    shutil.rmtree(site / "target")
    wrong = PublishedBundle("known", LITE, COMMIT, "0" * 64, "MIT", "")
    how = {"registry": Registry({"known": wrong}, {})}
    assert_refused(hub, site, "known", BundleDamaged, "nothing was installed", **how)


@pytest.mark.parametrize("asked_as", ["base", CHECKPOINT])
def test_a_source_of_the_registry_explains_its_export(hub: Hub, site: Path, asked_as: str) -> None:
    known = Source("base", CHECKPOINT, "clip", "MIT", 151, "", OTHER_COMMIT)
    how = {"registry": Registry({}, {"base": known})}
    command = f"vsr-edge export encoder {CHECKPOINT} --revision {OTHER_COMMIT} --out ./base"
    assert_refused(hub, site, asked_as, BundleNotFound, command, **how)
    assert hub.requests == []


def test_a_repository_without_a_manifest_explains_the_export(hub: Hub, site: Path) -> None:
    command = f"vsr-edge export encoder {CHECKPOINT} --revision {COMMIT} --out DIR"
    assert_refused(hub, site, CHECKPOINT, HubNotFound, command)


@pytest.mark.parametrize(
    ("source", "reason"), [("nobody/nothing", "no repository"), ("a--b/c", "no repository of")]
)
def test_an_unknown_repository(hub: Hub, site: Path, source: str, reason: str) -> None:
    with pytest.raises((HubNotFound, UsageError), match=reason):
        pull(hub, site, source)
    assert list(site.iterdir()) == []


def test_a_name_that_is_neither_known_nor_a_repository(hub: Hub, site: Path) -> None:
    assert_refused(hub, site, "nothing", BundleNotFound, "OWNER/NAME")


def test_an_unknown_revision(hub: Hub, site: Path) -> None:
    assert_refused(hub, site, SMALL, HubNotFound, "no revision 'v9'", revision="v9")


def test_another_commit_than_the_one_asked_for(hub: Hub, site: Path) -> None:
    hub.revisions[OTHER_COMMIT] = COMMIT
    reason = f"asked for commit {OTHER_COMMIT}"
    assert_refused(hub, site, SMALL, BundleDamaged, reason, revision=OTHER_COMMIT)
    hub.served_commit = OTHER_COMMIT
    assert_refused(hub, site, SMALL, BundleDamaged, f"of commit {OTHER_COMMIT}, not of {COMMIT}")


def test_a_gated_repository(hub: Hub, site: Path) -> None:
    hub.gated.add(SMALL)
    assert_refused(hub, site, SMALL, HubForbidden, "is gated: accept its terms")


def test_a_repository_that_is_refused(hub: Hub, site: Path) -> None:
    hub.refused.add(SMALL)
    assert_refused(hub, site, SMALL, HubForbidden, r"refuses someone/small \(403\)")


def test_a_hub_that_fails(hub: Hub, site: Path) -> None:
    hub.failing = True
    assert_refused(hub, site, SMALL, HubUnreachable, "status 503")


def test_no_hub_there(hub: Hub, site: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    assert_refused(hub, site, SMALL, HubUnreachable, "Check the network", endpoint=nowhere)
    no_hub = f"{hub.endpoint}/elsewhere"
    assert_refused(hub, site, SMALL, BundleError, "no repository|status 404", endpoint=no_hub)


@pytest.mark.parametrize("name", [MANIFEST_FILE, "text.onnx", "MODEL_CARD.md"])
def test_a_connection_that_breaks(hub: Hub, site: Path, name: str) -> None:
    hub.dropped.add(name)
    assert_refused(hub, site, SMALL, HubUnreachable, f"{name} of .* not to its end")


def test_a_file_that_was_not_uploaded(hub: Hub, site: Path) -> None:
    hub.lost.add("text.onnx")
    assert_refused(hub, site, SMALL, HubNotFound, "though its manifest names it")


@pytest.mark.parametrize("name", sorted(LITE_FILES))
def test_a_file_altered_on_its_way(hub: Hub, site: Path, name: str) -> None:
    hub.altered.add(name)
    assert_refused(hub, site, SMALL, BundleDamaged, f"{name} of .* is not what its manifest says")


def test_a_file_of_another_size_is_not_downloaded(hub: Hub, site: Path) -> None:
    hub.repositories[SMALL]["text.onnx"] *= 1000
    assert_refused(hub, site, SMALL, BundleDamaged, r"text\.onnx of .* bytes, its manifest says")
    assert "text.onnx" not in hub.downloaded()


def test_a_manifest_or_a_document_out_of_all_proportion(hub: Hub, site: Path) -> None:
    hub.repositories[SMALL]["LICENSE"] = bytes(1_000_001)
    assert_refused(hub, site, SMALL, BundleDamaged, "LICENSE of .* at most are expected")
    hub.repositories[SMALL][MANIFEST_FILE] = bytes(16_000_001)
    assert_refused(hub, site, SMALL, BundleDamaged, "at most are expected")
    assert "LICENSE" not in hub.downloaded()


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "sub/x", MANIFEST_FILE, "LICENSE"])
def test_a_manifest_that_names_what_may_not_be_written(hub: Hub, site: Path, name: str) -> None:
    with_manifest(hub, SMALL, lambda m: m["files"]["tokenizer"].update(file=name))
    assert_refused(hub, site, SMALL, BundleDamaged, "not a plain file name|collides")
    assert hub.downloaded() == {MANIFEST_FILE}
    assert not (site.parent / "evil").exists()


def test_models_that_do_not_compute_the_golden_vectors(hub: Hub, site: Path) -> None:
    with_manifest(hub, LITE, lambda m: m["golden"]["texts"][0].update(text="another sentence"))
    assert_refused(hub, site, LITE, BundleDamaged, "golden")


def test_what_is_no_manifest(hub: Hub, site: Path) -> None:
    hub.repositories[SMALL][MANIFEST_FILE] = json.dumps({"format": "other"}).encode()
    reason = f"{SMALL}@{COMMIT[:12]}/manifest.json is not the manifest"
    assert_refused(hub, site, SMALL, BundleDamaged, reason)


@pytest.mark.parametrize("source", ["someone/lite", "someone/..", "someone/.hidden"])
def test_a_repository_whose_name_cannot_be_an_installed_one(hub: Hub, source: str) -> None:
    with pytest.raises(UsageError, match="--out DIR"):
        install_from_hub(source, NOTHING_KNOWN, endpoint=hub.endpoint)
    assert hub.requests == []
