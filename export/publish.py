"""Stage and publish: a bundle's files, manifest and golden vectors come to be beside its place, are
verified, and take it together. A head is a part first, until a bundle is made of it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.contract import FILE_OF, HEADS, ExportError, Graph
from vsr_edge.archive import Archive
from vsr_edge.bundle.golden import golden_picture
from vsr_edge.bundle.locate import sha256_of, verify_bundle
from vsr_edge.bundle.manifest import (
    FORMAT,
    GRAPH_INPUTS,
    GRAPH_OUTPUTS,
    GROUNDING,
    REQUIRED_ROLES,
    SCHEMA_VERSION,
    Manifest,
    read_manifest,
)
from vsr_edge.bundle.model import Bundle
from vsr_edge.bundle.stage import publish, staging, write_manifest

GOLDEN_TEXTS = (
    "a man puts a red box on the shelf",
    "two dogs run across a field of snow",
    "an empty corridor at night",
)
GOLDEN_SEEDS = (1, 2, 3)
BACKGROUND_SIZE = 512


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
    """
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


@dataclass(frozen=True)
class Part:
    """A head's graph, and what its gate measured."""

    graph: Graph
    parity: dict[str, Any]


def write_part(folder: Path, role: str, graph: Graph, parity: dict[str, Any]) -> Part:
    """Put a head's graph into a folder, with its figures beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(graph.path, folder / FILE_OF[role])
    document = {"precision": graph.precision, "parity": parity}
    (folder / f"{role}.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    return Part(Graph(folder / FILE_OF[role], graph.precision), parity)


def read_parts(folder: Path) -> dict[str, Part]:
    """The heads that :func:`write_part` put into a folder.

    Raises:
        ExportError: there is none, or a file is not what it wrote.
    """
    parts = {}
    for role in HEADS:
        name = FILE_OF[role]
        if not (folder / name).is_file():
            continue
        try:
            document = json.loads((folder / f"{role}.json").read_text("utf-8"))
            graph = Graph(folder / name, str(document["precision"]))
            parts[role] = Part(graph, dict(document["parity"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ExportError(
                f"{folder / role}.json does not describe {name}: export it again ({error!r})"
            ) from error
    if GROUNDING not in parts:
        raise ExportError(
            f"{folder} holds no {FILE_OF[GROUNDING]}: `vsr-edge export grounding` writes it"
        )
    return parts


def write_background(archive: Archive, target: Path) -> Graph:
    """Vectors of footage of all kinds: those of the archive that heads are calibrated by."""
    target.parent.mkdir(parents=True, exist_ok=True)
    np.save(target, archive.store.sample(BACKGROUND_SIZE))
    return Graph(target, None)


def write_concepts(concepts: Path, encoders: Manifest, target: Path) -> Graph:
    """Encode words and phrases, one a line, to explain refinements by."""
    names = [name for name in concepts.read_text("utf-8").split("\n") if name.strip()]
    with Bundle(encoders) as bundle:
        vectors = bundle.encode_text(names)
    target.parent.mkdir(parents=True, exist_ok=True)
    np.savez(target, names=np.array(names), vectors=vectors.astype(np.float16))
    return Graph(target, None)
