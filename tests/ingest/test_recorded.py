"""When videos were recorded: by containers, names or files, through all that befalls these."""

from __future__ import annotations

import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ingest.archives import counts, footage, index
from tests.other_bundle import other_bundle
from tests.store.archives import change, rows
from vsr_edge.bundle.model import Bundle, load_bundle
from vsr_edge.errors import UsageError
from vsr_edge.ingest.recorded import Site
from vsr_edge.ingest.reindex import reindex
from vsr_edge.media.created import created_at
from vsr_edge.store import open_store
from vsr_edge.times import instant_of, shown
from vsr_edge.types import Sampling

BERLIN = Site("Europe/Berlin")
MADE = "2025-07-01T08:00:00Z"
# Two seconds of footage, done at this moment.
LENGTH, CHANGED = 2.0, 1_750_000_000.0


def made(path: Path, first: int = 0, created: str | None = None, **tags: str) -> Path:
    """Footage whose file was last changed at CHANGED, and whose container says so much."""
    footage(path, LENGTH, first=first)
    if created is not None:
        tags["creation_time"] = created
    if tags:
        if int(av.__version__.split(".")[0]) < 15:
            pytest.skip("PyAV 14 copies no stream of H.264 that can be decoded")
        bare = path.rename(path.with_name(f"bare{path.suffix}"))
        options = {"movflags": "use_metadata_tags"} if path.suffix == ".mov" else {}
        with av.open(str(bare)) as source, av.open(str(path), "w", options=options) as target:
            target.metadata.update(tags)
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(source.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)
        bare.unlink()
    os.utime(path, (CHANGED, CHANGED))
    return path


def known(archive: Path) -> dict[str, tuple[str, str | None, tuple[str, ...]]]:
    """By name: when a video was recorded, by the clocks of Berlin; how that is known; its tags."""
    with open_store(archive) as store:
        return {
            stored.video.path.name: (
                shown(stored.recorded_at or 0.0, "Europe/Berlin"),
                stored.recorded_from,
                stored.tags,
            )
            for stored in store.videos()
        }


NAMED = {
    "cam1_20260304_101500.mp4": "10:15:00",
    "2026-03-04/10-15-00.mkv": "10:15:00",
    "2026-03-04/cam2-10-15-00.mkv": "10:15:00",
    "2026-03-04_10-15-00-front.mp4": "10:15:00",
    "2026-03-04 10-15-00.mkv": "10:15:00",
    "PXL_20260304_101500123.mp4": "10:15:00",
    "RLC_00_20260304101500.mp4": "10:15:00",
    "20260304T101500Z.mp4": "11:15:00",
    "2026_0304_101500_001.MP4": "10:15:00",
    "cam.2026-03-04.10.15.00.dav": "10:15:00",
    "2026/03/04/cam1-101500.mp4": "10:15:00",
    "2026-03-04/001/dav/10/10.15.00-10.20.00[M][0@0][0].dav": "10:15:00",
    "2026-03-04/10/front/15.00.mp4": "10:15:00",
    "clip_20260304_101500_20260304_102000.mp4": "10:15:00",
    "99999999_999999_20260304_101500.mp4": "10:15:00",
}


@pytest.mark.parametrize("name", NAMED)
def test_names_of_common_recorders_say_when(name: str) -> None:
    found = BERLIN.recorded(Path("/archive", name), 0, 0.0)
    assert found.source == "name"
    assert shown(found.at, BERLIN.zone) == f"2026-03-04 {NAMED[name]}"


@pytest.mark.parametrize(
    "name",
    ["holiday.mp4", "20260304/movie.mp4", "video-0181.mp4", "20261301_101500.mp4",
     "20260304_251500.mp4", "19700101_000000.mp4", "29990101_101500.mp4", "1202603041015001.mp4",
     "20260304_101500/movie.mp4", "IMG_1234.MOV", "VID-20260304-WA0001.mp4"],
)  # fmt: skip
def test_other_names_say_nothing_and_the_file_was_changed_when_the_recording_ended(
    name: str,
) -> None:
    found = BERLIN.recorded(Path("/archive", name), 1_750_000_000_500_000_000, 60.5)
    assert found == (1_749_999_940.0, "file")


FORMS = [
    "cam1_%Y%m%d_%H%M%S.mp4",
    "%Y-%m-%d/%H-%M-%S.mkv",
    "%Y-%m-%d_%H-%M-%S-front.mp4",
    "PXL_%Y%m%d_%H%M%S123.mp4",
    "RLC_00_%Y%m%d%H%M%S.mp4",
    "%Y_%m%d_%H%M%S_001.MP4",
    "%Y/%m/%d/cam1-%H%M%S.mp4",
    "%Y-%m-%d/001/dav/%H/%H.%M.%S-23.59.59[M][0@0][0].dav",
    "%Y-%m-%d/%H/front/%M.%S.mp4",
]


@given(st.datetimes(datetime(1990, 1, 2), datetime(2026, 1, 1)), st.sampled_from(FORMS))
def test_any_date_is_read_from_any_such_name(when: datetime, form: str) -> None:
    found = Site("UTC").recorded(Path("/archive", when.strftime(form)), 0, 0.0)
    at = when.replace(microsecond=0, tzinfo=UTC).timestamp()
    assert (int(found.at), found.source) == (at, "name")


@pytest.mark.parametrize(
    ("pattern", "name", "when"),
    [
        ("door-%d%m%Y-%H%M", "door-04032026-1015.mp4", "2026-03-04 10:15:00"),
        ("%y%m%d*%H%M", "260304 at the door 1015 x.mp4", "2026-03-04 10:15:00"),
        ("%Y/%m/%d", "2026/03/04/any.mp4", None),
        ("%Y/%m/%d/*", "2026/03/04/any.mp4", "2026-03-04 00:00:00"),
        ("day %Y-%m-%d/%H.%M*", "day 2026-03-04/10.15 x.mp4", "2026-03-04 10:15:00"),
        ("rec_%s", "rec_1772615700.mp4", "2026-03-04 10:15:00"),
        ("100%%-%Y%m%d", "100%-20260304.mp4", "2026-03-04 00:00:00"),
        ("%Y%d%m_%H%M%S", "20260403_101500.mp4", "2026-03-04 10:15:00"),
    ],
)
def test_a_site_may_have_patterns_of_its_own_and_they_come_first(
    pattern: str, name: str, when: str | None
) -> None:
    found = Site("Europe/Berlin", (pattern,)).recorded(Path("/archive", name), 0, 0.0)
    assert (shown(found.at, "Europe/Berlin") if found.source == "name" else None) == when


@pytest.mark.parametrize("pattern", ["", "cam", "%Y", "%Y-%m", "%Y%m%d%Q", "%Y%m%d%d", "%Y%m%d%"])
def test_a_pattern_without_a_date_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match="gives no date"):
        Site("", (pattern,))


def test_the_container_comes_first_unless_it_says_what_cannot_be(
    tmp_path: Path, bundle: Bundle
) -> None:
    videos, future = tmp_path / "v", datetime.fromtimestamp(time.time() + 3 * 86_400, UTC)
    name = "_20260304_101500"
    made(videos / f"right{name}.mp4", 0, MADE)
    made(videos / f"mac{name}.mp4", 100, "1904-01-01T00:00:00Z")
    made(videos / f"unix{name}.mkv", 200, "1970-01-01T00:00:00Z")
    made(videos / f"ahead{name}.mp4", 300, future.isoformat())
    made(videos / f"none{name}.mp4", 400)
    made(videos / "neither.mp4", 500)
    # A phone: its own clock, beside one that says UTC and is wrong.
    apple = {"com.apple.quicktime.creationdate": "2025-07-01T09:30:00+0200"}
    made(videos / "phone.mov", 600, "2025-07-01T09:30:00Z", **apple)
    index(bundle, tmp_path / "a", videos, site=BERLIN)
    ended = shown(CHANGED - LENGTH, "Europe/Berlin")
    assert known(tmp_path / "a") == {
        f"right{name}.mp4": ("2025-07-01 10:00:00", "container", ()),
        f"mac{name}.mp4": ("2026-03-04 10:15:00", "name", ()),
        f"unix{name}.mkv": ("2026-03-04 10:15:00", "name", ()),
        f"ahead{name}.mp4": ("2026-03-04 10:15:00", "name", ()),
        f"none{name}.mp4": ("2026-03-04 10:15:00", "name", ()),
        "neither.mp4": (ended, "file", ()),
        "phone.mov": ("2025-07-01 09:30:00", "container", ()),
    }


def test_a_rename_a_copy_and_a_touch_say_anew_what_the_container_does_not(
    tmp_path: Path, bundle: Bundle
) -> None:
    videos, archive = tmp_path / "v", tmp_path / "a"
    made(videos / "told.mp4", 0, MADE)
    made(videos / "plain.mp4", 100)

    def run(**how: Any) -> dict[str, int]:
        return counts(index(bundle, archive, videos, site=BERLIN, **how))

    assert run(tags=["old"]) == {"indexed": 2, "frames": 8}
    (videos / "told.mp4").rename(videos / "told_20260304_101500.mp4")
    (videos / "plain.mp4").rename(videos / "plain_20260304_101500.mp4")
    assert run() == {"moved": 2}
    told, plain = ("2025-07-01 10:00:00", "container"), ("2026-03-04 10:15:00", "name")
    assert known(archive) == {
        "told_20260304_101500.mp4": (*told, ("old",)),
        "plain_20260304_101500.mp4": (*plain, ("old",)),
    }
    shutil.copy(videos / "told_20260304_101500.mp4", videos / "a_20260305_101500.mp4")
    shutil.copy(videos / "plain_20260304_101500.mp4", videos / "b_20260305_101500.mp4")
    assert run(tags=["new"]) == {"copied": 2, "skipped": 2}
    assert known(archive) == {
        "told_20260304_101500.mp4": (*told, ("new", "old")),
        "plain_20260304_101500.mp4": (*plain, ("new", "old")),
        "a_20260305_101500.mp4": (*told, ("new",)),
        "b_20260305_101500.mp4": ("2026-03-05 10:15:00", "name", ("new",)),
    }
    # Known by the same name, and said otherwise from now on.
    assert counts(index(bundle, archive, videos, site=Site("UTC"))) == {"skipped": 4}
    assert known(archive)["b_20260305_101500.mp4"][0] == "2026-03-05 11:15:00"
    (videos / "b_20260305_101500.mp4").rename(videos / "b.mp4")
    os.utime(videos / "b.mp4", (CHANGED, CHANGED))
    assert run() == {"moved": 1, "skipped": 3}
    os.utime(videos / "b.mp4", (CHANGED + 60, CHANGED + 60))
    assert run() == {"skipped": 4}
    later = shown(CHANGED + 60 - LENGTH, "Europe/Berlin")
    assert known(archive)["b.mp4"] == (later, "file", ("new",))


def test_an_archive_of_before_is_told_by_probing_alone(
    tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos, archive = tmp_path / "v", tmp_path / "a"
    made(videos / "told.mp4", 0, MADE)
    made(videos / "cam1_20260304_101500.mp4", 100)
    made(videos / "plain.mp4", 200)
    gone = made(videos / "gone_20260304_101500.mp4", 300)
    lost = made(videos / "lost.mp4", 400)
    index(bundle, archive, videos, site=BERLIN)
    expected = known(archive)
    # As the step that adds the columns leaves them.
    change(archive, "UPDATE videos SET recorded_at = NULL, recorded_from = NULL")
    ended = (shown(CHANGED - LENGTH, "Europe/Berlin"), "file", ())
    assert known(archive) == dict.fromkeys(expected, ended)
    gone.unlink()
    lost.unlink()
    some = videos / "plain.mp4"

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("read again")

    with monkeypatch.context() as patch:
        patch.setattr("vsr_edge.ingest.read.plan_video", refused)
        patch.setattr("vsr_edge.media.source.SourceFile.fingerprint", refused)
        # Whatever is named, all are brought up.
        assert counts(index(bundle, archive, some, site=BERLIN)) == {"skipped": 1}
    assert known(archive) == expected
    # What may come back is asked then.
    waiting = rows(archive, "SELECT path FROM videos WHERE recorded_from IS NULL")
    assert [Path(path).name for (path,) in waiting] == ["lost.mp4"]


def test_a_new_bundle_takes_over_times_and_tags(tmp_path: Path, bundle: Bundle) -> None:
    videos, archive = tmp_path / "v", tmp_path / "a"
    made(videos / "told.mp4", 0, MADE)
    made(videos / "cam1_20260304_101500.mp4", 100)
    index(bundle, archive, videos / "told.mp4", site=BERLIN, tags=["night", "door"])
    index(bundle, archive, videos / "cam1_20260304_101500.mp4", site=BERLIN)
    before = known(archive)
    assert {one[2] for one in before.values()} == {("door", "night"), ()}
    with load_bundle(str(other_bundle(tmp_path / "other"))) as other, open_store(archive) as store:
        assert reindex(store, other, threads=1).switched
    assert known(archive) == before


def test_encoded_anew_a_video_keeps_its_tags_and_other_content_does_not(
    tmp_path: Path, bundle: Bundle
) -> None:
    path, archive = made(tmp_path / "v" / "a.mp4"), tmp_path / "a"
    index(bundle, archive, path, tags=["door"])
    assert counts(index(bundle, archive, path, Sampling(fps=2))) == {"indexed": 1, "frames": 4}
    assert known(archive)["a.mp4"][2] == ("door",)
    made(path, 500)
    assert counts(index(bundle, archive, path, tags=["new"]))["indexed"] == 1
    assert known(archive)["a.mp4"][2] == ("new",)


def test_what_is_no_media_says_nothing_of_when_it_was_made(tmp_path: Path) -> None:
    assert created_at(made(tmp_path / "a.mkv")) is None
    told = made(tmp_path / "b.mkv", 0, MADE)
    assert created_at(told) == datetime.fromtimestamp(instant_of(MADE), UTC)
