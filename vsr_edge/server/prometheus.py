"""What Prometheus is told: requests by route, how full the pools are, jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from vsr_edge.server.jobs import Jobs
    from vsr_edge.server.pool import Pool

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """A registry of its own: several servers may run in one process, as in tests."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        kinds = ["method", "route", "status"]
        self.requests = Counter(
            "vsr_edge_requests", "Requests that were answered.", kinds, registry=self._registry
        )
        self.seconds = Histogram(
            "vsr_edge_request_seconds",
            "From a request to the end of its response.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.verdicts = Counter(
            "vsr_edge_searches", "Searches by their verdict.", ["verdict"], registry=self._registry
        )

    def watch(self, pools: Mapping[str, Pool], jobs: Jobs) -> None:
        """Tell how many are in each pool, and how many jobs there are, when somebody asks."""
        inside = Gauge(
            "vsr_edge_pool_inside", "Calls that run or wait.", ["pool"], registry=self._registry
        )
        for name, pool in pools.items():
            inside.labels(name.replace("-", "_")).set_function(lambda pool=pool: pool.inside)  # type: ignore[misc]
        unfinished = Gauge(
            "vsr_edge_jobs_unfinished", "Jobs that run or wait.", registry=self._registry
        )
        unfinished.set_function(lambda: jobs.unfinished)

    def text(self) -> bytes:
        """In Prometheus' own format."""
        return generate_latest(self._registry)
