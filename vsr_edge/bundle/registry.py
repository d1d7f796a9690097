"""The registry: exported bundles on the hub, and checkpoints to export one from."""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from vsr_edge.bundle.manifest import PlainName, fault_of, must
from vsr_edge.errors import UsageError

COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)

Family = Literal["clip", "siglip"]
FAMILIES: tuple[Family, ...] = get_args(Family)
Commit = Annotated[str, must(COMMIT.fullmatch, "not a commit's hash")]
Repository = Annotated[str, must(REPOSITORY.fullmatch, "not OWNER/NAME")]
Licence = Annotated[str, must(bool, "no licence")]
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, config=_STRICT)
class PublishedBundle:
    """An exported bundle on the hub, at a commit; ``sha256`` is of its manifest."""

    name: PlainName
    repository: Repository
    revision: Commit
    sha256: Annotated[str, must(SHA256.fullmatch, "not 64 hexadecimal digits")]
    licence: Licence
    remark: str


@dataclass(frozen=True, slots=True, config=_STRICT)
class Source:
    """A checkpoint to export from; ``parameters`` in millions, ``revision`` a commit if known."""

    name: PlainName
    repository: Repository
    family: Family
    licence: Licence
    parameters: Annotated[int, Field(gt=0)]
    remark: str
    revision: Commit | None = None

    def export_command(self) -> str:
        pinned = f" --revision {self.revision}" if self.revision else ""
        return (
            "pip install 'vsr-edge[export]' && "
            f"vsr-edge export encoder {self.repository}{pinned} --out ./{self.name}"
        )


@dataclass(frozen=True, slots=True, config=_STRICT)
class Registry:
    """Both kinds by name."""

    bundles: dict[str, PublishedBundle]
    sources: dict[str, Source]

    def source(self, name_or_repository: str) -> Source | None:
        """The source of that name, or with that repository."""
        sources = self.sources.values()
        return next((s for s in sources if name_or_repository in (s.name, s.repository)), None)


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
        bundles, sources = raw.pop("bundle", []), raw.pop("source", [])
        names = [entry["name"] for entry in (*bundles, *sources)]
        if raw or len(set(names)) < len(names):
            raise ValueError(f"unknown tables or a name given twice: {[*raw] or names}")
        kinds = {"bundles": bundles, "sources": sources}
        by_name = {kind: {one["name"]: one for one in found} for kind, found in kinds.items()}
        return TypeAdapter(Registry).validate_python(by_name)
    except ValidationError as error:
        raise UsageError(f"the registry {path} is malformed: {fault_of(error)}") from error
    except (LookupError, TypeError, ValueError) as error:
        raise UsageError(f"the registry {path} is malformed: {error}") from error
