"""Turn trained checkpoints into bundles: ``python -m export encoder CHECKPOINT --out FOLDER``."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Optional

import typer

from export.encoder import export_encoder
from export.parity import MIN_MEAN_COSINE, ParityError

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


if __name__ == "__main__":
    app()
