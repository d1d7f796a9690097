"""Stage and publish: a bundle's files, manifest and golden vectors come to be beside its place, are
verified, and take it together.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vsr_edge.bundle.golden import golden_picture
from vsr_edge.bundle.locate import sha256_of, verify_bundle
from vsr_edge.bundle.manifest import (
    FORMAT,
    GRAPH_INPUTS,
    GRAPH_OUTPUTS,
    REQUIRED_ROLES,
    SCHEMA_VERSION,
    read_manifest,
)
from vsr_edge.bundle.model import Bundle
from vsr_edge.bundle.stage import check_target, publish, staging, write_manifest
from vsr_edge.making.gate import Graph

GOLDEN_TEXTS = (
    "a man puts a red box on the shelf",
    "two dogs run across a field of snow",
    "an empty corridor at night",
)
GOLDEN_SEEDS = (1, 2, 3)


def write_bundle(
    out: Path,
    files: Mapping[str, Sequence[Graph]],
    fields: Mapping[str, Any],
    *,
    encoders_id: str | None = None,
) -> Bundle:
    """Publish the files of each role, alternatives behind, as the bundle ``out``.

    The golden vectors are computed by the runtime itself from the very files that were written; a
    bundle that was there before stays as it is until then.

    Args:
        fields: of the manifest: name, licence, dims, preprocessing, text, parity, provenance, and
            the calibration if there is one.
        encoders_id: of the bundle that the encoders come from, if they come from one.

    Raises:
        UsageError: something else lies there (:func:`vsr_edge.bundle.stage.check_target`).
    """
    check_target(out)
    name = fields["name"]
    # The same graphs give other vectors to pictures and sentences that are prepared otherwise.
    prepared = json.dumps([fields["preprocessing"], fields["text"]], sort_keys=True)
    with staging(out.absolute().parent) as folder:
        entries = {role: _copy(folder, graphs) for role, graphs in files.items()}
        encoders = [entry for role, entry in entries.items() if role in REQUIRED_ROLES]
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            "id": _id(name, entries.values(), prepared),
            "encoders": encoders_id or _id(name, encoders, prepared),
            "name": name,
            "files": entries,
            "graphs": {
                role: {"inputs": list(GRAPH_INPUTS[role]), "outputs": list(GRAPH_OUTPUTS[role])}
                for role in GRAPH_INPUTS
                if role in files
            },
            "sampling": {"fps": 1.0, "min_frames": 4, "clip_seconds": 4.0, "clip_stride": 2.0},
            "calibration": {"threshold": None},
            "golden": {"texts": [], "images": []},
            **fields,
        }
        # Without golden vectors at first: it takes a manifest to compute them.
        write_manifest(folder, manifest)
        write_manifest(folder, manifest | {"golden": _golden(folder)})
        staged = verify_bundle(folder)
        publish(folder, out, replace=True)
    return Bundle(staged.model_copy(update={"folder": out}))


def _copy(folder: Path, graphs: Sequence[Graph]) -> dict[str, Any]:
    """Copy a role's files; what the manifest says of them."""
    first, *others = graphs
    entry = _entry(folder, first, first.path.name)
    if others:
        entry["alternatives"] = [
            _entry(folder, one, f"{first.path.stem}.{one.precision}{one.path.suffix}")
            for one in others
        ]
    return entry


def _entry(folder: Path, source: Graph, name: str) -> dict[str, Any]:
    target = folder / name
    shutil.copyfile(source.path, target)
    return {
        "file": name,
        "sha256": sha256_of(target),
        "bytes": target.stat().st_size,
        "precision": source.precision,
    }


def _id(name: str, entries: Iterable[Mapping[str, Any]], prepared: str) -> str:
    sums = sorted(entry["sha256"] for entry in entries)
    digest = hashlib.sha256("".join([*sums, prepared]).encode())
    return f"{name}-{digest.hexdigest()[:12]}"


def _golden(folder: Path) -> dict[str, Any]:
    """What the runtime computes from a bundle's files, for other machines to compare with."""
    with Bundle(read_manifest(folder)) as bundle:
        texts = bundle.encode_text(GOLDEN_TEXTS)
        side = bundle.image_side
        images = bundle.encode_images([golden_picture(seed, side) for seed in GOLDEN_SEEDS])
    return {
        "texts": [
            {"text": text, "vector": [round(float(x), 4) for x in vector]}
            for text, vector in zip(GOLDEN_TEXTS, texts, strict=True)
        ],
        "images": [
            {"seed": seed, "vector": [round(float(x), 4) for x in vector]}
            for seed, vector in zip(GOLDEN_SEEDS, images, strict=True)
        ],
    }
