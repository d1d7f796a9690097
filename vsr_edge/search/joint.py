"""How likely all parts of a chain are there together, from how likely each is by itself.

The parts are not independent: what has one of them in the right place more likely has the other.
So neither the product nor the least is the probability of all; a logistic regression on the sum of
their log-odds, the least of them, and how many frames the video has, in which as many wrong chains
may lie, is. Its constants come from the val split, with the built-in
bundle; other bundles enter by their own calibration of each part. To fit them anew::

    python -m tests.bench.chains ARCHIVE QUERIES.jsonl fit
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsr_edge.bundle.manifest import Calibration
from vsr_edge.search.spans import Window

# Weights of the sum of the parts' evidence, of the least of it, of the archive's size, of each part
# beyond the second, and of the length of the video.
SUM, LEAST, SIZE, MORE, LENGTH, BIAS = 0.2909, 0.9621, 0.3492, 1.6723, -1.2453, 7.6882
# So much lets 80 % of the right chains through, as the bundle's own threshold does single moments.
THRESHOLD = 0.7242


@dataclass(frozen=True, slots=True)
class Joint:
    """For so many frames searched, by the bundle's calibration of one part."""

    calibration: Calibration
    frames: int

    @property
    def rivals(self) -> float:
        """What the size of the archive takes off the log-odds of one part."""
        frames = max(self.frames, self.calibration.fewest_frames)
        return self.calibration.size_weight * math.log(frames / 1000)

    def evidence(self, windows: Sequence[Window]) -> NDArray[np.float64]:
        """The log-odds of each, but for the size of the archive."""
        p = np.clip([one.probability or 0.0 for one in windows], 1e-12, 1 - 1e-12)
        return np.asarray(np.log(p / (1 - p)) + self.rivals)

    def probability(self, evidence: Sequence[float], frames: int) -> float:
        """Of a chain, by the evidence of each part and the frames of its video."""
        logit = SUM * sum(evidence) + LEAST * min(evidence) - SIZE * self.rivals
        logit += MORE * (len(evidence) - 2) + LENGTH * math.log(max(frames, 1)) + BIAS
        return 1 / (1 + math.exp(-max(min(logit, 700.0), -700.0)))
