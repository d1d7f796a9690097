"""Small helpers of the benchmarks: the shortest of several runs, peak memory, a line of figures."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable


def shortest(action: Callable[[], object], repeats: int = 3) -> float:
    """Seconds of the fastest of several runs: the one that was disturbed least."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return min(times)


def percentiles(action: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median and 95th percentile of the duration, in milliseconds."""
    times = sorted(shortest(action, 1) for _ in range(repeats))
    return times[len(times) // 2] * 1e3, times[int(len(times) * 0.95)] * 1e3


def peak_memory(arguments: list[str]) -> float:
    """Run ``python ARGUMENTS`` to its end and return its peak resident memory in MB."""
    code = (
        "import resource, subprocess, sys;"
        "done = subprocess.run([sys.executable, *sys.argv[1:]], stdout=subprocess.DEVNULL);"
        "assert done.returncode in (0, 3);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return int(done.stdout) / 1024


def show(name: str, **figures: float) -> None:
    """One line: what was measured, and its figures."""
    print(f"\n{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in figures.items()))
