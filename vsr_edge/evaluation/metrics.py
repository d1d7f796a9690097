"""Every metric in one place: numpy arrays in, numbers out; each docstring cites its convention.

iou        temporal_iou, pairwise_iou
retrieval  VCMR, SVMR and VR recall from ranks; NDCG for graded moments
moments    moment mAP and R1 of QVHighlights
saliency   highlight mAP and HIT@1 of QVHighlights
decisions  verification accuracy, "not there", risk–coverage, calibration
bootstrap  intervals of any of these, and of the difference of two runs
"""

from vsr_edge.evaluation.bootstrap import (
    Interval,
    Ratio,
    bootstrap_difference,
    bootstrap_interval,
    mean_difference,
    mean_interval,
    ratio_difference,
    ratio_differences,
    ratio_interval,
    ratio_intervals,
)
from vsr_edge.evaluation.decisions import (
    PrecisionRecall,
    RiskCoverage,
    expected_calibration_error,
    precision_recall,
    risk_coverage,
    verification_accuracy,
)
from vsr_edge.evaluation.iou import pairwise_iou, temporal_iou
from vsr_edge.evaluation.moments import (
    MAP_THRESHOLDS,
    MAP_WINDOWS,
    best_overlap,
    moment_average_precision,
)
from vsr_edge.evaluation.retrieval import (
    correct_moments,
    distinct,
    graded_hits,
    moment_ranks,
    ndcg,
    rank_of_first,
    recall_at,
)
from vsr_edge.evaluation.saliency import (
    clip_average_precision,
    hit_at_one,
    saliency_average_precision,
    saliency_matrix,
)

__all__ = [
    "MAP_THRESHOLDS",
    "MAP_WINDOWS",
    "Interval",
    "PrecisionRecall",
    "Ratio",
    "RiskCoverage",
    "best_overlap",
    "bootstrap_difference",
    "bootstrap_interval",
    "clip_average_precision",
    "correct_moments",
    "distinct",
    "expected_calibration_error",
    "graded_hits",
    "hit_at_one",
    "mean_difference",
    "mean_interval",
    "moment_average_precision",
    "moment_ranks",
    "ndcg",
    "pairwise_iou",
    "precision_recall",
    "rank_of_first",
    "ratio_difference",
    "ratio_differences",
    "ratio_interval",
    "ratio_intervals",
    "recall_at",
    "risk_coverage",
    "saliency_average_precision",
    "saliency_matrix",
    "temporal_iou",
    "verification_accuracy",
]
