"""An archive with what lies beside its rows."""

from __future__ import annotations

from pathlib import Path

from tests.store.archives import fill

PATHS = ("/v/a.mp4", "/v/b.mp4", "/v/c.mp4")


def an_archive(folder: Path, *paths: str) -> Path:
    fill(folder, *(paths or PATHS))
    (folder / "saved").mkdir()
    (folder / "saved" / "bicycle.json").write_text('{"name": "bicycle"}')
    (folder / "calibration.json").write_text("{}")
    (folder / "access.json").write_text('{"secret": 1}')
    (folder / "access.json").chmod(0o600)
    (folder / "alerts.jsonl").write_text('{"a": 1}\n{"a": ')
    (folder / "thumbnails").mkdir()
    (folder / "thumbnails" / "x.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("of the user")
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """All files with what they hold."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
