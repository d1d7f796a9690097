"""The export, top to bottom: source → graphs → compare → quantise → gate → stage → publish.

Each stage is a file of this package, and this one calls them in order: for a dual encoder, for the
heads of a trained loop, and for all that a training run left. ``export.contract`` says what the
stages hand to each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from export.calibrate import BLANK, Calibrated, collect, fit
from export.compare import check_tokenizer, check_vectors, compare_to_torch
from export.contract import HEADS, SIDES, ExportError, Source
from export.feeds import encoder_feeds
from export.gate_heads import Asking, compare_grounding, compare_refiner
from export.graphs import make_encoder_graphs, make_head_graphs
from export.publish import Part, write_background, write_concepts, write_part
from export.quantize import quantize_head, quantize_side
from export.sources import open_source
from vsr_edge.archive import Archive, open_archive
from vsr_edge.bundle.locate import verify_bundle
from vsr_edge.bundle.manifest import (
    BACKGROUND,
    CONCEPTS,
    GROUNDING,
    IMAGE_ENCODER,
    REFINER,
    TEXT_ENCODER,
    TOKENIZER,
)
from vsr_edge.bundle.model import Bundle, load_bundle
from vsr_edge.config import load_settings
from vsr_edge.evaluation.records import Query
from vsr_edge.making.gate import MIN_MEAN_COSINE, Graph, pass_gate
from vsr_edge.making.write import write_bundle

ENCODER_FILE, LOOP_FILE, CONCEPTS_FILE = "encoder.safetensors", "loop.safetensors", "concepts.txt"


@dataclass(frozen=True)
class EncoderOptions:
    """How a dual encoder is exported.

    Args:
        precision: of both sides, one of fp32, fp16 and int8.
        image_precision, text_precision: of one side alone.
        also: further precisions of the same graphs, for other execution providers.
        photos: folder of photos or videos, split between calibration and gate; None takes demo
            footage.
        calibration_count, parity_count: pictures for each.
        min_cosine: the gate's tolerance, on the mean cosine of each side.
    """

    precision: str = "int8"
    image_precision: str | None = None
    text_precision: str | None = None
    also: Sequence[str] = ()
    photos: Path | None = None
    calibration_count: int = 128
    parity_count: int = 128
    min_cosine: float = MIN_MEAN_COSINE

    def precisions(self, role: str) -> list[str]:
        """Of a role's graph: the first one, then the others."""
        one = {IMAGE_ENCODER: self.image_precision, TEXT_ENCODER: self.text_precision}[role]
        return list(dict.fromkeys((one or self.precision, *self.also)))


def export_encoder(source: Source, out: Path, work: Path, options: EncoderOptions) -> Bundle:
    """Write a bundle of encoders.

    Args:
        out: the bundle's folder; nothing is written there unless the gate is passed.
        work: where the intermediate graphs go; the fp32 ones stay for comparison.

    Raises:
        ParityError: a graph differs from its source past tolerance.
        ExportError: tokens or vectors are not those of the source, or there are too few pictures.
    """
    check_tokenizer(source)
    feeds = encoder_feeds(source, options.photos, options.calibration_count, options.parity_count)
    fp32 = make_encoder_graphs(source, work / "fp32")
    check_vectors(source, fp32)
    modules = {IMAGE_ENCODER: source.image, TEXT_ENCODER: source.text}
    differences = {
        role: compare_to_torch(role, modules[role], fp32[role], feeds.gate[role][:4])
        for role in SIDES
    }
    graphs = {
        role: [
            quantize_side(source, role, one, fp32[role], feeds.calibration[role], work / one)
            for one in options.precisions(role)
        ]
        for role in SIDES
    }
    parity = pass_gate(fp32, graphs, feeds.gate, options.min_cosine)
    for role, difference in differences.items():
        parity[role]["max_difference_to_torch"] = float(f"{difference:.2g}")
    return write_bundle(
        out,
        {**graphs, TOKENIZER: [Graph(source.tokenizer, None)]},
        source.fields()
        | {
            "parity": parity,
            "provenance": {**source.provenance, "calibrated_on": feeds.calibrated_on},
        },
    )


def export_head(
    role: str,
    checkpoint: Path,
    base: str,
    asking: Asking,
    out: Path,
    work: Path,
    *,
    precision: str = "int8",
    use_evidence: bool = True,
) -> Part:
    """One head of a checkpoint as a graph in the folder ``out``, with its figures beside it.

    Args:
        role: ``GROUNDING`` or ``REFINER``.
        checkpoint: what ``models.train_sft`` or ``models.train_grpo`` saved.
        base: the bundle whose encoders it was trained for, by name or folder.
        work: where the fp32 graphs go.
        precision: fp32 or int8.
        use_evidence: False for a refiner that was trained without: it is shown none.

    Raises:
        ParityError: int8 differs from fp32 past tolerance; nothing is written to ``out`` then.
        ExportError: the checkpoint has no such head.
    """
    # What a refiner is shown in the gate depends on what the verifier of the same training turns
    # down.
    roles = {role} if precision == "fp32" else {role, GROUNDING}
    fp32 = make_head_graphs(checkpoint, work / "fp32", roles, use_evidence)
    if role not in fp32:
        raise ExportError(f"{checkpoint} holds no {role}: models.train_sft did not finish")
    before = {name: Graph(path, "fp32") for name, path in fp32.items()}
    if precision == "fp32":
        return write_part(out, role, before[role], {})
    graph = quantize_head(fp32[role], work / "int8")
    feeds = asking.feeds(str(verify_bundle(base).folder))
    if role == GROUNDING:
        parity = compare_grounding(before[GROUNDING], graph, feeds)
    else:
        parity = compare_refiner(before[REFINER], graph, before[GROUNDING], feeds)
    return write_part(out, role, graph, parity)


def assemble(
    base: str,
    parts: Mapping[str, Part],
    asking: Asking,
    out: Path,
    work: Path,
    *,
    concepts: Path | None = None,
) -> tuple[Bundle, Calibrated]:
    """Put heads and a bundle's encoders together, calibrate by real searches, and publish.

    Args:
        out: the bundle's folder; nothing is written there unless all of it succeeds.
        concepts: file of words and phrases, one a line, to explain refinements by; None keeps those
            of the base.

    Raises:
        CalibrationError: the queries show no right and no wrong decision to learn from.
    """
    manifest = verify_bundle(base)
    raw = manifest.raw
    files = {
        role: [
            Graph(manifest.folder / one.file, one.precision) for one in (entry, *entry.alternatives)
        ]
        for role, entry in manifest.files.items()
        if role not in HEADS
    }
    files |= {role: [part.graph] for role, part in parts.items()}
    if concepts is not None:
        files[CONCEPTS] = [write_concepts(concepts, manifest, work / "concepts.npz")]
    with Archive(replace(asking.settings, bundle=base)) as archive:
        files[BACKGROUND] = [write_background(archive, work / "background.npy")]
    kept = ("name", "licence", "dims", "preprocessing", "text", "provenance")
    parity = {role: value for role, value in raw["parity"].items() if role not in HEADS}
    parity |= {role: part.parity for role, part in parts.items()}

    def write(folder: Path, calibration: Mapping[str, float | None]) -> Bundle:
        fields = {name: raw[name] for name in kept}
        fields |= {"parity": parity, "calibration": dict(calibration)}
        return write_bundle(folder, files, fields, encoders_id=manifest.encoders_id)

    # The loop must run to be calibrated: at first with a threshold that nothing passes.
    write(work / "uncalibrated", BLANK).close()
    with Archive(replace(asking.settings, bundle=str(work / "uncalibrated"))) as archive:
        calibrated = fit(collect(archive, asking.queries))
    return write(out, calibrated.to_json()), calibrated


def export_run(
    run: Path,
    out: Path,
    work: Path,
    options: EncoderOptions,
    *,
    base: str = "lite",
    videos: Path | None = None,
    queries: Sequence[Query] | None = None,
) -> tuple[Bundle, Calibrated | None]:
    """Write the bundle of a run; without a trained loop in it, one that searches unverified.

    Args:
        run: a folder with ``encoder.safetensors``, ``loop.safetensors``, or both, and perhaps
            ``concepts.txt``.
        options: of the encoder; the heads take its precision.
        base: encoders for a run that has none of its own.
        videos: what to ask ``queries`` of; indexed with the run's encoder into ``work``.

    Raises:
        ExportError: neither checkpoint is there, or there is nothing to calibrate a loop by.
        ParityError, CalibrationError: as of the steps.
    """
    encoder, loop, concepts = (run / name for name in (ENCODER_FILE, LOOP_FILE, CONCEPTS_FILE))
    if not encoder.is_file() and not loop.is_file():
        raise ExportError(f"{run} holds neither {ENCODER_FILE} nor {LOOP_FILE}")
    if not loop.is_file():
        return export_encoder(open_source(str(encoder), work=work), out, work, options), None
    if videos is None or queries is None:
        raise ExportError(
            f"{loop} needs --videos and --queries: the gate and the calibration ask real searches"
        )
    if encoder.is_file():
        base = str(work / "encoders")
        export_encoder(open_source(str(encoder), work=work), Path(base), work, options).close()
    with load_bundle(base) as encoders:
        # By its id: another encoder must not be refused for what an earlier one left.
        archive = work / f"archive-{encoders.encoders_id}"
    with open_archive(archive, bundle=base) as opened:
        opened.index([videos])
    asking = Asking(load_settings({"archive": archive}), queries)
    parts = {
        role: export_head(
            role, loop, base, asking, work / "parts", work, precision=options.precision
        )
        for role in HEADS
    }
    found = concepts if concepts.is_file() else None
    return assemble(base, parts, asking, out, work, concepts=found)
