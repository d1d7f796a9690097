"""What bundles cost, side by side."""

from __future__ import annotations

from vsr_edge.bundle.cost import Cost
from vsr_edge.cli.cost_table import cost_table


def test_the_table_sets_each_against_the_last() -> None:
    def cost(name: str, times: float, turn_ms: float | None) -> Cost:
        return Cost(
            name, name, "cpu", 0, int(50e6 * times), 400 * times, 10 * times, 5 * times, turn_ms
        )

    columns, rows, _ = cost_table([cost("big", 3, None), cost("lite", 1, 20)])
    assert [column.title for column in columns][1:4] == ["size", "a frame", "frames/s"]
    big, lite = rows
    of_big = "150.0 MB (3.0×)", "30.0 ms (3.0×)", "33", "15.0 ms (3.0×)", "–", "1200 ms (3.0×)"
    assert big == ("big", *of_big)
    assert lite == ("lite", "50.0 MB", "10.0 ms", "100", "5.0 ms", "20.0 ms", "400 ms")
