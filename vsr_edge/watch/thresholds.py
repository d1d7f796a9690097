"""From which score on an alert fires: by what it may cost, and what past footage scored.

A score means something only beside others for the same sentence, so there is no fixed cut-off. Of
``n`` past videos, ``hours`` long together, ``rate · hours`` may score above the threshold of a
budget of ``rate`` alarms an hour. Where that is several, it is the score that so many exceeded.
Where the past is too short for it, its highest scores say how fast they get rarer: above a high one
they fall off exponentially (peaks over threshold).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# With fewer videos of past an alert learns and does not fire.
LEAST_PAST = 20
# So many exceedances at least are counted; fewer are extrapolated.
COUNTED = 10
# The tail is the highest tenth; chosen with the measurement in docs/measurements.md, on val.
TAIL_SHARE, LEAST_TAIL = 0.1, 10
_LEAST_EXCESS = 1e-6


@dataclass(frozen=True, slots=True)
class Threshold:
    """A score above ``value`` fires; None: too little is known. ``videos`` and ``hours`` of past.

    ``extrapolated``: the past was too short to have seen such scores often enough to count them.
    """

    value: float | None
    extrapolated: bool
    videos: int
    hours: float


def threshold(scores: Sequence[float], hours: float, rate: float) -> Threshold:
    """The threshold for ``rate`` alarms an hour, by the best score of each past video."""
    n = len(scores)
    if n < LEAST_PAST or hours <= 0:
        return Threshold(None, False, n, hours)
    falling = -np.sort(-np.asarray(scores, np.float64))
    allowed = min(rate * hours, n)
    if allowed >= COUNTED:
        # The next video, if it is like the past ones, exceeds it no more often than asked.
        place = min(int(allowed * (n + 1) / n), n)
        return Threshold(float(falling[place - 1]), False, n, hours)
    tail = max(round(TAIL_SHARE * n), LEAST_TAIL)
    excess = max(float((falling[:tail] - falling[tail]).mean()), _LEAST_EXCESS)
    value = float(falling[tail]) + excess * float(np.log(tail / allowed))
    return Threshold(value, True, n, hours)
