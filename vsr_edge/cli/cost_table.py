"""What bundles cost on this machine, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vsr_edge.cli.tables import Column, Table, megabytes

if TYPE_CHECKING:
    from vsr_edge.bundle.cost import Cost


def measured_beside(bundle: str, provider: str | None = None) -> list[Cost]:
    """The cost of a bundle, and after it that of the built-in one, if it is another."""
    from vsr_edge.bundle.cost import measure_costs
    from vsr_edge.bundle.locate import BUILT_IN

    names = [bundle, *(name for name in BUILT_IN if name != bundle)]
    return measure_costs(names, provider=provider or "cpu")


def cost_table(costs: Sequence[Cost]) -> Table:
    """A row for each bundle; in brackets, how many times what the last one takes."""
    columns = (
        Column("measured here"),
        *(Column(title, "number") for title in ("size", "a frame", "frames/s")),
        *(Column(title, "number") for title in ("a query", "a turn", "first query, cold")),
    )
    yardstick = costs[-1]

    def cell(shown: str, own: float | None, other: float | None, cost: Cost) -> str:
        if own is None:
            return "–"
        return shown if cost is yardstick or not other else f"{shown} ({own / other:.1f}×)"

    def milliseconds(cost: Cost, name: str) -> str:
        own, other = getattr(cost, name), getattr(yardstick, name)
        return cell(f"{own or 0:.{0 if (own or 0) >= 100 else 1}f} ms", own, other, cost)

    rows = [
        (
            cost.bundle_name,
            cell(megabytes(cost.size_bytes), cost.size_bytes, yardstick.size_bytes, cost),
            milliseconds(cost, "frame_ms"),
            f"{cost.frames_per_second:.{0 if cost.frames_per_second >= 10 else 1}f}",
            *(milliseconds(cost, name) for name in ("query_ms", "turn_ms", "load_ms")),
        )
        for cost in costs
    ]
    return Table(columns, rows)
