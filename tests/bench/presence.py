"""Is it there? How well an archive's answers tell found from absent, for archives of all sizes.

    python -m tests.bench.presence ARCHIVE QUERIES.jsonl [OPTION=VALUE …]

Questions are asked of parts of the archive, from three videos to all of them: half of them about
what no video of the part shows. For each size: AUC between right answers and absent queries, what
share of the absent is denied where 80 % of the right answers are accepted and at the threshold of
the bundle, and the expected calibration error. Options are those of a search, as one_shot=true.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from export.calibrate import in_parts
from vsr_edge import open_archive
from vsr_edge.evaluation.benchmarks.queries import read_queries
from vsr_edge.evaluation.metrics import expected_calibration_error
from vsr_edge.evaluation.records import is_video


def main(archive: Path, queries: Path, changes: dict[str, Any]) -> None:
    answers = defaultdict(list)
    with open_archive(archive) as opened:
        for one in in_parts(opened.videos(), read_queries(queries, "jsonl")):
            found = opened.search(one.query.query, top_k=1, video=one.videos, **changes)
            if not found.moments:
                continue
            best = found.moments[0]
            said = best.score if best.match_probability is None else best.match_probability
            right = one.present and is_video(one.query.video or "", str(best.video))
            answers[one.size].append((said, right, one.present, found.verdict.decision == "match"))
    for size, rows in answers.items():
        print(json.dumps({"videos": size, **figures(np.array(rows, float))}))
    every = [row for rows in answers.values() for row in rows]
    print(json.dumps({"videos": "all", **figures(np.array(every, float))}))


def figures(rows: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    said, right, present, match = rows.T
    right, absent, match = right.astype(bool), ~present.astype(bool), match.astype(bool)
    cut = np.quantile(said[right], 0.2)
    ahead = said[right][:, None] - said[absent][None]
    numbers = {
        "queries": float(len(said)),
        "right first, of the present": 100 * right[~absent].mean(),
        "AUC": 100 * float(((ahead > 0) + (ahead == 0) / 2).mean()),
        "absent denied at 80 % accepted": 100 * (said[absent] < cut).mean(),
        "right accepted": 100 * match[right].mean(),
        "absent denied": 100 * (~match)[absent].mean(),
        "calibration error": 100 * float(expected_calibration_error(said, right)),
    }
    return {name: round(float(number), 1) for name, number in numbers.items()}


if __name__ == "__main__":
    named = dict(option.split("=", 1) for option in sys.argv[3:])
    main(Path(sys.argv[1]), Path(sys.argv[2]), {n: json.loads(v) for n, v in named.items()})
