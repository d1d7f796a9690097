"""Whatever was done to a packed bundle, it is refused with the reason, and nothing is written."""

from __future__ import annotations

import hashlib
import json
import tarfile
import tempfile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.bundle.samples import (
    Change,
    Member,
    assert_refused,
    change_manifest,
    everything_below,
    link,
    member,
    tar_of,
)
from vsr_edge.bundle.install import install_file
from vsr_edge.bundle.locate import find_bundle
from vsr_edge.bundle.manifest import MANIFEST_FILE, is_plain_name, read_manifest
from vsr_edge.errors import BundleDamaged

LITE = read_manifest(find_bundle("lite"))
FILES = sorted(entry.file for entry in LITE.files.values())
ROLES = sorted(LITE.files)
GRAPHS = sorted(LITE.raw["graphs"])


def with_manifest(members: list[Member], change: Change) -> list[Member]:
    content = change_manifest(members[0][1], change)
    return [member(MANIFEST_FILE, content), *members[1:]]


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_in_any_file(name: str, small_members: list[Member], tmp_path: Path) -> None:
    content = bytearray(tar_of(small_members))
    at = content.index({i.name: c for i, c in small_members}[name])
    content[at + 7] ^= 1
    assert_refused(tmp_path, bytes(content), f"its {name} was altered")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("sha256", "0" * 64, "was altered"),
        ("bytes", 10, "bytes, its manifest says 10"),
        ("bytes", 10**15, "bytes, its manifest says 1000000000000000"),
        ("bytes", -1, "negative size"),
        ("bytes", "many", "malformed"),
        ("bytes", float("inf"), "malformed"),
        ("file", "other.bin", "which its manifest does not name|is missing"),
        ("file", "sub/x", "not a plain file name"),
        ("file", "../evil", "not a plain file name"),
        ("file", "/etc/passwd", "not a plain file name"),
        ("file", "C:evil", "not a plain file name"),
        ("file", ".hidden", "not a plain file name"),
        ("file", "nul.onnx", "not a plain file name"),
        ("file", MANIFEST_FILE, "collides with 'manifest.json'"),
        ("file", "model_card.md", "collides with 'MODEL_CARD.md'"),
    ],
)
def test_a_changed_entry_of_any_role(
    role: str, field: str, value: Any, reason: str, small_members: list[Member], tmp_path: Path
) -> None:
    changed = with_manifest(small_members, lambda m: m["files"][role].update({field: value}))
    assert_refused(tmp_path, tar_of(changed), reason)


@pytest.mark.parametrize("role", GRAPHS)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"inputs": ["x"]}, "takes"),
        ({"outputs": []}, "gives"),
        ({"outputs": None}, "malformed"),
    ],
)
def test_a_changed_graph_of_any_role(
    role: str, change: dict[str, Any], reason: str, small_members: list[Member], tmp_path: Path
) -> None:
    changed = with_manifest(small_members, lambda m: m["graphs"][role].update(change))
    assert_refused(tmp_path, tar_of(changed), reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m["dims"].update(embedding=383), "another dimension"),
        (lambda m: m["dims"].update(hidden=7), "text_encoder graph .* manifest says 7"),
        (lambda m: m["dims"].update(image=100_000), "image_encoder graph .* manifest says 100000"),
        (lambda m: m["dims"].update(regions=4), "does not compute what its manifest says"),
        (lambda m: m["dims"].update(regions=10**13), "does not compute what its manifest says"),
        (lambda m: m["dims"].update(soft_tokens=4), "manifest says 4"),
        (lambda m: m["dims"].update(max_tokens=3), "golden"),
        (lambda m: m["dims"].update(max_tokens=10**30), "does not compute what its manifest says"),
        (lambda m: m["preprocessing"].update(mean=[0.0, 0.0, 0.0]), "golden"),
        (lambda m: m["golden"]["texts"][0].update(text="something else entirely"), "golden"),
        (lambda m: m["golden"].update(texts=[]), "no golden vectors"),
        (lambda m: m["golden"].update(images=[]), "no golden vectors"),
    ],
)
def test_a_manifest_that_only_computing_shows_to_be_false(
    change: Change, reason: str, lite_members: list[Member], tmp_path: Path
) -> None:
    assert_refused(tmp_path, tar_of(with_manifest(lite_members, change)), reason)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["calibration"].update(threshold=0.01),
        lambda m: m.update(licence="none"),
        lambda m: m["dims"].update(max_tokens=63),
    ],
)
def test_what_nothing_else_shows_is_refused_by_the_sha256_of_the_file(
    change: Change, small_members: list[Member], tmp_path: Path
) -> None:
    sha256 = hashlib.sha256(tar_of(small_members)).hexdigest()
    changed = tar_of(with_manifest(small_members, change))
    assert_refused(tmp_path, changed, f"its sha256 is .*, not {sha256}", sha256=sha256.upper())


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file(name: str, small_members: list[Member], tmp_path: Path) -> None:
    left = [m for m in small_members if m[0].name != name]
    assert_refused(tmp_path, tar_of(left), f"{name} is missing")


OUTSIDE = "../evil-outside"
EXTRA = {
    "an extra file": (member("extra.bin", b"x"), "which its manifest does not name"),
    "an absolute path": (member("/tmp/evil-absolute", b"x"), "not a plain file name"),
    "a path upwards": (member(OUTSIDE, b"x"), "not a plain file name"),
    "a path in a folder": (member("sub/x", b"x"), "not a plain file name"),
    "a path with a dot": (member("./image.onnx", b"x"), "not a plain file name"),
    "a Windows path": (member("..\\evil", b"x"), "not a plain file name"),
    "an empty name": (member("", b"x"), "not a plain file name"),
    "two dots": (member("..", b"x"), "not a plain file name"),
    "a symbolic link": (link("NOTICE", OUTSIDE, kind=tarfile.SYMTYPE), "a symbolic link"),
    "a link in place of a file": (
        link("image.onnx", OUTSIDE, kind=tarfile.SYMTYPE),
        "a symbolic link",
    ),
    "a hard link": (link("NOTICE", "/etc/passwd", kind=tarfile.LNKTYPE), "a hard link"),
    "a folder": (member("folder", kind=tarfile.DIRTYPE), "a folder"),
    "a folder of the old kind": (member("folder/", kind=tarfile.AREGTYPE), "a folder"),
    "a character device": (member("NOTICE", kind=tarfile.CHRTYPE), "a device"),
    "a block device": (member("NOTICE", kind=tarfile.BLKTYPE), "a device"),
    "a pipe": (member("NOTICE", kind=tarfile.FIFOTYPE), "a pipe"),
    "an unknown kind": (member("NOTICE", kind=b"Z"), "of an unknown kind"),
    "the manifest again": (member(MANIFEST_FILE, b"{}"), "holds 'manifest.json' twice"),
    "a document too large": (member("NOTICE", bytes(1_000_001)), "its NOTICE has over"),
}


@pytest.mark.parametrize("what", EXTRA)
@pytest.mark.parametrize("place", [1, 999], ids=["second", "last"])
def test_an_extra_member(
    what: str, place: int, small_members: list[Member], tmp_path: Path
) -> None:
    extra, reason = EXTRA[what]
    members = list(small_members)
    members.insert(place, extra)
    if place == 999 and what == "a link in place of a file":
        members = [m for m in small_members if m[0].name != "image.onnx"] + [extra]
    assert_refused(tmp_path, tar_of(members), reason)


@pytest.mark.parametrize("what", EXTRA)
def test_anything_but_the_manifest_in_front(
    what: str, small_members: list[Member], tmp_path: Path
) -> None:
    extra, reason = EXTRA[what]
    if what == "the manifest again":
        reason = "malformed|is not the manifest"
    first = "its first member is"
    assert_refused(tmp_path, tar_of([extra, *small_members]), f"{reason}|{first}")


@pytest.mark.parametrize("name", [*FILES, "MODEL_CARD.md"])
def test_a_member_twice(name: str, small_members: list[Member], tmp_path: Path) -> None:
    twice = next(m for m in small_members if m[0].name == name)
    assert_refused(tmp_path, tar_of([*small_members, twice]), f"holds '{name}' twice")


def test_sparse_files_and_extended_headers(small_members: list[Member], tmp_path: Path) -> None:
    sparse = member("image.onnx", b"x", kind=tarfile.GNUTYPE_SPARSE)
    assert_refused(tmp_path, tar_of([small_members[0], sparse]), "a sparse file")


def test_pax_attributes_that_rename_a_member(small_members: list[Member], tmp_path: Path) -> None:
    info, content = member("NOTICE", b"x")
    info.pax_headers = {"path": OUTSIDE, "comment": "é"}
    tampered = tar_of([small_members[0], (info, content)], format=tarfile.PAX_FORMAT)
    assert_refused(tmp_path, tampered, "an extended header")


def test_a_long_name_of_gnu_tar(small_members: list[Member], tmp_path: Path) -> None:
    tampered = tar_of([small_members[0], member("x" * 200)], format=tarfile.GNU_FORMAT)
    assert_refused(tmp_path, tampered, "an extended header")


def test_a_negative_size(small_members: list[Member], tmp_path: Path) -> None:
    info = tarfile.TarInfo("NOTICE")
    header = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = b"\xff" * 12  # −1, in GNU's binary form
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    content = tar_of(small_members[:1])
    end = 512 + -(-small_members[0][0].size // 512) * 512
    assert_refused(tmp_path, content[:end] + bytes(header) + bytes(1024), "negative size")


def test_a_manifest_larger_than_memory_allows(tmp_path: Path) -> None:
    info = tarfile.TarInfo(MANIFEST_FILE)
    info.size = 10**10
    assert_refused(tmp_path, info.tobuf(tarfile.GNU_FORMAT), "its manifest has over")


@pytest.mark.parametrize(
    "manifest",
    [b"", b"\xff\xfe", b"[]", b"{}", b"[" * 100_000, b'{"format": "vsr-edge-bundle"}'],
    ids=["empty", "no text", "a list", "nothing in it", "deep", "only its format"],
)
def test_what_is_no_manifest(manifest: bytes, tmp_path: Path) -> None:
    reason = "cannot be read|is not the manifest|malformed|schema version"
    assert_refused(tmp_path, tar_of([member(MANIFEST_FILE, manifest)]), reason)


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.3, 0.5, 0.7, 0.8])
def test_a_truncated_tar(share: float, small_members: list[Member], tmp_path: Path) -> None:
    content = tar_of(small_members)
    cut = content[: int(len(content) * share)]
    assert_refused(tmp_path, cut, "ends too early|ends within|no uncompressed tar")


@pytest.mark.parametrize("less", [1, 9217])
def test_a_tar_cut_within_its_end(less: int, small_members: list[Member], tmp_path: Path) -> None:
    content = tar_of(small_members).rstrip(b"\0")
    content += bytes(-len(content) % 512) + bytes(10240 - less)
    assert_refused(tmp_path, content, "ends too early")


def test_something_behind_its_end(small_members: list[Member], tmp_path: Path) -> None:
    tampered = tar_of(small_members) + tar_of([member("../evil", b"x")])
    assert_refused(tmp_path, tampered, "something follows its end")


def test_something_hidden_in_the_padding(small_members: list[Member], tmp_path: Path) -> None:
    content = bytearray(tar_of(small_members))
    content[512 + small_members[0][0].size] = 1
    assert_refused(tmp_path, bytes(content), "something hidden behind manifest.json")


@pytest.mark.parametrize(
    "content",
    [b"hello" * 500, bytes(10240), b"\x1f\x8b" + bytes(range(256)) * 4],
    ids=["text", "zeros", "gzip"],
)
def test_what_is_no_tar(content: bytes, tmp_path: Path) -> None:
    assert_refused(tmp_path, content, "no uncompressed tar|its first member is nothing")


@settings(max_examples=60)
@given(st.text(st.characters(codec="utf-8"), max_size=24))  # 96 bytes: a header holds 100
@example("../image.onnx")
@example("image.onnx\0/../../x")
@example("IMAGE.ONNX")
@example("con")
@example("image.onnx ")
def test_no_name_of_a_member_leads_outside(small: Path, name: str) -> None:
    manifest = member(MANIFEST_FILE, (small / MANIFEST_FILE).read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        file, site = place / "carried.tar", place / "a" / "b" / "site"
        file.write_bytes(tar_of([manifest, member(name, b"evil")]))
        site.mkdir(parents=True)
        before = everything_below(place)
        with pytest.raises(BundleDamaged):
            install_file(file, out=site / "target")
        assert everything_below(place) == before


@given(st.text(max_size=120) | st.from_regex(r"[\w. :+/\\-]{1,20}", fullmatch=True))
def test_a_plain_name_is_one_file_everywhere(name: str) -> None:
    if is_plain_name(name):
        assert PurePosixPath(name).name == PureWindowsPath(name).name == name
        assert name == name.strip(" .") or not name.endswith((" ", "."))
        assert name.isascii()
        assert name.isprintable()


def test_the_untampered_one_is_refused_for_its_models_alone(
    small_members: list[Member], tmp_path: Path
) -> None:
    assert json.loads(small_members[0][1])["id"] == "small-1"
    assert_refused(tmp_path, tar_of(small_members), "cannot be loaded")
