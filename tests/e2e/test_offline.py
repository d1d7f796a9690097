"""No network means no network: nothing calls home, and nothing is left outside our own folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.e2e import watch as watching
from tests.e2e.watch import watch

VSR_EDGE = ["-m", "vsr_edge"]
# onnxruntime 1.32 looks for its collector nine seconds after it was imported.
SECONDS = 12
PROGRAM = f"""
import sys, time
import vsr_edge
with vsr_edge.load_bundle("lite") as bundle:
    bundle.encode_text(["a car"])
    bundle.encode_images([sys.argv[1]])
    assert bundle.notices == []
    import onnxruntime
    time.sleep({SECONDS})
"""
BEFORE = """
import onnxruntime
import vsr_edge
with vsr_edge.load_bundle("lite") as bundle:
    print(bundle.notices)
"""


def test_indexing_and_searching_open_no_socket_and_leave_no_file(
    tmp_path: Path, demo_clips: list[Path]
) -> None:
    home, archive = tmp_path / "user", tmp_path / "archive"
    for command in (
        ["index", demo_clips[0], "--archive", archive],
        ["search", "a bicycle leaning against a wall", "--archive", archive],
        ["search", "a bicycle", "--archive", archive, "--explain", "--json"],
        ["doctor", "--archive", archive],
        ["bundle", "verify", "lite"],
    ):
        watched = watch([*VSR_EDGE, *command], home)
        assert watched.code == 0, watched.out
        assert watched.calls == []
        assert watched.files == set()


def test_a_program_that_stays_opens_no_socket_and_leaves_no_file(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "picture.jpg")
    watched = watch(["-c", PROGRAM, tmp_path / "picture.jpg"], tmp_path / "user")
    assert watched.code == 0, watched.out
    assert watched.calls == []
    assert watched.files == set()


def test_an_export_speaks_to_no_one_and_leaves_what_was_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tests.export.random_models import save_random_model

    checkpoint = save_random_model("clip", tmp_path / "checkpoint")
    few = ["--calibration-count", "8", "--parity-count", "16"]
    command = ["-m", "export", "encoder", str(checkpoint), "--out", "bundle", *few]
    watched = watch(command, tmp_path / "user")
    assert watched.code == 0, watched.out
    # urllib3 binds a socket to this machine's own address to learn whether it has IPv6, and ONNX
    # asks for the network card's number to name a file: neither reaches anyone.
    assert watched.spoken == []
    own = ("work/bundle", "work/runs", "home/.cache")
    assert [path for path in watched.files if not path.startswith(own)] == []
    cached = {path for path in watched.files if path.startswith("home/.cache/")}
    assert cached == {"home/.cache/vsr-edge", "home/.cache/vsr-edge/torch"}


def test_a_report_keeps_its_fonts_in_our_own_folder(tmp_path: Path) -> None:
    watched = watch(["-c", "import vsr_edge.evaluation.report.plots"], tmp_path)
    assert watched.code == 0, watched.out
    assert watched.calls == []
    files = {path for path in watched.files if (tmp_path / path).is_file()}
    assert files
    assert all(Path(path).parts[-3:-1] == ("vsr-edge", "matplotlib") for path in files)


def test_telemetry_is_seen_where_it_is_not_switched_off(tmp_path: Path) -> None:
    """The tests above would see it."""
    watched = watch(["-c", "import onnxruntime"], tmp_path)
    assert watched.code == 0, watched.out
    if not watched.files:
        pytest.skip("this onnxruntime keeps no telemetry")
    assert any("onnxruntime" in path for path in watched.files)


def test_a_program_that_imported_onnxruntime_before_us_is_told(tmp_path: Path) -> None:
    watched = watch(["-c", BEFORE], tmp_path)
    assert "import vsr_edge first" in watched.out
    switched_off = watch(["-c", BEFORE], tmp_path / "2", {"ORT_DISABLE_TELEMETRY": "1"})
    assert "[]" in switched_off.out
    assert switched_off.files == set()


@pytest.mark.parametrize("means", ["strace", "a library"])
def test_a_lookup_is_seen(means: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if means == "strace" and not watching._strace_works():
        pytest.skip("strace is not here, or not allowed")
    monkeypatch.setattr(watching, "_strace_works", lambda: means == "strace")
    code = (
        "import socket, pathlib; pathlib.Path.home().joinpath('left').touch()\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('127.0.0.1', 9))"
    )
    watched = watch(["-c", code], tmp_path)
    assert watched.code == 0, watched.out
    assert len(watched.calls) == 2
    assert len(watched.spoken) == 1
    assert watched.files == {"home/left"}


@pytest.mark.parametrize("package", ["vsr_edge", "export", "models", "tests"])
def test_importing_a_package_switches_telemetry_off_first(package: str, tmp_path: Path) -> None:
    code = (
        f"import {package}, os, sys\n"
        "assert os.environ['ORT_DISABLE_TELEMETRY'] == '1' and 'onnxruntime' not in sys.modules"
    )
    watched = watch(["-c", code], tmp_path)
    assert watched.code == 0, watched.out
