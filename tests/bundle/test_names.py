"""Under which name a bundle is installed, and found again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.bundle.samples import Member, everything_below, tar_of
from tests.manifests import edit_manifest
from vsr_edge.bundle.install import install_file
from vsr_edge.bundle.locate import find_bundle, installed_bundles
from vsr_edge.config import bundles_folder
from vsr_edge.errors import BundleDamaged, BundleExists, BundleNotFound, UsageError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder and a working folder of the test's own."""
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "data"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


@pytest.fixture
def mine(small: Path) -> Path:
    """A bundle that is installed as "mine"."""
    return Path(shutil.copytree(small, bundles_folder() / "mine"))


@pytest.fixture
def packed(home: Path, small_members: list[Member]) -> Path:
    file = home / "small.tar"
    file.write_bytes(tar_of(small_members))
    return file


def test_an_installed_bundle_is_found_by_its_name(mine: Path) -> None:
    assert find_bundle("mine") == mine
    assert installed_bundles() == {"mine": mine}


def test_a_folder_of_the_same_name_is_meant_by_a_path(mine: Path) -> None:
    Path("mine").mkdir()
    assert find_bundle("mine") == mine
    assert find_bundle("./mine") == Path("mine")
    assert find_bundle(Path("mine")) == Path("mine")
    shutil.rmtree(mine)
    assert find_bundle("mine") == Path("mine")


def test_a_folder_called_like_a_built_in_bundle_is_meant_by_a_path() -> None:
    Path("lite").mkdir()
    assert find_bundle("lite").is_absolute()
    assert find_bundle(Path("lite")) == find_bundle("./lite") == Path("lite")


def test_a_name_never_leads_out_of_the_folder_of_bundles(mine: Path) -> None:
    (bundles_folder() / ".hidden").mkdir()
    for name in ("../bundles/mine", ".hidden", "mine/", str(mine.name) + "/../mine"):
        with pytest.raises(BundleNotFound):
            find_bundle(name)


def test_an_unknown_name_lists_what_is_installed(mine: Path) -> None:
    with pytest.raises(BundleNotFound, match=r"built in: lite; installed: mine \(vsr-edge"):
        find_bundle("other")
    shutil.rmtree(mine)
    with pytest.raises(BundleNotFound, match="installed: none"):
        find_bundle("other")


def test_the_same_bundle_again_is_no_error(mine: Path, packed: Path) -> None:
    before = everything_below(bundles_folder())
    done = install_file(packed, name="mine")
    assert (done.folder, done.new) == (mine, False)
    assert everything_below(bundles_folder()) == before


@pytest.mark.parametrize(
    ("field", "reason"), [("id", "other is installed at"), ("licence", "with another manifest")]
)
def test_another_bundle_of_that_name_stays(
    mine: Path, packed: Path, field: str, reason: str
) -> None:
    edit_manifest(mine, lambda manifest: manifest.update({field: "other"}))
    before = everything_below(bundles_folder())
    with pytest.raises(BundleExists, match=f"{reason}.*--out DIR"):
        install_file(packed, name="mine")
    assert everything_below(bundles_folder()) == before


def test_a_link_in_the_place_of_the_folder_is_not_followed(home: Path, packed: Path) -> None:
    bundles_folder().mkdir(parents=True)
    (bundles_folder() / "mine").symlink_to(home / "elsewhere")
    with pytest.raises(BundleExists, match="no bundle lies at"):
        install_file(packed, name="mine")
    assert not (home / "elsewhere").exists()


@pytest.mark.parametrize("name", ["lite", "..", ".hidden", "a b", "", "x" * 200, "nul", "a/.."])
def test_a_name_that_cannot_be_one(packed: Path, name: str) -> None:
    with pytest.raises(UsageError, match="--out DIR"):
        install_file(packed, name=name)
    assert not bundles_folder().exists()


def test_the_manifests_name_is_the_default(packed: Path) -> None:
    with pytest.raises(BundleDamaged, match="cannot be loaded"):
        install_file(packed)
    shutil.copytree(find_bundle("lite"), bundles_folder() / "small")
    with pytest.raises(BundleExists, match=r"lite-.* is installed at .*small, and small-1 would"):
        install_file(packed)


def test_only_the_last_part_of_a_repositorys_name_counts(mine: Path, packed: Path) -> None:
    assert install_file(packed, name="someone/mine").folder == mine
