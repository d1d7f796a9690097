"""Checksums of rows: the same of the same rows, and of no others."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.backup.moved import a_rich_archive, all_rows
from vsr_edge.store.transfer import KINDS, Checksums, Row

VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
)
ROWS = st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=6)


@given(ROWS, ROWS, st.randoms())
def test_checksums_are_those_of_rows_whatever_their_order(
    one: list[Row], other: list[Row], chance: Any
) -> None:
    def counted(rows: list[Row]) -> Counter[Any]:
        return Counter(tuple((type(v), v) for v in row) for row in rows)

    sums = []
    for rows in (one, other, chance.sample(one, len(one))):
        sums.append(Checksums())
        sums[-1].add("clips", rows)
    assert sums[0] == sums[2]
    assert (sums[0] == sums[1]) == (counted(one) == counted(other))
    half = Checksums()
    half.add("clips", one[: len(one) // 2])
    rest = Checksums()
    rest.add("clips", one[len(one) // 2 :])
    half.merge(rest)
    assert half == sums[0]


def unlike(value: Any) -> Any:
    """Another value, as near as can be."""
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:] if value else b"\0"
    if isinstance(value, str):
        return value + " "
    if isinstance(value, float):
        return math.nextafter(value, math.inf)
    return 0 if value is None else value + 1


def test_a_change_of_any_one_value_changes_the_checksum(tmp_path: Path) -> None:
    every = all_rows(a_rich_archive(tmp_path / "archive"))
    for kind, of_kind in ((kind, every[kind]) for kind in KINDS):
        before = Checksums()
        before.add(kind, of_kind)
        for number, row in enumerate(of_kind[:: max(1, len(of_kind) // 5)]):
            for place, value in enumerate(row):
                other = unlike(value)
                changed = [*of_kind]
                changed[changed.index(row)] = (*row[:place], other, *row[place + 1 :])
                after = Checksums()
                after.add(kind, changed)
                assert after != before, (kind, number, place)
