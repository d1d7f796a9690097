"""What the JSON documents are made of: a base for their parts, and kinds of values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema


def _text(value: object) -> str:
    if isinstance(value, str | Path):
        return str(value)
    raise ValueError("text is needed")


def rounded(digits: int) -> AfterValidator:
    return AfterValidator(lambda value: round(value, digits))


# pydantic's own text refuses what is no UTF-8, and file names may be that: their odd bytes are
# kept as escapes.
Text = Annotated[str, PlainValidator(_text), WithJsonSchema({"type": "string"})]
Seconds = Annotated[float, rounded(3), Field(description="Seconds from the first frame.")]
Probability = Annotated[float, Field(ge=0, le=1), rounded(4)]
Score = Annotated[float, rounded(5), Field(description="Inner product of query and footage.")]


class Part(BaseModel):
    """Something within a document; made from a mapping, or an object with these attributes."""

    model_config = ConfigDict(
        from_attributes=True,
        populate_by_name=True,
        json_schema_serialization_defaults_required=True,
    )
