"""Heads are parts first, until a bundle is made of them; what else it holds beside graphs."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.contract import FILE_OF, HEADS, ExportError
from vsr_edge.archive import Archive
from vsr_edge.bundle.manifest import (
    GROUNDING,
    Manifest,
)
from vsr_edge.bundle.model import Bundle
from vsr_edge.making.gate import Graph

BACKGROUND_SIZE = 512


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
