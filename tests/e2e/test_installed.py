"""What a wheel installs runs anywhere: the export too, which has no checkout beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.e2e.command import Ended, run

PROJECT = Path(__file__).parents[2]
UNCOMPILED = shutil.ignore_patterns("__pycache__", "checkpoints")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as site-packages, laid out as the wheel's configuration says."""
    folder = tmp_path_factory.mktemp("site-packages")
    wheel = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"][
        "build"
    ]["targets"]["wheel"]
    for package in wheel["only-include"]:
        target = folder / wheel["sources"].get(package, package)
        shutil.copytree(PROJECT / package, target, ignore=UNCOMPILED, dirs_exist_ok=True)
    return folder


def started(installed: Path, folder: Path, *arguments: str) -> Ended:
    done = subprocess.run(
        [sys.executable, "-m", "vsr_edge", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def test_nothing_but_the_package_itself_is_installed(installed: Path) -> None:
    assert [path.name for path in installed.iterdir()] == ["vsr_edge"]


def test_the_export_runs_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    shown = started(installed, tmp_path, "export", "encoder", "--help")
    assert shown.code == 0, shown.err
    assert "vsr-edge export encoder" in shown.out
    failed = started(
        installed, tmp_path, "export", "encoder", "none.safetensors", "--out", "bundle"
    )
    assert failed.code == 1
    assert "none.safetensors is no file" in failed.err


def test_files_of_the_users_do_not_stand_in_its_way(installed: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    for name in ("models.py", "export.py"):
        (tmp_path / name).write_text("raise RuntimeError", "utf-8")
    shown = started(installed, tmp_path, "export", "encoder", "--help")
    assert shown.code == 0, shown.err


def test_what_it_lacks_is_named_with_the_extra(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'torch' else find(name, *rest)\n",
        "utf-8",
    )
    path = f"{tmp_path}{os.pathsep}{PROJECT}"
    ended = run("export", "encoder", "x", environment={"PYTHONPATH": path})
    assert ended.code == 2
    assert "exporting needs torch" in ended.err
    assert "pip install 'vsr-edge[export]'" in ended.err
