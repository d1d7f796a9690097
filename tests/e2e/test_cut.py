"""`cut` and `--format` as they are typed."""

from __future__ import annotations

import csv
import io
import signal
from pathlib import Path

import jsonschema
import pytest

from tests.e2e.command import INTERRUPTIBLE, finish, run, running, succeed, wait_until
from tests.media.test_trim import seen
from tests.media_files import constant_rate, write_video
from vsr_edge.documents import CutDocument


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of coloured blocks, indexed."""
    folder = tmp_path_factory.mktemp("cut")
    (folder / "videos").mkdir()
    for name in ("one.mp4", "two.mp4"):
        write_video(folder / "videos" / name, constant_rate(60))
    succeed("index", folder / "videos", "--archive", folder / "archive")
    return folder


def test_hits_are_cut_listed_and_named_again(archive: Path, tmp_path: Path) -> None:
    where = ("--archive", archive / "archive")
    out = tmp_path / "out"
    ended = run(
        "cut", "red and blue blocks", *where, "--guesses", "--top", "2", "--out", out, "--json"
    )
    assert ended.code == 0, ended
    document = ended.document
    jsonschema.validate(document, CutDocument.model_json_schema(mode="serialization"))
    assert [one["number"] for one in document["cuts"]] == [1, 2]
    for one in document["cuts"]:
        found = seen(Path(one["file"]))
        assert len(found.numbers) == one["frames"]
        assert found.numbers[0] == round(one["start"] * 10)
        assert one["start"] <= one["wanted_start"] < one["wanted_end"] <= one["end"] + 0.1

    again = run("cut", "--last", "1,2", *where, "--out", out)
    assert again.code == 2
    assert "--force" in again.err
    succeed("cut", "--last", "1,2", *where, "--out", out, "--force")
    assert len(list(out.iterdir())) == 2

    listed = succeed("cut", "--last", "all", *where, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(listed.out)))
    assert rows[0]["video"] == document["cuts"][0]["video"]
    assert float(rows[0]["start"]) == pytest.approx(document["cuts"][0]["start"], abs=0.001)

    one_shot = ("search", "red and blue blocks", *where, "--one-shot", "--top-k", "2")
    printed = succeed(*one_shot, "--format", "edl")
    assert printed.out.startswith("TITLE: red and blue blocks\nFCM: NON-DROP FRAME")
    to_file = succeed(*one_shot, "--format", "edl", "--out", tmp_path / "a.edl", "--json")
    assert to_file.document["schema"] == "vsr-edge/search/1"
    assert (tmp_path / "a.edl").read_text("utf-8") == printed.out
    assert run(*one_shot, "--format", "edl", "--out", tmp_path / "a.edl").code == 2


def test_a_span_of_a_video_is_cut_by_file_or_by_name(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "a b.mp4"
    done = succeed(
        "cut", archive / "videos" / "one.mp4", "--from", "0:01", "--to", "2.5", "--out", target
    )
    assert f"cut {target}: 1.000 to 2.500 s of " in done.err
    assert seen(target).numbers == list(range(10, 25))
    named = succeed(
        "cut", "two.mp4", "--archive", archive / "archive", "--from", "5", "--out", tmp_path / "out"
    )
    assert "10 frames" in named.err
    (file,) = (tmp_path / "out").iterdir()
    assert file.name == "01_two_0m05.0s-0m05.9s.mp4"
    assert seen(file).numbers == list(range(50, 60))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "say what to cut"),
        (("x", "--last", "1"), 2, "say what to cut"),
        (("a", "b", "--from", "1"), 2, "of one VIDEO"),
        (("one.mp4", "--from", "x"), 2, "is no time"),
        (("one.mp4", "--from", "3", "--to", "2"), 2, "does not lie behind"),
        (("one.mp4", "--from", "9"), 2, "ends at 5.940 s"),
        (("one.mp4", "--from", "9", "--to", "10"), 1, "ends at 5.940 s"),
        (("onn.mp4", "--from", "1"), 2, "nearly so are called: one.mp4"),
        (("*.mp4", "--from", "1"), 2, "means 2 indexed videos"),
        (("x", "--format", "avid"), 2, "is no format"),
        (("x", "--format", "csv", "--json"), 2, "say --out FILE"),
        (("purple elephants on the moon",), 3, "--guesses"),
    ],
)
def test_what_cannot_be_cut_is_said(
    arguments: tuple[str, ...], code: int, said: str, archive: Path, tmp_path: Path
) -> None:
    ended = run("cut", *arguments, "--archive", archive / "archive", cwd=tmp_path)
    assert (ended.code, said in ended.err.replace("\n", " ")) == (code, True), ended
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_cut_and_leaves_nothing_half(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", constant_rate(500), width=640, height=480)
    out = tmp_path / "out"
    arguments = ("cut", path, "--from", "0", "--to", "50", "--out", out / "b.mp4")
    with running(*arguments, command=INTERRUPTIBLE) as process:
        wait_until(lambda: out.is_dir() and bool(list(out.iterdir())), process)
        process.send_signal(signal.SIGINT)
        ended = finish(process)
    assert ended.code == 130
    assert "interrupted" in ended.err
    assert list(out.iterdir()) == []
