"""The documents of what compares and recommends bundles."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vsr_edge.document_parts import (
    BundleCost,
    Difference,
    Document,
    EvalPath,
    Figures,
    Part,
    Text,
    schema,
)


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
