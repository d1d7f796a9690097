"""Alerts that fired, as they are read again."""

from __future__ import annotations

import json
from pathlib import Path

from vsr_edge.watch.fired import FIRED, keep_fired, last_fired


def test_a_line_torn_amid_a_letter_costs_only_itself(tmp_path: Path) -> None:
    (tmp_path / FIRED).write_bytes(b'{"id": "first"}\n{"id": "caf\xc3')
    keep_fired(tmp_path, ['{"id": "second"}'])
    keep_fired(tmp_path, ['{"id": "third"}'])
    assert [one["id"] for one in last_fired(tmp_path)] == ["third", "second", "first"]


def test_what_else_ends_lines_ends_none(tmp_path: Path) -> None:
    alert = {"id": "a", "query": "one\u2028two\u0085three"}
    keep_fired(tmp_path, [json.dumps(alert, ensure_ascii=False)])
    assert last_fired(tmp_path) == [alert]
