"""The JSON documents of the commands that measure."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from vsr_edge.document_fields import Part, Text

Interval = Annotated[list[float | None], Field(min_length=2, max_length=2)]
Figures = Annotated[
    dict[str, dict[str, float | int | None]],
    Field(description="Figures by table, in per cent but for counts; null for a share of nothing."),
]


class EvalRun(Part):
    """What was asked, of what, and with which options."""

    queries: Text
    archive: Text
    bundle: Text = Field(description="Its id.")
    bundle_name: Text
    videos: int
    clips: int
    top_k: int
    max_turns: int
    candidates: int
    max_ms: float | None
    one_shot: bool
    rocchio: bool


class Percentiles(Part):
    """Milliseconds."""

    p50: float
    p95: float


class EvalPath(Part):
    """What a search took: means over the queries."""

    turns: float
    refinements: float
    soft_tokens: float
    encoder_calls: float
    latency_ms: dict[str, Percentiles] = Field(description="By stage, and in total.")


class EvaluatorTime(Part):
    """What evaluating took beside searching."""

    search_seconds: float
    own_seconds: float
    overhead_percent: float


class EvalDocument(Part):
    """What `eval` measured."""

    schema_: Literal["vsr-edge/eval/1"] = Field(default="vsr-edge/eval/1", alias="schema")
    run: EvalRun
    metrics: Figures
    intervals: dict[str, dict[str, Interval]] = Field(description="95 %, by bootstrap over videos.")
    by_kind: dict[str, Figures] = Field(
        default={}, description="Empty unless queries are of many kinds."
    )
    path: EvalPath
    evaluator: EvaluatorTime


class ComparedFiles(Part):
    """The files of answers, as they were named."""

    a: Text
    b: Text


class EvalCompareDocument(Part):
    """Two files of answers to the same queries."""

    schema_: Literal["vsr-edge/eval-compare/1"] = Field(
        default="vsr-edge/eval-compare/1", alias="schema"
    )
    files: ComparedFiles
    a: Figures
    b: Figures
    moments: dict[str, int] = Field(description="The longest answer of each file.")
    difference: dict[
        str, dict[str, Annotated[list[float | None], Field(min_length=3, max_length=3)]]
    ] = Field(description="a − b with its 95 % interval: value, low, high; in per cent.")


class EvalPredictionsDocument(Part):
    """A file of predictions, scored by the rules of its format and under its evaluator's names."""

    schema_: Literal["vsr-edge/eval-predictions/1"] = Field(
        default="vsr-edge/eval-predictions/1", alias="schema"
    )
    metrics: dict[str, Any]
