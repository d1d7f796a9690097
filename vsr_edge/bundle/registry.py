"""The registry: exported bundles on the hub, and checkpoints to export one from."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from vsr_edge.bundle.contents import is_plain_name
from vsr_edge.errors import UsageError

FAMILIES = ("clip", "siglip")
COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class PublishedBundle:
    """An exported bundle on the hub, at a commit; ``sha256`` is of its manifest."""

    name: str
    repository: str
    revision: str
    sha256: str
    licence: str
    remark: str


@dataclass(frozen=True, slots=True)
class Source:
    """A checkpoint to export from; ``parameters`` in millions, ``revision`` a commit if known."""

    name: str
    repository: str
    family: str
    licence: str
    parameters: int
    remark: str
    revision: str | None = None

    def export_command(self) -> str:
        pinned = f" --revision {self.revision}" if self.revision else ""
        return (
            "pip install 'vsr-edge[export]' && "
            f"vsr-edge export encoder {self.repository}{pinned} --out ./{self.name}"
        )


@dataclass(frozen=True, slots=True)
class Registry:
    """Both kinds by name."""

    bundles: Mapping[str, PublishedBundle]
    sources: Mapping[str, Source]

    def source(self, name_or_repository: str) -> Source | None:
        """The source of that name, or with that repository."""
        for source in self.sources.values():
            if name_or_repository in (source.name, source.repository):
                return source
        return None


def read_registry(file: Path | None = None) -> Registry:
    """Read a registry; None is the one that came with the program.

    Raises:
        UsageError: the file is no registry; the message names the entry.
    """
    path = file or Path(str(resources.files("vsr_edge") / "bundle" / "registry.toml"))
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"the registry {path} cannot be read: {error}") from error
    try:
        bundles = [PublishedBundle(**entry) for entry in raw.pop("bundle", [])]
        sources = [Source(**entry) for entry in raw.pop("source", [])]
        entries: list[PublishedBundle | Source] = [*bundles, *sources]
        for entry in entries:
            _check(entry)
        names = [entry.name for entry in entries]
        if raw or len(set(names)) < len(names):
            raise ValueError(f"unknown tables or a name given twice: {[*raw] or names}")
    except (TypeError, ValueError) as error:
        raise UsageError(f"the registry {path} is malformed: {error}") from error
    return Registry({b.name: b for b in bundles}, {s.name: s for s in sources})


def _check(entry: PublishedBundle | Source) -> None:
    checks: dict[str, Any] = {
        "name": is_plain_name(entry.name),
        "repository": REPOSITORY.fullmatch(entry.repository),
        "licence": entry.licence,
    }
    if isinstance(entry, Source):
        checks["family"] = entry.family in FAMILIES
        checks["parameters"] = entry.parameters > 0
        checks["revision"] = entry.revision is None or COMMIT.fullmatch(entry.revision)
    else:
        checks["revision"] = COMMIT.fullmatch(entry.revision)
        checks["sha256"] = SHA256.fullmatch(entry.sha256)
    for field, sound in checks.items():
        if not sound:
            raise ValueError(f"{entry.name}: {field} = {getattr(entry, field)!r}")
