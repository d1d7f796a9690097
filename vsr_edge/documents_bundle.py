"""The JSON documents of the commands about bundles."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from vsr_edge.document_fields import Part, Text


class ManifestFile(Part):
    """A file of a bundle; of a graph, perhaps with the same in other precisions."""

    model_config = ConfigDict(extra="allow")
    file: Text
    sha256: Text
    bytes: int
    precision: Text | None


class BundleShowDocument(Part):
    """A bundle's manifest without its golden vectors, and the folder it lies in.

    The keys that are not listed here are the manifest's own.
    """

    model_config = ConfigDict(extra="allow")
    schema_: Literal["vsr-edge/bundle-show/1"] = Field(
        default="vsr-edge/bundle-show/1", alias="schema"
    )
    folder: Text
    bundle_name: Text = Field(description="What --bundle calls it.")
    format: Literal["vsr-edge-bundle"]
    schema_version: int = Field(description="Of the manifest.")
    id: Text
    name: Text = Field(description="What it was called when it was made.")
    licence: Text
    files: dict[str, ManifestFile]
    dims: dict[str, int]


class BundleVerifyDocument(Part):
    """What was found to be sound."""

    schema_: Literal["vsr-edge/bundle-verify/1"] = Field(
        default="vsr-edge/bundle-verify/1", alias="schema"
    )
    id: Text
    bundle_name: Text
    bytes: int
    ok: bool = Field(description="Always true: what is not sound is an error.")
    verifies: bool = Field(description="Has it a trained verifier?")
    text_cosine: float = Field(description="The lowest to a golden vector.")
    image_cosine: float


class FoundBundle(Part):
    """A bundle on this machine; ``problem`` says why it cannot be used, if so."""

    name: Text = Field(description="What --bundle calls it.")
    folder: Text
    id: Text | None
    licence: Text | None
    bytes: int | None
    problem: Text | None


class PublishedBundle(Part):
    """A bundle that `bundle pull` knows."""

    name: Text
    repository: Text
    revision: Text
    sha256: Text
    licence: Text
    remark: Text


class Source(Part):
    """A checkpoint that a bundle can be made of; ``parameters`` in millions."""

    name: Text
    repository: Text
    family: Text
    licence: Text
    parameters: int
    remark: Text
    revision: Text | None


class Registry(Part):
    """What came with the program."""

    bundles: list[PublishedBundle]
    sources: list[Source]


class BundleListDocument(Part):
    """What `bundle list` knows."""

    schema_: Literal["vsr-edge/bundle-list/1"] = Field(
        default="vsr-edge/bundle-list/1", alias="schema"
    )
    built_in: list[FoundBundle]
    installed: list[FoundBundle]
    registry: Registry


class BundlePackDocument(Part):
    """A packed bundle."""

    schema_: Literal["vsr-edge/bundle-pack/1"] = Field(
        default="vsr-edge/bundle-pack/1", alias="schema"
    )
    file: Text
    bundle_id: Text
    sha256: Text = Field(description="Of the file.")
    manifest_sha256: Text
    size_bytes: int
    members: list[Text]


class BundlePullDocument(Part):
    """An installed bundle."""

    schema_: Literal["vsr-edge/bundle-pull/1"] = Field(
        default="vsr-edge/bundle-pull/1", alias="schema"
    )
    folder: Text
    bundle_id: Text
    bundle_name: Text = Field(description="What --bundle calls it.")
    manifest_sha256: Text
    commit: Text | None = Field(description="Of the hub's repository; null for a file.")
    new: bool
