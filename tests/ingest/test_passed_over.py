"""What lies beside videos: system folders, other files, text that is called like a video."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.ingest.archives import counts, footage, index
from vsr_edge.bundle.model import Bundle
from vsr_edge.errors import UsageError
from vsr_edge.ingest.scan import refuse_addresses, scan

SYSTEM = (
    *("@eaDir/a.mp4/SYNOPHOTO_FILM_M.mp4", "#recycle/b.mp4", "$RECYCLE.BIN/$R1.mp4"),
    *("lost+found/c.mp4", "System Volume Information/d.mp4", "sub/@Recycle/e.mp4"),
)
HIDDEN = (".Trash-1000/files/f.mp4", ".Trashes/501/g.mp4", "._h.mp4")


def tree(root: Path, *names: str, content: bytes = b"\x47" + bytes(7)) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def found(root: Path, **how: Any) -> list[str]:
    items = list(scan([root], **how))
    assert all(item.problem is None for item in items)
    return sorted(item.path.relative_to(root).as_posix() for item in items)


def test_what_storage_systems_keep_is_passed_over_unless_asked_for(tmp_path: Path) -> None:
    tree(tmp_path, "a.mp4", *SYSTEM, *HIDDEN, ".hidden/x.mp4")
    passed: Counter[str] = Counter()
    assert found(tmp_path, passed_over=passed) == ["a.mp4"]
    assert passed == {f"{name}/": 1 for name in ("@eaDir", "#recycle", "$RECYCLE.BIN")} | {
        "lost+found/": 1,
        "System Volume Information/": 1,
        "@Recycle/": 1,
    }
    assert found(tmp_path, include_system=True) == sorted(["a.mp4", *SYSTEM, *HIDDEN])


def test_a_system_folder_that_is_named_is_walked(tmp_path: Path) -> None:
    tree(tmp_path, *SYSTEM)
    assert found(tmp_path / "#recycle") == ["b.mp4"]
    assert found(tmp_path / "@eaDir") == ["a.mp4/SYNOPHOTO_FILM_M.mp4"]


ENDINGS = """
m2t mod tod m2v trp 3g2 insv lrv 360 dav divx MP4 Mts M2TS qt tp vro ogm m2p wtv dvr-ms 264 hevc ivf
mpe f4v mxf
"""


@pytest.mark.parametrize("ending", ENDINGS.split())
def test_endings_of_recorders_are_taken(ending: str, tmp_path: Path) -> None:
    tree(tmp_path, f"clip.{ending}")
    assert found(tmp_path) == [f"clip.{ending}"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("main.ts", b"import { x } from './x';\n// \xc3\xa4\n"),
        ("module.mts", b"export const a = 1\r\n"),
        ("de.ts", b'\xef\xbb\xbf<?xml version="1.0"?>\n<TS language="de"></TS>\n'),
        ("go.mod", b"module example.org/x\n\ngo 1.22\n"),
        ("song.mod", b"a song\x00" + bytes(1073) + b"M.K." + bytes(range(256))),
    ],
)
def test_text_and_music_that_are_called_like_videos_are_passed_over(
    name: str, content: bytes, tmp_path: Path
) -> None:
    tree(tmp_path, name, content=content)
    passed: Counter[str] = Counter()
    assert found(tmp_path, passed_over=passed) == []
    assert passed == {Path(name).suffix: 1}
    # Named outright, or by a glob, it is tried.
    assert len(list(scan([tmp_path / name]))) == 1
    assert found(tmp_path, include=["*.*"]) == [name]


def test_a_transport_stream_may_begin_anywhere_and_an_empty_one_is_tried(tmp_path: Path) -> None:
    tree(tmp_path, "cut.ts", content=b"some text amid a packet" + bytes(range(256)))
    tree(tmp_path, "empty.ts", content=b"")
    assert found(tmp_path) == ["cut.ts", "empty.ts"]


def test_other_files_are_counted_by_their_ending(tmp_path: Path) -> None:
    tree(tmp_path, "a.mp4", "b.JPG", "sub/c.jpg", "d.nfo", "README", "e.mkv", ".hidden.jpg")
    passed: Counter[str] = Counter()
    assert found(tmp_path, exclude=["*.mkv"], passed_over=passed) == ["a.mp4"]
    # Not what was excluded or is hidden: nobody misses that.
    assert passed == {".jpg": 2, ".nfo": 1, "(none)": 1}


def test_a_run_says_what_it_passed_over(bundle: Bundle, tmp_path: Path) -> None:
    footage(tmp_path / "videos" / "a.mp4")
    tree(tmp_path / "videos", "b.jpg", "c.jpg", "d.nfo", "d.srt", "@eaDir/a.mp4")
    summary = index(bundle, tmp_path / "archive", tmp_path / "videos")
    assert counts(summary)["indexed"] == 1
    assert summary.passed_over == {".jpg": 2, ".nfo": 1, "@eaDir/": 1}


@pytest.mark.parametrize("glob", ["*.MKV", "CAM1/*", "B.mkv", "Cam1/B.MKV"])
def test_case_does_not_matter_in_globs(glob: str, tmp_path: Path) -> None:
    tree(tmp_path, "a.mp4", "cam1/b.mkv")
    assert found(tmp_path, include=[glob]) == ["cam1/b.mkv"]
    assert found(tmp_path, exclude=[glob]) == ["a.mp4"]


def test_an_excluded_folder_may_be_written_in_any_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = tree(tmp_path / "videos", "a.mp4", "old/b.mp4", "old/deep/c.mp4", "sub/older/d.mp4")
    monkeypatch.chdir(tmp_path)
    ways = ("old", "old/", "OLD/", "./old", "./old/", "videos/old", "videos/old/", "./videos/old/")
    for way in (
        *ways,
        f"{videos}/old",
        f"{videos}/old/",
        f"{videos}/sub/../old",
        "../*/videos/old",
    ):
        assert found(videos, exclude=[way]) == ["a.mp4", "sub/older/d.mp4"], way
    assert found(videos, exclude=["videos/sub/older/"]) == [
        *("a.mp4", "old/b.mp4", "old/deep/c.mp4")
    ]
    monkeypatch.chdir(videos / "sub")
    assert found(videos, exclude=["../old"]) == ["a.mp4", "sub/older/d.mp4"]


def test_a_slash_at_the_end_means_a_folder(tmp_path: Path) -> None:
    tree(tmp_path, "old.mp4", "sub/old.mp4/a.mp4")
    assert found(tmp_path, exclude=["old.mp4/"]) == ["old.mp4"]
    assert found(tmp_path, exclude=["old.mp4"]) == []


def test_addresses_are_told_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("rtsp://cam/1", Path("rtsp://cam/1"), "HTTPS://x/y.m3u8"):
        with pytest.raises(UsageError, match=r"://.* is an address, and only files are indexed"):
            refuse_addresses(["a.mp4", path])
    refuse_addresses(["a.mp4", "c:/videos", "odd:name.mp4", tmp_path])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rtsp:").mkdir()
    refuse_addresses(["rtsp://"])
