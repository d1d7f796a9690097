"""Gate: the loop's heads in int8 against fp32, on what real searches put before them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsr_edge.archive import Archive
from vsr_edge.bundle.manifest import EVIDENCE, GRAPH_OUTPUTS, GROUNDING
from vsr_edge.config import Settings
from vsr_edge.errors import ParityError
from vsr_edge.evaluation.records import Query
from vsr_edge.making.gate import Graph, cosines_of, run_graph
from vsr_edge.runtime.heads import (
    Footage,
    Judgements,
    TextEncoding,
    grounding_inputs,
    refiner_inputs,
)
from vsr_edge.runtime.session import open_session
from vsr_edge.search.candidates import Asked, footage

# Shares of candidates, and the cosine of soft tokens.
MIN_DECISIONS, MIN_SPANS, MIN_SOFT_COSINE = 0.99, 0.99, 0.99
PARITY_QUERIES = 100


@dataclass(frozen=True, eq=False)
class Asking:
    """An archive that the bundle's encoders made, and what to ask there, with the truth; neither
    trained on nor tested on.
    """

    settings: Settings
    queries: Sequence[Query]

    def feeds(self, bundle: str) -> list[HeadFeeds]:
        """What searches put before the heads, with the encoders of a bundle."""
        chosen = self.queries[:: max(len(self.queries) // PARITY_QUERIES, 1)]
        with Archive(replace(self.settings, bundle=bundle)) as archive:
            found = [head_feeds(archive, query.query) for query in chosen]
        return [one for one in found if one is not None]


@dataclass(frozen=True, slots=True, eq=False)
class HeadFeeds:
    """Of one query the candidates that a search judges first, and of the first ``EVIDENCE`` of them
    the best frames, and how many frames the vector stands for that each was found by.
    """

    text: TextEncoding
    candidates: Footage
    evidence: Footage
    unit_frames: NDArray[np.float32]


def head_feeds(archive: Archive, query: str) -> HeadFeeds | None:
    """What a search of the archive puts before the heads first; None where nothing is found."""
    asked = Asked(archive.store, archive.bundle, query)
    assert asked.text is not None
    found = asked.candidates(asked.retrieve(asked.vector, asked.options.candidates))
    if not found:
        return None
    rejected = found[:EVIDENCE]
    units = np.array([one.unit_frames for one in rejected], np.float32)
    return HeadFeeds(
        asked.text,
        footage([one.frames for one in found]),
        footage([one.best_frame for one in rejected]),
        units,
    )


def compare_grounding(source: Graph, found: Graph, feeds: Sequence[HeadFeeds]) -> dict[str, Any]:
    """Pass the gate of a grounding graph against fp32; returns what the manifest records.

    Decisions are compared at the median logit, where a threshold separates as many as it can.

    Raises:
        ParityError: past tolerance.
    """
    expected, slow = _judgements(source, feeds)
    quantised, fast = _judgements(found, feeds)
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
    judged, _ = _judgements(grounding, feeds, repeats=1)
    refined = [
        refiner_inputs(feed.text, feed.evidence, one.match[:EVIDENCE], feed.unit_frames)
        for feed, one in zip(feeds, judged, strict=True)
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


def _judgements(
    graph: Graph, feeds: Sequence[HeadFeeds], repeats: int = 3
) -> tuple[list[Judgements], float]:
    """What a grounding graph says of each query's candidates, and the shortest time in seconds."""
    inputs = [grounding_inputs(feed.text, feed.candidates) for feed in feeds]
    session = open_session({graph.precision or "": graph.path})
    times, outputs = [], []
    for _ in range(repeats):
        started = time.perf_counter()
        outputs = [
            Judgements(*session.run(list(GRAPH_OUTPUTS[GROUNDING]), feed)) for feed in inputs
        ]
        times.append(time.perf_counter() - started)
    return outputs, min(times)
