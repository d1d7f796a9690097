"""Repair the clock of a stream from its decoding timestamps, which in a sound file only run
forward.

Pure: arrays of timestamps in, in file order and in units of the stream's time base.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Stands for "the file does not say"; no usable timestamp is so small.
UNKNOWN = -(2**62)


def strays(dts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which packets break the order of a file with one timeline: their timestamps are damaged.

    Either a few were thrown far ahead or a few far back; the smaller set is the damaged one.
    """
    stray = np.zeros(len(dts), np.bool_)
    known = np.flatnonzero(dts != UNKNOWN)
    if len(known) > 1:
        stamps = dts[known]
        ahead = stamps > np.minimum.accumulate(stamps[::-1])[::-1]
        behind = stamps < np.maximum.accumulate(stamps)
        stray[known] = ahead if ahead.sum() <= behind.sum() else behind
    return stray


def _spikes(dts: NDArray[np.int64], second: int) -> NDArray[np.bool_]:
    """Which packets alone are more than a second off both neighbours: damage, no restart."""
    spike = np.zeros(len(dts), np.bool_)
    known = np.flatnonzero(dts != UNKNOWN)
    if len(known) > 2:
        stamps = dts[known]
        before, at, after = stamps[:-2], stamps[1:-1], stamps[2:]
        low, high = np.minimum(before, at), np.maximum(before, at)
        median = np.maximum(low, np.minimum(high, after))
        spike[known[1:-1]] = np.abs(at - median) > second
    return spike


def restarts(dts: NDArray[np.int64], second: int) -> NDArray[np.int64]:
    """Where the clock jumps back by more than a second, as in recordings that were joined.

    One packet with a damaged timestamp is no restart. Returns int64 [k, 2]: from which packet on
    how much is to be added, so that time goes on without a gap.
    """
    known = np.flatnonzero((dts != UNKNOWN) & ~_spikes(dts, second))
    steps = np.diff(dts[known])
    forward = steps[steps > 0]
    usual = int(np.median(forward)) if len(forward) else 0
    back = np.flatnonzero(steps < -second)
    shifts = np.cumsum(usual - steps[back])
    return np.stack((known[back + 1], shifts), axis=1).astype(np.int64)
