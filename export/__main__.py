"""Turn trained checkpoints into bundles.

python -m export encoder CHECKPOINT --out FOLDER
python -m export heads CHECKPOINT --archive ARCHIVE --queries QUERIES --out FOLDER
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Optional

import typer

from export.calibrate import CalibrationError
from export.encoder import export_encoder
from export.heads import export_heads
from export.parity import MIN_MEAN_COSINE, ParityError
from vsr_edge.config import load_settings
from vsr_edge.errors import VsrEdgeError
from vsr_edge.evaluation.formats import read_queries

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Export trained checkpoints as quantised bundles for the runtime.",
)


class Precision(StrEnum):
    FP32 = "fp32"
    INT8 = "int8"


@app.callback()
def main() -> None:
    """Export trained checkpoints as quantised bundles for the runtime."""


@app.command()
def encoder(
    checkpoint: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    out: Annotated[Path, typer.Option(help="Folder of the bundle.")],
    work: Annotated[Path, typer.Option(help="Folder for intermediate graphs.")] = Path(
        "runs/export"
    ),
    name: Annotated[str, typer.Option(help="Name of the bundle.")] = "lite",
    precision: Annotated[Precision, typer.Option()] = Precision.INT8,
    photos: Annotated[
        Optional[Path],  # noqa: UP045 — typer reads the annotation
        typer.Option(exists=True, file_okay=False, help="Photos to calibrate on and compare on."),
    ] = None,
    calibration_count: Annotated[int, typer.Option(min=1)] = 128,
    parity_count: Annotated[int, typer.Option(min=1)] = 128,
    min_cosine: Annotated[
        float, typer.Option(help="Refuse int8 whose mean cosine to fp32 is lower.")
    ] = MIN_MEAN_COSINE,
) -> None:
    """Export a dual encoder: fp32 ONNX → int8 → parity gate → manifest.

    Example: python -m export encoder models/checkpoints/encoder.safetensors --out /tmp/bundle
    """
    try:
        bundle = export_encoder(
            checkpoint,
            out,
            work,
            name=name,
            precision=precision,
            photos=photos,
            calibration_count=calibration_count,
            parity_count=parity_count,
            min_cosine=min_cosine,
        )
    except (ParityError, FileNotFoundError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(
        json.dumps({"id": bundle.bundle_id, "parity": bundle.manifest.raw["parity"]}, indent=1)
    )


@app.command()
def heads(
    checkpoint: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    archive: Annotated[
        Path, typer.Option(help="Archive to calibrate on.", exists=True, file_okay=False)
    ],
    queries: Annotated[
        Path, typer.Option(help="What to ask there, with the truth.", exists=True, dir_okay=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder of the bundle.")],
    base: Annotated[
        str, typer.Option(help="Bundle whose encoders the heads were trained for.")
    ] = "lite",
    work: Annotated[Path, typer.Option(help="Folder for intermediate graphs.")] = Path(
        "runs/export"
    ),
    precision: Annotated[Precision, typer.Option()] = Precision.INT8,
    concepts: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(exists=True, dir_okay=False, help="Words and phrases, one a line."),
    ] = None,
    without_evidence: Annotated[
        bool, typer.Option(help="The refiner was trained on queries alone.")
    ] = False,
) -> None:
    """Add a trained loop to a bundle's encoders: int8 → parity gate → calibration → manifest.

    Example: python -m export heads runs/grpo/loop.safetensors --archive val-archive
    --queries val/queries.jsonl --concepts models/checkpoints/concepts.txt --out /tmp/bundle
    """
    try:
        bundle, calibrated = export_heads(
            checkpoint,
            base,
            load_settings({"archive": archive}),
            read_queries(queries, "jsonl"),
            out,
            work,
            precision=precision,
            use_evidence=not without_evidence,
            concepts=concepts,
        )
    except (ParityError, CalibrationError, VsrEdgeError, FileNotFoundError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    document = {
        "id": bundle.bundle_id,
        "parity": bundle.manifest.raw["parity"],
        "calibration": calibrated.to_json(),
    }
    typer.echo(json.dumps(document, indent=1))


if __name__ == "__main__":
    app()
