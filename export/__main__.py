"""Turn checkpoints into bundles.

vsr-edge export encoder SOURCE --out BUNDLE          a dual encoder, our own or Transformers'
vsr-edge export grounding CHECKPOINT … --out PARTS   the trained loop's heads, one by one
vsr-edge export refiner CHECKPOINT … --out PARTS
vsr-edge export bundle --base BUNDLE --parts PARTS … encoders and heads, calibrated
vsr-edge export all RUN … --out BUNDLE               all of it, from a training run's folder

In a checkout `python -m export` is the same. What the commands do is in ``export.pipeline``, which
brings PyTorch: a command imports it, so that `--help` answers at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vsr_edge.bundle.manifest import GROUNDING, REFINER
from vsr_edge.bundle.stage import check_target
from vsr_edge.cli.options import App
from vsr_edge.config import load_settings
from vsr_edge.errors import VsrEdgeError
from vsr_edge.evaluation.benchmarks import read_queries
from vsr_edge.making.gate import MIN_MEAN_COSINE

if TYPE_CHECKING:
    from export.gate_heads import Asking
    from export.publish import Part
    from vsr_edge.bundle.model import Bundle

app = App(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


class Precision(StrEnum):
    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class FitOption(StrEnum):
    CROP = "crop"
    STRETCH = "stretch"


class HeadPrecision(StrEnum):
    FP32 = "fp32"
    INT8 = "int8"


OutBundle = Annotated[Path, typer.Option("--out", help="Folder of the bundle.")]
OutParts = Annotated[Path, typer.Option("--out", help="Folder for the graph and its figures.")]
Work = Annotated[Path, typer.Option("--work", help="Folder for intermediate graphs.")]
Checkpoint = Annotated[Path, typer.Argument(exists=True, dir_okay=False)]
Base = Annotated[str, typer.Option("--base", help="Bundle whose encoders the heads belong to.")]
ArchiveFolder = Annotated[
    Path, typer.Option("--archive", help="Archive to ask.", exists=True, file_okay=False)
]
Queries = Annotated[
    Path,
    typer.Option(
        "--queries", help="What to ask there, with the truth.", exists=True, dir_okay=False
    ),
]
HeadPrecisionOption = Annotated[HeadPrecision, typer.Option("--precision")]
Concepts = Annotated[
    Path | None,
    typer.Option("--concepts", exists=True, dir_okay=False, help="Words and phrases, one a line."),
]
Photos = Annotated[
    Path | None,
    typer.Option(
        "--photos",
        exists=True,
        file_okay=False,
        help="Photos or videos, best of your own, to calibrate on and compare on. "
        "\\[default: the demo's clips]",
    ),
]
PrecisionOption = Annotated[Precision, typer.Option("--precision", help="Of both sides.")]
OnePrecision = Annotated[Precision | None, typer.Option(help="Of this side alone.")]
Also = Annotated[
    list[Precision] | None,
    typer.Option(help="Put the graphs in this precision beside them, for a GPU. Repeatable."),
]
DEFAULT_WORK = Path("runs/export")


@app.callback()
def main() -> None:
    """Export checkpoints as quantised bundles for the runtime.

    Example: vsr-edge export encoder ./checkpoint --out ./my-bundle
    """


@app.command()
def encoder(
    source: Annotated[
        str,
        typer.Argument(
            help="A *.safetensors file of models.train_encoder, or a CLIP or SigLIP of "
            "Transformers: a folder or a hub id."
        ),
    ],
    out: OutBundle,
    work: Work = DEFAULT_WORK,
    name: Annotated[
        str | None, typer.Option(help="Name of the bundle. \\[default: the source's]")
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(help="Licence of the weights. \\[default: as the source's card says]"),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Commit, tag or branch of a hub id.")] = None,
    fit: Annotated[
        FitOption | None,
        typer.Option(
            help="See the middle square of a picture, or all of it, stretched. "
            "\\[default: as the source was trained]"
        ),
    ] = None,
    precision: PrecisionOption = Precision.INT8,
    image_precision: OnePrecision = None,
    text_precision: OnePrecision = None,
    also: Also = None,
    photos: Photos = None,
    calibration_count: Annotated[int, typer.Option(min=1)] = 128,
    parity_count: Annotated[int, typer.Option(min=2)] = 128,
    min_cosine: Annotated[
        float, typer.Option(help="Refuse a graph whose mean cosine to fp32 is lower.")
    ] = MIN_MEAN_COSINE,
) -> None:
    """Export a dual encoder: fp32 ONNX → int8 → parity gate → manifest.

    Example: vsr-edge export encoder openai/clip-vit-base-patch32 --out clip-b32 --photos ~/frames
    """
    with _errors_as_exit_codes():
        from export.pipeline import EncoderOptions, export_encoder
        from export.sources import open_source

        folder = Path(source).expanduser()
        check_target(out, folder if folder.is_dir() else None)
        opened = open_source(source, revision=revision, work=work)
        numbers = opened.preprocessing
        wanted = replace(
            opened,
            name=name or opened.name,
            licence=licence or opened.licence,
            preprocessing=replace(numbers, fit=fit.value if fit else numbers.fit),
        )
        options = EncoderOptions(
            precision=precision,
            image_precision=image_precision,
            text_precision=text_precision,
            also=also or (),
            photos=photos,
            calibration_count=calibration_count,
            parity_count=parity_count,
            min_cosine=min_cosine,
        )
        made = export_encoder(wanted, out, work, options)
        _note_what_does_not_pay(made)
        _say(made)


@app.command()
def grounding(
    checkpoint: Checkpoint,
    archive: ArchiveFolder,
    queries: Queries,
    out: OutParts,
    base: Base = "lite",
    work: Work = DEFAULT_WORK,
    precision: HeadPrecisionOption = HeadPrecision.INT8,
) -> None:
    """Export the verifier and grounder of a trained loop.

    Example: vsr-edge export grounding runs/sft/loop.safetensors --archive val-archive
    --queries val/queries.jsonl --out parts
    """
    with _errors_as_exit_codes():
        from export.pipeline import export_head

        asking = _asking(archive, queries)
        _say_part(export_head(GROUNDING, checkpoint, base, asking, out, work, precision=precision))


@app.command()
def refiner(
    checkpoint: Checkpoint,
    archive: ArchiveFolder,
    queries: Queries,
    out: OutParts,
    base: Base = "lite",
    work: Work = DEFAULT_WORK,
    precision: HeadPrecisionOption = HeadPrecision.INT8,
    without_evidence: Annotated[
        bool, typer.Option(help="It was trained on queries alone.")
    ] = False,
) -> None:
    """Export the refiner of a trained loop.

    Example: vsr-edge export refiner runs/sft/loop.safetensors --archive val-archive
    --queries val/queries.jsonl --out parts
    """
    with _errors_as_exit_codes():
        from export.pipeline import export_head

        where = (REFINER, checkpoint, base, _asking(archive, queries), out, work)
        _say_part(export_head(*where, precision=precision, use_evidence=not without_evidence))


@app.command()
def bundle(
    parts: Annotated[
        Path,
        typer.Option(exists=True, file_okay=False, help="Folder of `grounding` and `refiner`."),
    ],
    archive: ArchiveFolder,
    queries: Queries,
    out: OutBundle,
    base: Base = "lite",
    work: Work = DEFAULT_WORK,
    concepts: Concepts = None,
) -> None:
    """Put heads and encoders together, calibrate them by real searches, and verify the bundle.

    Example: vsr-edge export bundle --base lite --parts parts --archive val-archive
    --queries val/queries.jsonl --out my-loop
    """
    with _errors_as_exit_codes():
        from export.pipeline import assemble
        from export.publish import read_parts

        check_target(out)
        asking = _asking(archive, queries)
        made, calibrated = assemble(base, read_parts(parts), asking, out, work, concepts=concepts)
        _say(made, calibration=calibrated.to_json())


@app.command(name="all")
def export_all(
    run: Annotated[
        Path,
        typer.Argument(
            exists=True,
            file_okay=False,
            help="Folder with encoder.safetensors, loop.safetensors, or both, and perhaps "
            "concepts.txt.",
        ),
    ],
    out: OutBundle,
    videos: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Videos to ask; they are indexed with the run's encoder.",
        ),
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="What to ask there, with the truth."),
    ] = None,
    base: Annotated[
        str, typer.Option(help="Encoders for a run that has none of its own.")
    ] = "lite",
    work: Work = DEFAULT_WORK,
    precision: HeadPrecisionOption = HeadPrecision.INT8,
    also: Also = None,
    photos: Photos = None,
    calibration_count: Annotated[int, typer.Option(min=1)] = 128,
    parity_count: Annotated[int, typer.Option(min=2)] = 128,
) -> None:
    """The whole chain for a training run: encoder, heads, calibration.

    Example: vsr-edge export all models/checkpoints --videos val/videos
    --queries val/queries.jsonl --out my-bundle
    """
    with _errors_as_exit_codes():
        from export.pipeline import EncoderOptions, export_run

        check_target(out, run)
        options = EncoderOptions(
            precision=precision,
            also=also or (),
            photos=photos,
            calibration_count=calibration_count,
            parity_count=parity_count,
        )
        asked = None if queries is None else read_queries(queries, "jsonl")
        made, calibrated = export_run(
            run, out, work, options, base=base, videos=videos, queries=asked
        )
        _note_what_does_not_pay(made)
        _say(made, **({} if calibrated is None else {"calibration": calibrated.to_json()}))


def _asking(archive: Path, queries: Path) -> Asking:
    from export.gate_heads import Asking

    return Asking(load_settings({"archive": archive}), read_queries(queries, "jsonl"))


def _say(made: Bundle, **more: Any) -> None:
    document = {"id": made.bundle_id, "parity": made.manifest.raw["parity"], **more}
    typer.echo(json.dumps(document, indent=1))


def _note_what_does_not_pay(made: Bundle) -> None:
    """A precision that is no faster than fp32 here is written all the same: elsewhere it may be."""
    for role, figures in made.manifest.raw["parity"].items():
        if isinstance(figures, dict) and figures.get("pays") is False:
            typer.echo(
                f"note: {role} in {figures.get('precision', 'int8')} does not pay on this machine: "
                f"{figures['speedup']:.2f} times the speed of fp32",
                err=True,
            )


def _say_part(part: Part) -> None:
    typer.echo(json.dumps({"file": str(part.graph.path), "parity": part.parity}, indent=1))


@contextmanager
def _errors_as_exit_codes() -> Iterator[None]:
    from export.contract import ExportError

    try:
        yield
    except (ExportError, VsrEdgeError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
