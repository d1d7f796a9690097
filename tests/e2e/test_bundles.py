"""Bundles packed, carried, pulled and used, by the command."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundle.hub import COMMIT, Hub, serving
from tests.bundle.samples import everything_below
from tests.e2e.command import INTERRUPTIBLE, finish, run, running, succeed, wait_until
from vsr_edge.bundle.locate import find_bundle, sha256_of

LITE = "someone/lite-copy"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("packed") / "lite.tar"
    document = succeed("bundle", "pack", "lite", "--out", file, "--json").document
    assert document["sha256"] == sha256_of(file)
    return file


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's data folder, still without bundles; and nothing that leads out of here."""
    for name in ("XDG_DATA_HOME", "HF_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving() as hub:
        hub.publish(LITE, find_bundle("lite"))
        hub.repositories["someone/checkpoint"] = {"config.json": b"{}"}
        yield hub


def bundles(home: Path) -> Path:
    return home / "XDG_DATA_HOME" / "vsr-edge" / "bundles"


def installed() -> dict[str, str]:
    rows = succeed("bundle", "list", "--json").document["installed"]
    return {row["name"]: row["folder"] for row in rows}


def test_a_packed_bundle_is_installed_verified_and_searched_with(
    packed: Path, home: Path, demo_archive: Path
) -> None:
    ended = succeed("bundle", "pull", "mine", "--from", packed, "--sha256", sha256_of(packed))
    assert "to use it: --bundle mine" in ended.err
    folder = Path(installed()["mine"])
    assert folder.is_relative_to(home)
    lite = {path.name: path.read_bytes() for path in find_bundle("lite").iterdir()}
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == lite
    assert succeed("bundle", "verify", "mine", "--json").document["ok"] is True
    options = ("--archive", demo_archive, "--json")
    with_it = run("search", "a man in a car", "--bundle", "mine", *options).document
    without = run("search", "a man in a car", *options).document
    assert with_it["moments"] == without["moments"]
    # Again: said, and nothing done.
    before = everything_below(home)
    again = succeed("bundle", "pull", "mine", "--from", packed, "--json")
    assert again.document["new"] is False
    assert "is there already" in again.err
    assert everything_below(home) == before


def test_a_bundle_is_pulled_from_a_hub_without_touching_the_users_cache(
    hub: Hub, home: Path
) -> None:
    environment = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": "hf_secret"}
    ended = succeed("bundle", "pull", LITE, "--json", environment=environment)
    assert ended.document["commit"] == COMMIT
    assert f"main is commit {COMMIT}" in ended.err
    assert "hf_secret" not in ended.err
    assert hub.tokens == {"Bearer hf_secret"}
    assert installed() == {"lite-copy": ended.document["folder"]}
    assert not [p for p in (home / "HF_HOME").rglob("*") if p.is_file() and p.suffix != ".log"]
    assert succeed("bundle", "verify", "lite-copy").code == 0


def test_without_the_extra_it_says_what_to_install(home: Path) -> None:
    stand_in = home / "path" / "huggingface_hub.py"
    stand_in.parent.mkdir()
    stand_in.write_text("raise ImportError('not installed')")
    paths = [str(stand_in.parent), os.environ.get("PYTHONPATH", "")]
    environment = {"PYTHONPATH": os.pathsep.join(paths)}
    ended = run("bundle", "pull", LITE, environment=environment)
    assert ended.code == 2
    assert "pip install 'vsr-edge[hub]'" in ended.err


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_download_leaves_nothing(hub: Hub, home: Path, number: int) -> None:
    hub.stalled.add("text.onnx")
    pull = ("bundle", "pull", LITE, "--endpoint", hub.endpoint)
    with running(*pull, command=INTERRUPTIBLE) as process:
        wait_until(hub.halfway.is_set, process)
        process.send_signal(number)
        ended = finish(process)
    assert ended.code == 130
    assert "interrupted" in ended.err
    assert list(bundles(home).iterdir()) == []


def test_options_that_do_not_go_together(home: Path) -> None:
    for arguments in (["--from", "x.tar", "--revision", "main"], []):
        assert run("bundle", "pull", *arguments).code == 2
    ended = run("bundle", "pull", "mine", "--from", home / "missing.tar")
    assert ended.code == 1
    assert "missing.tar" in ended.err


def test_the_list_shows_what_there_is(home: Path) -> None:
    for name in ("mine", "broken"):
        shutil.copytree(find_bundle("lite"), bundles(home) / name, copy_function=os.link)
    (bundles(home) / "broken" / "manifest.json").unlink()
    (bundles(home) / ".pull-left.partial").mkdir()
    document = succeed("bundle", "list", "--json").document
    assert [row["name"] for row in document["built_in"]] == ["lite"]
    rows = {row["name"]: row for row in document["installed"]}
    assert set(rows) == {"mine", "broken"}
    assert rows["mine"]["id"] == document["built_in"][0]["id"]
    assert "has no manifest.json" in rows["broken"]["problem"]
    sources = document["registry"]["sources"]
    assert {"name", "repository", "licence", "family", "parameters"} <= set(sources[0])
    shown = succeed("bundle", "list").out
    for name in ("lite", "mine", "broken", *(source["name"] for source in sources)):
        assert f" {name} " in shown


def test_the_option_goes_before_the_environment_and_offline_before_both(
    hub: Hub, home: Path
) -> None:
    environment = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1"}
    pull = ("bundle", "pull", "someone/checkpoint", "--endpoint", hub.endpoint)
    ended = run(*pull, environment=environment)
    assert ended.code == 1
    assert "HF_HUB_OFFLINE is set" in ended.err
    assert hub.requests == []
    ended = run(*pull, environment=environment | {"HF_HUB_OFFLINE": "0"})
    assert ended.code == 1
    assert "vsr-edge export encoder someone/checkpoint" in ended.err
    assert list(bundles(home).iterdir()) == []
