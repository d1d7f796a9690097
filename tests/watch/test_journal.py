"""What an alert was asked of outlives kills and damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from vsr_edge.watch import journal
from vsr_edge.watch.journal import FILE, Journal


def test_what_is_recorded_is_there_after_it_is_opened_again(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    first.begin("a", 7)
    first.record("a", "one", 1.5, 0.25)
    first.record("a", "two", None, 0.5)
    first.record("b", "one", 2.0, 0.25)
    for found in (first.of("a"), Journal(tmp_path).of("a")):
        assert found.past == 7
        assert found.asked == {"one", "two"}
        assert found.scores == [(1.5, 0.25)]
    assert Journal(tmp_path).of("c").past is None


def test_a_line_that_was_cut_off_costs_that_line_alone(tmp_path: Path) -> None:
    before = Journal(tmp_path)
    before.begin("a", 7)
    before.record("a", "one", 1.5, 0.25)
    content = (tmp_path / FILE).read_bytes()
    for cut in range(1, 40):
        (tmp_path / FILE).write_bytes(content[:-cut])
        Journal(tmp_path).record("a", "two", 2.5, 0.25)
        found = Journal(tmp_path).of("a")
        assert found.past == 7
        assert "two" in found.asked
        assert found.asked <= {"one", "two"}


def test_it_does_not_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "KEPT", 5)
    written = Journal(tmp_path)
    written.begin("a", 7)
    for number in range(30):
        written.record("a", str(number), float(number), 1.0)
    assert len(written.of("a").scores) == 5
    again = Journal(tmp_path).of("a")
    assert again.past == 7
    assert [score for score, _ in again.scores] == [25, 26, 27, 28, 29]
    assert len((tmp_path / FILE).read_text("utf-8").splitlines()) == 6
