"""Assemble a bundle: copy what belongs to it, then write the manifest, last and atomically."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsr_edge.bundle.locate import BundleFiles, sha256_of, verify_bundle
from vsr_edge.bundle.manifest import (
    FORMAT,
    GRAPH_INPUTS,
    GRAPH_OUTPUTS,
    MANIFEST_FILE,
    REQUIRED_ROLES,
    SCHEMA_VERSION,
    SEAL,
    digest_of,
    read_manifest,
)
from vsr_edge.bundle.model import Bundle
from vsr_edge.bundle.verify import golden_picture

GOLDEN_TEXTS = (
    "a man puts a red box on the shelf",
    "two dogs run across a field of snow",
    "an empty corridor at night",
)
GOLDEN_SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Graph:
    """A file of a bundle; ``precision`` is None for what is no graph, ``float_nodes`` are those
    that were left in floating point.
    """

    path: Path
    precision: str | None
    float_nodes: tuple[str, ...] = ()


def write_bundle(
    folder: Path,
    files: Mapping[str, Sequence[Graph]],
    *,
    name: str,
    licence: str,
    dims: Mapping[str, int],
    preprocessing: Mapping[str, Any],
    text: Mapping[str, Any],
    parity: Mapping[str, Any],
    provenance: Mapping[str, Any],
    calibration: Mapping[str, Any] | None = None,
    encoders_id: str | None = None,
) -> Bundle:
    """Put the files of each role, alternatives behind, into ``folder``; seal with a manifest.

    ``encoders_id``: of the bundle that the encoders come from, if they come from one.

    An earlier manifest is removed first: a bundle that is only half replaced must not look
    complete. The golden vectors are computed by the runtime itself from the very files that were
    written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST_FILE).unlink(missing_ok=True)
    entries = {}
    for role, (first, *others) in files.items():
        entries[role] = _entry(folder, first, first.path.name)
        if others:
            entries[role]["alternatives"] = [
                _entry(folder, one, f"{first.path.stem}.{one.precision}{one.path.suffix}")
                for one in others
            ]
    encoders = [entry for role, entry in entries.items() if role in REQUIRED_ROLES]
    # The same graphs give other vectors to pictures and sentences that are prepared otherwise.
    prepared = json.dumps([dict(preprocessing), dict(text)], sort_keys=True)
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "id": _id(name, entries.values(), prepared),
        "encoders": encoders_id or _id(name, encoders, prepared),
        "name": name,
        "licence": licence,
        "files": entries,
        "graphs": {
            role: {"inputs": list(GRAPH_INPUTS[role]), "outputs": list(GRAPH_OUTPUTS[role])}
            for role in GRAPH_INPUTS
            if role in files
        },
        "dims": dict(dims),
        "sampling": {"fps": 1.0, "min_frames": 4, "clip_seconds": 4.0, "clip_stride": 2.0},
        "preprocessing": dict(preprocessing),
        "text": dict(text),
        "calibration": dict(calibration or {"threshold": None}),
        "parity": dict(parity),
        "golden": {"texts": [], "images": []},
        "provenance": dict(provenance),
    }
    _write_atomically(folder / MANIFEST_FILE, manifest)
    with Bundle(BundleFiles(folder, read_manifest(folder))) as bundle:
        texts = bundle.encode_text(GOLDEN_TEXTS)
        side = bundle.image_side
        images = bundle.encode_images([golden_picture(seed, side) for seed in GOLDEN_SEEDS])
    manifest["golden"] = {
        "texts": [
            {"text": text, "vector": [round(float(x), 4) for x in vector]}
            for text, vector in zip(GOLDEN_TEXTS, texts, strict=True)
        ],
        "images": [
            {"seed": seed, "vector": [round(float(x), 4) for x in vector]}
            for seed, vector in zip(GOLDEN_SEEDS, images, strict=True)
        ],
    }
    _write_atomically(folder / MANIFEST_FILE, manifest)
    return Bundle(verify_bundle(folder))


def _entry(folder: Path, source: Graph, name: str) -> dict[str, Any]:
    target = folder / name
    if source.path.resolve() != target.resolve():
        shutil.copyfile(source.path, target)
    return {
        "file": target.name,
        "sha256": sha256_of(target),
        "bytes": target.stat().st_size,
        "precision": source.precision,
    }


def _id(name: str, entries: Iterable[Mapping[str, Any]], prepared: str) -> str:
    sums = sorted(entry["sha256"] for entry in entries)
    digest = hashlib.sha256("".join([*sums, prepared]).encode())
    return f"{name}-{digest.hexdigest()[:12]}"


def _write_atomically(path: Path, manifest: Mapping[str, Any]) -> None:
    sealed = {**manifest, SEAL: digest_of(manifest)}
    text = json.dumps(sealed, indent=1, ensure_ascii=False, allow_nan=False)
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
