"""Standing queries on replayed footage: false alarms asked for against got, and how many planted
moments fire.

    python -m tests.bench.alerts ARCHIVE QUERIES.jsonl [QUERIES]

Of an indexed benchmark (`python -m models.data build-benchmark`) half of the videos, by chance, is
the past of an alert, and the other half is replayed as new; the video that a query is about is the
planted moment, and is new. Whatever else fires is counted as false, though it may fit as well.
[95 % intervals, bootstrap over queries.]
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vsr_edge import open_archive
from vsr_edge.evaluation.benchmarks.queries import read_queries
from vsr_edge.evaluation.records import is_video
from vsr_edge.watch.alerts import Alert, ask
from vsr_edge.watch.thresholds import threshold

RATES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # an hour of footage
SPLITS = 4
SAMPLES = 2000


def main(archive: Path, queries: Path, count: int) -> None:
    chosen = [one for one in read_queries(queries, "jsonl") if one.video is not None]
    random.Random(0).shuffle(chosen)
    chosen = chosen[:count]
    with open_archive(archive) as opened:
        videos = opened.videos()
        store, bundle = opened.encoded_store(), opened.bundle
        hours = np.array([stored.video.duration / 3600 for stored in videos])
        scores = np.full((len(chosen), len(videos)), -np.inf)
        for row, query in enumerate(chosen):
            alert, text = Alert("bench", query.query, 1.0), bundle.encode_queries([query.query])
            for column, stored in enumerate(videos):
                answer = ask(store, bundle, alert, text, stored)
                scores[row, column] = -np.inf if answer is None else answer.score
        planted = np.array(
            [[is_video(one.video or "", str(v.video.path)) for v in videos] for one in chosen]
        )
    print(json.dumps({"queries": len(chosen), "videos": len(videos), "hours": hours.sum()}))
    for share in (0.5, 0.2):
        for rate in RATES:
            print(json.dumps(replayed(scores, planted, hours, share, rate)))


def replayed(
    scores: NDArray[np.float64],
    planted: NDArray[np.bool_],
    hours: NDArray[np.float64],
    share: float,
    rate: float,
) -> dict[str, float | list[float]]:
    """``scores`` and ``planted`` [queries, videos], over several ways to halve the videos."""
    chance, count = np.random.default_rng(0), len(hours)
    alarms, fired, asked = (np.zeros(len(scores)) for _ in range(3))
    extrapolated = past_hours = 0.0
    for _ in range(SPLITS):
        order = chance.permutation(count)
        past = np.zeros(count, np.bool_)
        past[order[: round(share * count)]] = True
        new = np.zeros(count, np.bool_)
        new[order[count // 2 :]] = True
        for row, (of, there) in enumerate(zip(scores, planted, strict=True)):
            known, others = past & ~there, new & ~there
            limit = threshold(of[known].tolist(), float(hours[known].sum()), rate)
            assert limit.value is not None
            alarms[row] += (of[others] > limit.value).sum()
            asked[row] += hours[others].sum()
            fired[row] += (of[there] > limit.value).mean()
            extrapolated += limit.extrapolated
            past_hours += limit.hours
    runs = SPLITS * len(scores)
    picks = chance.integers(0, len(scores), (SAMPLES, len(scores)))
    rates = alarms[picks].sum(axis=1) / asked[picks].sum(axis=1)
    shares = 100 * fired[picks].mean(axis=1) / SPLITS
    return {
        "past hours": round(past_hours / runs, 2),
        "asked an hour": rate,
        "got": round(float(alarms.sum() / asked.sum()), 2),
        "got, interval": np.quantile(rates, [0.025, 0.975]).round(2).tolist(),
        "fired %": round(float(100 * fired.mean() / SPLITS), 1),
        "fired, interval": np.quantile(shares, [0.025, 0.975]).round(1).tolist(),
        "extrapolated %": round(100 * extrapolated / runs, 1),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 60)
