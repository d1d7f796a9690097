"""Every answer of an archive to a file of queries, to hold one version of this package against
another: the last digit, the order, the turns.

    python -m tests.bench.answers ARCHIVE QUERIES.jsonl > answers.jsonl
    python -m tests.bench.answers --compare before.jsonl after.jsonl

It uses nothing but the public Python API, so that it runs in both.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vsr_edge import open_archive

# How long it took differs from run to run.
TIMINGS = {"latency_ms", "timing_ms"}
# How a query may be asked: the answers to each are compared.
WAYS: tuple[dict[str, Any], ...] = ({}, {"one_shot": True}, {"rocchio": True, "max_turns": 2})


def lasting(value: Any) -> Any:
    """A value without its timings, as JSON takes it."""
    if isinstance(value, dict):
        return {k: lasting(v) for k, v in value.items() if k not in TIMINGS}
    if isinstance(value, list | tuple):
        return [lasting(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def answers(archive: Path, queries: Path) -> None:
    asked = [json.loads(line)["query"] for line in queries.read_text("utf-8").splitlines()]
    with open_archive(archive, threads=1) as opened:
        for query in asked:
            found = [lasting(asdict(opened.search(query, **way))) for way in WAYS]
            print(json.dumps({"query": query, "found": found}, default=str))


def compare(before: Path, after: Path) -> int:
    """The number of queries whose answers differ, the first few of which are printed."""
    pairs = list(
        zip(
            before.read_text("utf-8").splitlines(),
            after.read_text("utf-8").splitlines(),
            strict=True,
        )
    )
    different = [
        (one, other)
        for one, other in pairs
        if lasting(json.loads(one)) != lasting(json.loads(other))
    ]
    for one, other in different[:3]:
        print("before", one, "\nafter ", other)
    print(f"{len(different)} of {len(pairs)} queries are answered otherwise")
    return len(different)


if __name__ == "__main__":
    if sys.argv[1] == "--compare":
        sys.exit(compare(Path(sys.argv[2]), Path(sys.argv[3])) > 0)
    answers(Path(sys.argv[1]), Path(sys.argv[2]))
