"""The command `bundle import`: a bundle from ONNX graphs that others have published."""

from __future__ import annotations

import importlib.util
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from vsr_edge.cli.console import answer, say, terminate_like_ctrl_c
from vsr_edge.cli.options import JsonOption, argument, option
from vsr_edge.cli.tables import Column, Table, megabytes, print_tables
from vsr_edge.errors import UsageError

if TYPE_CHECKING:
    from vsr_edge.bundle.encoders import KnownEncoder
    from vsr_edge.bundle.manifest import BundleFile, Manifest
    from vsr_edge.making.published import Files


class Precision(StrEnum):
    AUTO = "auto"
    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"
    UINT8 = "uint8"
    Q8 = "q8"


class Fit(StrEnum):
    CROP = "crop"
    STRETCH = "stretch"


def bundle_import(
    source: Annotated[
        str,
        argument(
            "A folder with published ONNX graphs, OWNER/NAME on the hub, or a name that "
            "`bundle recommend` knows.",
            metavar="SOURCE",
        ),
    ],
    out: Annotated[
        Path | None, option("Folder of the bundle, instead of one under its name.", "--out", "-o")
    ] = None,
    name: Annotated[str | None, option("What to call it. \\[default: as the source]")] = None,
    precision: Annotated[
        Precision,
        option("Of the graphs; auto takes 8 bits on each side where they are as good and faster."),
    ] = Precision.AUTO,
    revision: Annotated[str | None, option("Branch, tag or commit. \\[default: main]")] = None,
    folder: Annotated[
        str | None, option("Where the graphs lie in the source. \\[default: onnx]", "--folder")
    ] = None,
    licence: Annotated[
        str | None,
        option(
            "The licence of the weights, where the source names none.", "--licence", "--license"
        ),
    ] = None,
    fit: Annotated[
        Fit | None, option("Fit pictures so, whatever the encoder was trained on.")
    ] = None,
    gate: Annotated[
        bool,
        option("Compare less precision with fp32, which is fetched for that.", "--gate/--no-gate"),
    ] = True,
    min_cosine: Annotated[
        float, option("The gate's tolerance: mean cosine to fp32.", min=0, max=1)
    ] = 0.99,
    endpoint: Annotated[str | None, option("A mirror of the hub. \\[default: HF_ENDPOINT]")] = None,
    json_output: JsonOption = False,
) -> None:
    """Make a bundle of a CLIP or SigLIP whose ONNX graphs are published; no PyTorch is needed.

    The graphs get an entrance for soft tokens and regions, and are held against what they were. It
    needs: pip install 'vsr-edge\\[import]'.

    Example: [bold]vsr-edge bundle import ./clip-onnx --out ./my-bundle[/bold]
    """
    missing = [one for one in ("onnx",) if importlib.util.find_spec(one) is None]
    if missing:
        raise UsageError(
            f"importing needs {', '.join(missing)}, which the extra brings: pip install "
            "'vsr-edge[import]'"
        )
    from vsr_edge.bundle.encoders import read_encoders
    from vsr_edge.bundle.locate import bundle_name, bundle_title, install_target
    from vsr_edge.cli.cost_table import cost_table, measured_beside
    from vsr_edge.making.importing import ImportOptions, import_bundle
    from vsr_edge.making.published import read_published

    known = read_encoders().get(source)
    if known is not None and not known.graphs:
        raise UsageError(
            f"no published ONNX graphs of {source} are known ({known.repository}): export its "
            "checkpoint, or give a folder with graphs of it"
        )
    with terminate_like_ctrl_c(), tempfile.TemporaryDirectory(prefix="vsr-edge-") as scratch:
        files = _files_of(source, known, revision, endpoint, Path(scratch))
        called = name or (source if known is not None else files.origin.rsplit("/", 1)[-1])
        target = out.expanduser() if out is not None else install_target(called)
        at = folder or (known.folder if known is not None else None)
        options = ImportOptions(
            precision=precision.value,
            name=called,
            licence=licence or (known.licence if known is not None else None),
            language=_language(known),
            gate=gate,
            min_cosine=min_cosine,
            fit=fit.value if fit is not None else None,
        )
        with import_bundle(read_published(files, at), target, options, say) as made:
            manifest = made.manifest
        shown = bundle_name(target)
        say("measuring what it takes on this machine, beside the built-in bundle")
        costs = measured_beside(shown)
        left_out = manifest.raw["provenance"]["left_out"]
        answer(
            json_output,
            lambda of: of.BundleImportDocument(
                folder=target,
                bundle_name=shown,
                id=manifest.bundle_id,
                licence=manifest.licence,
                bytes=_size(manifest),
                precisions={role: one.precision or "" for role, one in _graphs(manifest)},
                soft_tokens=manifest.dimensions.soft_tokens,
                regions=manifest.dimensions.regions,
                left_out=left_out,
                parity=manifest.raw["parity"],
                measured=costs,
            ),
            lambda: print_tables(_table(manifest), cost_table(costs)),
        )
        say(
            f"{bundle_title(shown, manifest.bundle_id)}: imported into {target}; licence: "
            f"{manifest.licence}; to use it: --bundle {shown}"
        )


def _files_of(
    source: str,
    known: KnownEncoder | None,
    revision: str | None,
    endpoint: str | None,
    scratch: Path,
) -> Files:
    """Where the graphs come from: a folder, or a repository on the hub."""
    from vsr_edge.bundle.hub import HubSource
    from vsr_edge.bundle.registry import REPOSITORY
    from vsr_edge.making.published import FolderFiles, HubFiles

    folder = Path(source).expanduser()
    if known is None and folder.is_dir():
        if revision is not None or endpoint is not None:
            raise UsageError("--revision and --endpoint are for the hub, not for a folder")
        return FolderFiles(folder)
    if known is None and source[:1] in {".", "/", "~"}:
        raise UsageError(f"there is no folder {source}")
    if known is None and not REPOSITORY.fullmatch(source):
        raise UsageError(
            f"{source!r} is no folder, no OWNER/NAME on the hub, and no name that `vsr-edge "
            "bundle recommend` knows"
        )
    repository = source if known is None else known.repository
    pinned = revision or (None if known is None else known.revision)
    hub = HubSource(repository, scratch / "download", pinned, None, endpoint, say)
    return HubFiles(hub, scratch / "files")


def _language(known: KnownEncoder | None) -> str | None:
    """Of the sentences, where it is one."""
    if known is None or len(known.languages) != 1 or known.languages[0] == "multilingual":
        return None
    return known.languages[0]


def _graphs(manifest: Manifest) -> list[tuple[str, BundleFile]]:
    return [(role, one) for role, one in manifest.named_files if one.precision is not None]


def _size(manifest: Manifest) -> int:
    return sum(one.size_bytes for _, one in manifest.named_files)


def _table(manifest: Manifest) -> Table:
    """Each file, how large it is, and how near to what was published."""
    columns = (
        Column("part"),
        Column("precision"),
        Column("size", "number"),
        Column("largest difference", "number"),
        Column("cosine to fp32", "number"),
    )
    rows = []
    for role, one in manifest.named_files:
        figures = manifest.raw["parity"].get(role, {})
        difference, cosine = figures.get("max_difference_to_source"), figures.get("mean_cosine")
        rows.append(
            (
                role.replace("_", " "),
                one.precision or "",
                megabytes(one.size_bytes),
                "" if difference is None else f"{difference:.1g}",
                "" if cosine is None else f"{cosine:.4f}",
            )
        )
    return Table(columns, rows)
