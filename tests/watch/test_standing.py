"""Standing queries: what is like the past is silent, what is not fires, and each video once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.ingest.archives import footage
from vsr_edge import open_archive
from vsr_edge.archive import Archive
from vsr_edge.errors import UsageError
from vsr_edge.query import Filter
from vsr_edge.times import daily_of, holds
from vsr_edge.watch.alerts import Alert, alerts_in, alerts_of, began, rate_of
from vsr_edge.watch.standing import Fired, Standing
from vsr_edge.watch.thresholds import LEAST_PAST

QUERY = "a bicycle leaning against a wall"
BIKES = Alert("bikes", QUERY, 1.0)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of a camera that shows patterns."""
    folder = tmp_path_factory.mktemp("past")
    for number in range(LEAST_PAST + 4):
        footage(folder / "cam1" / f"{number:02d}.mkv", 1.0, first=37 * number)
    with open_archive(folder / "archive", threads=1) as archive:
        archive.index(folder / "cam1")
    return folder / "archive"


@pytest.fixture
def archive(past: Path, tmp_path: Path) -> Iterator[Archive]:
    shutil.copytree(past, tmp_path / "archive")
    with open_archive(tmp_path / "archive", threads=1) as opened:
        yield opened


def asked(archive: Archive, *alerts: Alert) -> list[Fired]:
    """What fires in a run that begins now."""
    standing = Standing(archive, alerts)
    list(standing.begin())
    return [one for fired in standing.ask_new() for one in fired]


def test_what_was_there_before_does_not_fire_and_what_comes_does_once(
    archive: Archive, demo_clips: list[Path], tmp_path: Path
) -> None:
    assert asked(archive, BIKES) == []
    bikes = next(clip for clip in demo_clips if clip.name == "bikes.mp4")
    archive.index([bikes, footage(tmp_path / "cam1" / "more.mkv", 1.0, first=1234)])
    (fired,) = asked(archive, BIKES)
    assert (fired.alert, fired.video, fired.extrapolated) == ("bikes", bikes, True)
    assert fired.score > fired.threshold
    assert 0 <= fired.start < fired.end
    assert fired.probability is not None
    assert fired.recorded_at.endswith("+00:00")
    assert asked(archive, BIKES) == []
    # Nor does a copy of it.
    archive.index(shutil.copy(bikes, tmp_path / "copy.mp4"))
    assert asked(archive, BIKES) == []


def test_an_alert_that_was_cut_off_tells_of_the_same_moment_again(
    archive: Archive, demo_clips: list[Path]
) -> None:
    assert asked(archive, BIKES) == []
    archive.index(demo_clips)
    standing = Standing(archive, [BIKES])
    list(standing.begin())
    first = next(standing.ask_new())  # and no more: what fired was not yet noted
    assert asked(archive, BIKES)[:1] == first


def test_an_alert_that_is_new_has_all_that_is_there_as_its_past(
    archive: Archive, demo_clips: list[Path]
) -> None:
    archive.index(demo_clips)
    assert asked(archive, BIKES) == []


def test_an_alert_is_silent_until_it_has_a_past(tmp_path: Path, demo_clips: list[Path]) -> None:
    with open_archive(tmp_path / "archive", threads=1) as archive:
        standing = Standing(archive, [BIKES])
        assert ["silent until" in line for line in standing.begin()] == [True]
        assert list(standing.ask_new()) == []
        archive.index(demo_clips)
        assert list(standing.ask_new()) == []
    assert (tmp_path / "archive" / "alerts.jsonl").exists()


def test_videos_and_hours_narrow_an_alert(archive: Archive, demo_clips: list[Path]) -> None:
    bikes = next(clip for clip in demo_clips if clip.name == "bikes.mp4")
    elsewhere = Alert("elsewhere", QUERY, 1.0, videos=("cam1/*",))
    with_hours = [
        Alert(name, QUERY, 1.0, daily_of(text))
        for name, text in (("day", "00:00-23:59"), ("rest", "23:59-00:00"))
    ]
    assert asked(archive, elsewhere, *with_hours) == []
    archive.index(bikes)
    stored = next(one for one in archive.store.videos() if one.video.path == bikes)
    fired = {one.alert for one in asked(archive, elsewhere, *with_hours)}
    assert "elsewhere" not in fired
    # The hour of the test decides; what was recorded in the one is not in the other.
    if all(holds(Filter(between=with_hours[0].hours), began(stored) + np.array([0.0, 30.0]))):
        assert "rest" not in fired


def test_alerts_are_read_from_options_and_files(tmp_path: Path) -> None:
    (given,) = alerts_of(["dock=a person"], "2/hour", "22:00-06:00", ["cam2"])
    assert given == Alert("dock", "a person", 2.0, daily_of("22:00-06:00"), ("cam2",))
    file = tmp_path / "alerts.toml"
    file.write_text(
        '[dock]\nquery = "a person"\nbetween = "22:00-06:00"\nvideo = "cam2"\n'
        'false_alarms = "2/hour"\n["the gate"]\nquery = "a van"\n',
        "utf-8",
    )
    assert alerts_in(file) == [given, Alert("the gate", "a van", 1 / 24)]


@pytest.mark.parametrize(
    "content",
    [
        *("[dock", "[dock]\n", "dock = 1", '[dock]\nquery = " "'),
        *('[dock]\nquery = "x"\nhours = 1', '[dock]\nquery = "x"\nbetween = 22'),
        '[dock]\nquery = "x"\nfalse_alarms = "many"',
    ],
)
def test_what_an_alert_cannot_be_is_said_with_its_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "alerts.toml"
    file.write_text(content, "utf-8")
    with pytest.raises(UsageError):
        alerts_in(file)


@pytest.mark.parametrize("text", ["", "dock", "=a person", "dock="])
def test_an_alert_needs_a_name_and_a_query(text: str) -> None:
    with pytest.raises(UsageError, match="--alert"):
        alerts_of([text], None, None, [])


def test_two_alerts_have_two_names(archive: Archive) -> None:
    with pytest.raises(UsageError, match="bikes"):
        Standing(archive, [BIKES, BIKES])


def test_budgets_are_so_many_in_an_hour() -> None:
    assert rate_of("1/hour") == 1
    assert rate_of("3/day") == pytest.approx(3 / 24)
    assert rate_of("0.5/week") == pytest.approx(0.5 / 168)


@pytest.mark.parametrize("text", ["", "1", "0/day", "1/second", "/day", "-1/day"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="1/day"):
        rate_of(text)
