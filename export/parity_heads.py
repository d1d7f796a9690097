"""The gate of the loop's heads: on what real searches of an archive put before them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.bundle import Graph
from export.parity import ParityError, cosines_of, run_graph
from vsr_edge.archive import Archive
from vsr_edge.bundle.manifest import EVIDENCE, GRAPH_OUTPUTS, GROUNDING
from vsr_edge.runtime.heads import Judgements, TextEncoding, grounding_inputs, refiner_inputs
from vsr_edge.runtime.session import open_session
from vsr_edge.search.candidates import Asked, footage
from vsr_edge.search.spans import Window

# Shares of candidates, and the cosine of soft tokens.
MIN_DECISIONS, MIN_SPANS, MIN_SOFT_COSINE = 0.99, 0.99, 0.99


@dataclass(frozen=True, slots=True, eq=False)
class HeadFeeds:
    """What a search puts before the heads for one query."""

    text: TextEncoding
    shown: list[Window]


def head_feeds(archive: Archive, query: str) -> HeadFeeds:
    """The candidates that a search of the archive would judge first."""
    asked = Asked(archive.store, archive.bundle, query)
    hits = asked.retrieve(asked.vector, asked.options.candidates)
    return HeadFeeds(asked.text, asked.candidates(hits))


def compare_grounding(source: Graph, found: Graph, feeds: Sequence[HeadFeeds]) -> dict[str, Any]:
    """Pass the gate of a grounding graph against fp32; returns what the manifest records.

    Decisions are compared at the median logit, where a threshold separates as many as it can.

    Raises:
        ParityError: past tolerance.
    """
    judged = _judged(feeds)
    expected, slow = _judgements(source, judged)
    quantised, fast = _judgements(found, judged)
    cut = float(np.median(np.concatenate([one.match for one in expected])))
    pairs = list(zip(expected, quantised, strict=True))
    decisions = np.concatenate([(a.match >= cut) == (b.match >= cut) for a, b in pairs])
    spans = np.concatenate(
        [np.abs(np.stack(a.spans()) - np.stack(b.spans())).max(0) <= 1 for a, b in pairs]
    )
    report = {
        "decisions_agree": round(float(decisions.mean()), 5),
        "spans_within_one_frame": round(float(spans.mean()), 5),
        "speedup": round(slow / fast, 3),
        "pays": slow > fast,
        "samples": len(decisions),
    }
    if not (decisions.mean() >= MIN_DECISIONS and spans.mean() >= MIN_SPANS):
        raise ParityError(
            f"the grounding head differs from fp32: {report}; at least {MIN_DECISIONS} of "
            f"decisions and {MIN_SPANS} of spans are required"
        )
    return report


def compare_refiner(
    source: Graph, found: Graph, grounding: Graph, feeds: Sequence[HeadFeeds]
) -> dict[str, Any]:
    """Pass the gate of a refiner's graph against fp32, on what the ``grounding`` graph turned down.

    Raises:
        ParityError: past tolerance.
    """
    judged, _ = _judgements(grounding, _judged(feeds), repeats=1)
    refined = [
        refiner_inputs(
            feed.text,
            footage([one.best_frame for one in feed.shown[:EVIDENCE]]),
            one.match[:EVIDENCE],
            np.array([s.unit_frames for s in feed.shown[:EVIDENCE]], np.float32),
        )
        for feed, one in zip([feed for feed in feeds if feed.shown], judged, strict=True)
    ]
    before, slow = run_graph(source, refined, "soft_tokens", repeats=3)
    after, fast = run_graph(found, refined, "soft_tokens", repeats=3)
    cosine = float(cosines_of(before, after).mean())
    if not cosine >= MIN_SOFT_COSINE:
        raise ParityError(
            f"the refiner's soft tokens have a cosine of {cosine:.4f} to fp32; at least "
            f"{MIN_SOFT_COSINE} is required"
        )
    return {
        "soft_token_cosine": round(cosine, 5),
        "speedup": round(slow / fast, 3),
        "pays": slow > fast,
        "samples": len(refined),
    }


def _judged(feeds: Sequence[HeadFeeds]) -> list[dict[str, NDArray[np.float32]]]:
    return [
        grounding_inputs(feed.text, footage([one.frames for one in feed.shown]))
        for feed in feeds
        if feed.shown
    ]


def _judgements(
    graph: Graph, feeds: Sequence[dict[str, NDArray[np.float32]]], repeats: int = 3
) -> tuple[list[Judgements], float]:
    session = open_session({graph.precision or "": graph.path})
    times, outputs = [], []
    for _ in range(repeats):
        started = time.perf_counter()
        outputs = [Judgements(*session.run(list(GRAPH_OUTPUTS[GROUNDING]), feed)) for feed in feeds]
        times.append(time.perf_counter() - started)
    return outputs, min(times)
