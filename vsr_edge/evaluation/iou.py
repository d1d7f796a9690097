"""Overlap of spans in time."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.floating[Any]]
Flags: TypeAlias = NDArray[np.bool_]


def temporal_iou(first: ArrayLike, second: ArrayLike, *, hull: bool = False) -> Floats:
    """Intersection over union of spans that pair up by broadcasting: float [..., 2] → [...].

    Spans are (start, end) in seconds, start ≤ end. The union is the time that either covers, as in
    moment_detr's mAP (``compute_temporal_iou_batch_cross``); with ``hull`` it is the time from the
    earlier start to the later end, as in TVR's and DiDeMo's evaluators and moment_detr's R1. Spans
    that overlap have the same union either way and spans that do not have an IoU of 0, so the two
    differ by rounding alone: by which the evaluators decide at a threshold. Two float32 inputs are
    computed in float32, as TVR's evaluator does. Where the union is empty the IoU is 0.
    """
    a, b = np.asarray(first), np.asarray(second)
    kind = np.result_type(a, b, np.float32)
    a, b = a.astype(kind, copy=False), b.astype(kind, copy=False)
    last_start, first_end = np.maximum(a[..., 0], b[..., 0]), np.minimum(a[..., 1], b[..., 1])
    intersection = np.maximum(first_end - last_start, 0)
    if hull:
        union = np.maximum(a[..., 1], b[..., 1]) - np.minimum(a[..., 0], b[..., 0])
    else:
        union = (a[..., 1] - a[..., 0]) + (b[..., 1] - b[..., 0]) - intersection
    empty = np.zeros(np.shape(intersection), kind)
    overlap: Floats = np.divide(intersection, union, out=empty, where=union > 0)
    return overlap


def pairwise_iou(first: ArrayLike, second: ArrayLike, *, hull: bool = False) -> Floats:
    """IoU of every span of ``first`` [n, 2] with every span of ``second`` [m, 2] → [n, m]."""
    a, b = spans_array(first), spans_array(second)
    return temporal_iou(a[:, None], b[None, :], hull=hull)


def spans_array(spans: ArrayLike) -> Floats:
    """Spans as float [n, 2]; float32 stays float32, and no spans are [0, 2]."""
    array = np.asarray(spans)
    return array.astype(np.result_type(array, np.float32), copy=False).reshape(-1, 2)
