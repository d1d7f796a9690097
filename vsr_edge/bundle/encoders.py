"""Dual encoders whose ONNX graphs are published, to import: what is known of them beforehand."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from vsr_edge.bundle.manifest import PlainName, Size, fault_of, must
from vsr_edge.bundle.registry import Commit, Licence, Repository
from vsr_edge.errors import UsageError

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, config=_STRICT)
class Figure:
    """What others published: zero-shot, in percent, and where that was read."""

    task: str
    percent: Annotated[float, Field(ge=0, le=100)]
    source: Annotated[str, must(bool, "no source")]


@dataclass(frozen=True, slots=True, config=_STRICT)
class KnownEncoder:
    """A dual encoder to import.

    ``languages`` are codes of ISO 639, or "multilingual"; ``dimensions`` D, ``image`` the side in
    pixels, ``parameters`` millions; ``megabytes`` by precision: image side, text side;
    ``gflops`` for a picture, reckoned. Without ``graphs`` none are known that are published.
    """

    name: PlainName
    repository: Repository
    family: str
    licence: Licence
    languages: Annotated[tuple[str, ...], must(bool, "no language")]
    image: Size
    remark: str
    dimensions: Size | None = None
    parameters: Annotated[int, Field(gt=0)] | None = None
    revision: Commit | None = None
    folder: str = "onnx"
    graphs: bool = True
    megabytes: dict[str, tuple[Size, Size]] = Field(default_factory=dict)
    gflops: Annotated[float, Field(gt=0)] | None = None
    figures: tuple[Figure, ...] = ()

    def speaks(self, language: str) -> bool:
        """Is it said to read sentences of that language (a code of ISO 639)?"""
        return language in self.languages or "multilingual" in self.languages

    def import_command(self) -> str:
        """How to make a bundle of it."""
        return f"vsr-edge bundle import {self.name}"


def read_encoders(file: Path | None = None) -> dict[str, KnownEncoder]:
    """Known encoders by name; None reads what came with the program.

    Raises:
        UsageError: the file is malformed; the message names the entry.
    """
    path = file or Path(str(resources.files("vsr_edge") / "bundle" / "encoders.toml"))
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"the list of encoders {path} cannot be read: {error}") from error
    try:
        entries = raw.pop("encoder", [])
        names = [entry["name"] for entry in entries]
        if raw or len(set(names)) < len(names):
            raise ValueError(f"unknown tables or a name given twice: {[*raw] or names}")
        by_name = {entry["name"]: entry for entry in entries}
        return TypeAdapter(dict[str, KnownEncoder]).validate_python(by_name)
    except ValidationError as error:
        raise UsageError(f"the list of encoders {path} is malformed: {fault_of(error)}") from error
    except (LookupError, TypeError, ValueError) as error:
        raise UsageError(f"the list of encoders {path} is malformed: {error}") from error
