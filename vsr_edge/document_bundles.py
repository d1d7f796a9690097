"""The documents of the commands about bundles."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from vsr_edge.document_parts import (
    BundleCost,
    BundleName,
    Difference,
    Document,
    EvalPath,
    Figures,
    FoundBundle,
    ManifestFile,
    Part,
    Registry,
    Text,
    rounded,
    schema,
)


class BundleShowDocument(Document):
    """A bundle's manifest without its golden vectors, and the folder it lies in.

    The keys that are not listed here are the manifest's own.
    """

    model_config = ConfigDict(extra="allow")
    schema_: Literal["vsr-edge/bundle-show/1"] = schema("vsr-edge/bundle-show/1")
    folder: Text
    bundle_name: BundleName
    format: Literal["vsr-edge-bundle"]
    schema_version: int = Field(description="Of the manifest.")
    id: Text
    name: Text = Field(description="What it was called when it was made.")
    licence: Text
    files: dict[str, ManifestFile]
    dims: dict[str, int]
    measured: list[BundleCost] = Field(
        default=[], description="With --measure: its cost, and that of the built-in bundle."
    )


class BundleImportDocument(Document):
    """A bundle that was made of published graphs."""

    schema_: Literal["vsr-edge/bundle-import/1"] = schema("vsr-edge/bundle-import/1")
    folder: Text
    bundle_name: BundleName
    id: Text
    licence: Text
    bytes: int = Field(description="Of all files that the manifest names.")
    precisions: dict[str, Text] = Field(description="By part: fp32, fp16 or int8.")
    soft_tokens: int = Field(description="0: the text graph has no entrance for them.")
    regions: int = Field(description="Vectors of parts of a picture; 0: the image graph has none.")
    left_out: dict[str, Text] = Field(description="What the graphs do not give, and why.")
    parity: dict[str, Any] = Field(
        description="By part: the largest difference to the published graph, and to fp32."
    )
    measured: list[BundleCost] = Field(description="Its cost, and that of the built-in bundle.")


class BundleVerifyDocument(Document):
    """What was found to be sound."""

    schema_: Literal["vsr-edge/bundle-verify/1"] = schema("vsr-edge/bundle-verify/1")
    id: Text
    bundle_name: Text
    bytes: int
    ok: bool = Field(description="Always true: what is not sound is an error.")
    verifies: bool = Field(description="Has it heads of its own? Universal ones verify if not.")
    text_cosine: float = Field(description="The lowest to a golden vector.")
    image_cosine: float


class BundleListDocument(Document):
    """What `bundle list` knows."""

    schema_: Literal["vsr-edge/bundle-list/1"] = schema("vsr-edge/bundle-list/1")
    built_in: list[FoundBundle]
    installed: list[FoundBundle]
    registry: Registry


class BundlePackDocument(Document):
    """A packed bundle."""

    schema_: Literal["vsr-edge/bundle-pack/1"] = schema("vsr-edge/bundle-pack/1")
    file: Text
    bundle_id: Text
    sha256: Text = Field(description="Of the file.")
    manifest_sha256: Text
    size_bytes: int
    members: list[Text]


class BundlePullDocument(Document):
    """An installed bundle."""

    schema_: Literal["vsr-edge/bundle-pull/1"] = schema("vsr-edge/bundle-pull/1")
    folder: Text
    bundle_id: Text
    bundle_name: BundleName
    manifest_sha256: Text
    commit: Text | None = Field(description="Of the hub's repository; null for a file.")
    new: bool


class ComparedBundle(Part):
    """One of two bundles."""

    cost: BundleCost
    path: EvalPath


class ComparedBundles(Part):
    """As they were named."""

    a: ComparedBundle
    b: ComparedBundle


class Resolution(Part):
    """The least difference in points that so many queries tell from chance; null: none to tell."""

    present: float | None
    absent: float | None


class BundleCompareDocument(Document):
    """Two bundles on the same footage and questions."""

    schema_: Literal["vsr-edge/bundle-compare/1"] = schema("vsr-edge/bundle-compare/1")
    queries: Text
    archive: Text
    bundles: ComparedBundles
    a: Figures
    b: Figures
    moments: dict[str, int] = Field(description="The longest answer of each.")
    difference: dict[str, dict[str, Difference]] = Field(
        description="a − b with its 95 % interval, paired: value, low, high; in per cent."
    )
    resolution: Resolution
    notices: list[Text] = Field(description="What is certain, and what is not, a sentence each.")


class MachineFacts(Part):
    """What counts of this machine."""

    threads: int
    free_mb: int | None = Field(description="Memory; null where the system does not say.")
    frames_per_second: Annotated[float, rounded(2)] = Field(
        description="Of the built-in encoder, measured."
    )


class Estimates(Part):
    """Reckoned and not measured; null where nothing is known."""

    megabytes: int | None = Field(description="On disk.")
    memory_mb: int | None
    frames_per_second: Annotated[float, rounded(2)] | None = Field(
        description="Within a factor of two."
    )
    hours: Annotated[float, rounded(2)] | None = Field(description="Of indexing, with --hours.")


class PublishedFigure(Part):
    """What others published, zero-shot, in per cent, and where that was read."""

    task: Text
    percent: float
    source: Text


class RecommendedEncoder(Part):
    """A known encoder, and whether it suits."""

    name: Text
    repository: Text
    family: Text
    licence: Text
    languages: list[Text]
    remark: Text
    fits: bool
    reasons: list[Text] = Field(description="Why not, or what speaks for it.")
    estimates: Estimates
    published: PublishedFigure | None
    installed: Text | None = Field(description="The bundle here that was made of it.")
    command: Text | None = Field(description="That gets it.")


class BundleRecommendDocument(Document):
    """Which known encoders suit this machine; those that do come first."""

    schema_: Literal["vsr-edge/bundle-recommend/1"] = schema("vsr-edge/bundle-recommend/1")
    machine: MachineFacts
    languages: list[Text] = Field(description="That were asked for.")
    hours: float | None
    fps: float
    encoders: list[RecommendedEncoder]
