"""A few rows of every format, made by hand in the shape of the originals."""

from __future__ import annotations

import json
from pathlib import Path

TVR = """\
{"vid_name": "house_s01e01_seg02_clip_00", "duration": 60.2, "ts": [10, 20.5], "desc": "House sits down.", "type": "v", "desc_id": 1}
{"vid_name": "house_s01e01_seg02_clip_01", "duration": 55.0, "ts": [0, 5], "desc": "Wilson says no.", "type": "t", "desc_id": 2}
{"vid_name": "house_s01e01_seg02_clip_02", "duration": 70.0, "ts": [30, 40], "desc": "Cuddy points and shouts.", "type": "vt", "desc_id": 3}
{"vid_name": "house_s01e01_seg02_clip_00", "duration": 60.2, "ts": [40, 60], "desc": "House leaves.", "type": "v", "desc_id": 4}
"""  # noqa: E501

FOUR_ANNOTATORS = """\
{"vid_name": "a", "duration": 30, "ts": [[0, 5], [0, 5], [5, 10], [20, 25]], "desc": "a dog runs", "desc_id": 7}
{"vid_name": "b", "duration": 30, "ts": [[0, 5], [5, 10], [10, 15], [15, 20]], "desc": "it rains", "desc_id": 8}
"""  # noqa: E501

QVHIGHLIGHTS = """\
{"qid": 11, "query": "a cook cuts an onion", "duration": 20, "vid": "x_0.0_20.0", "relevant_clip_ids": [0, 1, 5], "saliency_scores": [[4, 4, 3], [2, 3, 1], [1, 4, 4]], "relevant_windows": [[0, 4], [10, 12]]}
{"qid": 12, "query": "a boat leaves", "duration": 40, "vid": "y_0.0_40.0", "relevant_clip_ids": [2, 3, 4], "saliency_scores": [[1, 1, 1], [3, 3, 3], [4, 4, 4]], "relevant_windows": [[4, 36]]}
"""  # noqa: E501

VERIFIED = """\
{"video": "TAQ25", "time": [11.6, 17.7], "desc_id": 65, "duration": 28.0, "cog_desc": "a person closes a laptop.", "fig_desc": "A person closes a silver laptop by a closet.", "fig_desc_score": 0.39}
{"video": "G30NS", "time": [35, 40], "desc_id": 365, "duration": 37.5, "cog_desc": "a person fills a box.", "fig_desc": "A person puts a red cup into a box.", "fig_desc_score": 0.55}
"""  # noqa: E501

OWN = """\
{"qid": "a", "query": "a red car on the road", "video": "samples/cars.mp4", "spans": [[14.5, 18.5], [20, 22]]}
{"qid": "b", "query": "ein Hund läuft", "video": "dogs.mp4", "spans": [[0, 99]], "duration": 10}
{"qid": "c", "query": "a man juggling torches", "video": null, "spans": []}
{"qid": "d", "query": "a skier", "video": null, "spans": [], "note": "kept"}
"""  # noqa: E501

ACTIVITYNET = """\
{
 "v_one": {"duration": 82.73, "timestamps": [[0.83, 19.86], [60.81, 17.37]],
           "sentences": ["A woman is seen.", "She looks up."]},
 "v_two": {"duration": 10, "timestamps": [[0, 12]], "sentences": ["It ends."]}
}
"""

DIDEMO = """\
[
 {"annotation_id": 5, "description": "the cat jumps", "video": "9_cat.mov",
  "times": [[0, 0], [1, 2], [1, 1], [1, 1]], "num_segments": 6},
 {"annotation_id": 6, "description": "it sleeps", "video": "9_cat.mov",
  "times": [[5, 5], [5, 5], [4, 5], [5, 5]], "num_segments": 6}
]
"""

CHARADES = """\
3MSZA 24.3 30.4##person turn a light on.
AO8RW 0.0 6.9##a person is putting a book on a shelf.

"""

QUERIES = {
    "tvr": TVR,
    "qvhighlights": QVHIGHLIGHTS,
    "verified": VERIFIED,
    "jsonl": OWN,
    "activitynet": ACTIVITYNET,
    "didemo": DIDEMO,
    "charades-sta": CHARADES,
}

SUBMISSION = {
    "video2idx": {
        "house_s01e01_seg02_clip_00": 10,
        "house_s01e01_seg02_clip_01": 20,
        "house_s01e01_seg02_clip_02": 30,
    },
    "VCMR": [
        # Right at once; second in the list; right video, IoU 0.5; nothing.
        {"desc_id": 1, "desc": "", "predictions": [[10, 10, 20, 0.9], [20, 0, 5, 0.8]]},
        {"desc_id": 2, "desc": "", "predictions": [[10, 0, 5, 0.1], [20, 0, 5, 0.9]]},
        {"desc_id": 3, "desc": "", "predictions": [[30, 30, 35, 0.9]]},
        {"desc_id": 4, "desc": "", "predictions": [[20, 40, 60, 0.9]]},
    ],
    "SVMR": [
        {"desc_id": 1, "desc": "", "predictions": [[10, 40, 50, 0.9], [10, 10, 20, 0.8]]},
        # Of another video: passed over, so that the next is the first.
        {"desc_id": 2, "desc": "", "predictions": [[10, 0, 5, 0.1], [20, 0, 5, 0.9]]},
        {"desc_id": 3, "desc": "", "predictions": [[30, 30, 35, 0.9]]},
        {"desc_id": 4, "desc": "", "predictions": []},
    ],
    "VR": [
        {"desc_id": 1, "desc": "", "predictions": [[10, 0, 0, 0.9]]},
        {"desc_id": 2, "desc": "", "predictions": [[10, 0, 0, 0.9], [20, 0, 0, 0.8]]},
        {"desc_id": 3, "desc": "", "predictions": [[99, 0, 0, 0.9]]},
        {"desc_id": 4, "desc": "", "predictions": [[10, 0, 0, 0.9]]},
    ],
}

QVHIGHLIGHTS_PREDICTIONS = """\
{"qid": 11, "query": "a cook cuts an onion", "vid": "x_0.0_20.0", "pred_relevant_windows": [[0, 4, 0.9], [14, 18, 0.8], [10, 12, 0.7]], "pred_saliency_scores": [0.9, 0.1, 0.0, 0.0, 0.0, 0.8, 0.2, 0.0, 0.0, 0.0]}
{"qid": 12, "query": "a boat leaves", "vid": "y_0.0_40.0", "pred_relevant_windows": [[4, 20, 0.9]], "pred_saliency_scores": [0.0, 0.0, 0.9, 0.5, 0.4]}
"""  # noqa: E501

OWN_PREDICTIONS = """\
{"qid": "a", "query": "a red car on the road", "predictions": [["/data/samples/cars.mp4", 20, 22, 0.9], ["/data/dogs.mp4", 0, 10, 0.5]], "decision": "match", "confidence": 0.9, "judged": [{"video": "/data/samples/cars.mp4", "matched": true, "probability": 0.9}]}
{"qid": "b", "query": "ein Hund läuft", "predictions": [["/data/samples/cars.mp4", 0, 9, 0.6], ["/data/samples/cars.mp4", 10, 12, 0.5], ["/data/dogs.mp4", 0, 6, 0.4]], "decision": "no_match", "confidence": 0.6, "judged": [{"video": "/data/samples/cars.mp4", "matched": false, "probability": 0.4}, {"video": "/data/dogs.mp4", "matched": false, "probability": 0.4}]}
{"qid": "c", "query": "a man juggling torches", "predictions": [["/data/dogs.mp4", 0, 6, 0.4]], "decision": "no_match", "confidence": 0.8, "judged": [{"video": "/data/dogs.mp4", "matched": false, "probability": 0.2}]}
{"qid": "d", "query": "a skier", "predictions": [], "decision": "no_match", "confidence": 0.7, "turns": 3}
"""  # noqa: E501

PREDICTIONS = {
    "tvr": json.dumps(SUBMISSION),
    "qvhighlights": QVHIGHLIGHTS_PREDICTIONS,
    "jsonl": OWN_PREDICTIONS,
}


def put(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path
