"""The files that benchmarks, evaluators and this project use, read and written.

Truth (``read_queries``, ``write_queries``):

    tvr           JSON Lines: desc_id, desc, vid_name, duration, ts, type
    qvhighlights  JSON Lines: qid, query, vid, duration, relevant_windows, saliency_scores, …
    verified      JSON Lines of a "-FIG" set: desc_id, fig_desc, cog_desc, video, duration, time
    jsonl         JSON Lines, this project's own: qid, query, video or null, spans
    activitynet   one JSON object: video → duration, timestamps, sentences
    didemo        one JSON list: annotation_id, description, video, times in pieces of 5 s
    charades-sta  text: "VIDEO start end##sentence"

Predictions (``read_predictions``, ``write_predictions``): tvr, qvhighlights and jsonl.

A malformed row raises ``FormatError`` with the file and the line.
"""

from vsr_edge.evaluation.benchmarks.answers import (
    PREDICTION_FORMATS,
    check_known,
    read_predictions,
    write_predictions,
)
from vsr_edge.evaluation.benchmarks.queries import read_queries, write_queries
from vsr_edge.evaluation.benchmarks.reading import FormatError

__all__ = [
    "PREDICTION_FORMATS",
    "FormatError",
    "check_known",
    "read_predictions",
    "read_queries",
    "write_predictions",
    "write_queries",
]
