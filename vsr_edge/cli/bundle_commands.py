"""The commands about model bundles: `bundle show`, `verify`, `list`, `pack`, `pull`, and others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vsr_edge.cli.compare_command import bundle_compare
from vsr_edge.cli.console import answer, say, terminate_like_ctrl_c
from vsr_edge.cli.import_command import bundle_import
from vsr_edge.cli.options import App, JsonOption, ProviderOption, argument, option
from vsr_edge.cli.recommend_command import bundle_recommend
from vsr_edge.cli.tables import Column, Table, megabytes, pairs, print_tables
from vsr_edge.errors import BundleError, UsageError

if TYPE_CHECKING:
    from vsr_edge.bundle.manifest import Manifest

bundle_app = App(
    no_args_is_help=True,
    help="Look at model bundles, verify them, carry and pull them.\n\n"
    "Example: [bold]vsr-edge bundle list[/bold]",
)

bundle_app.command("import")(bundle_import)

BundleArgument = Annotated[
    str, argument("A built-in or installed name, or a folder.", metavar="BUNDLE")
]


@bundle_app.command("show")
def bundle_show(
    bundle: BundleArgument = "lite",
    measure: Annotated[
        bool,
        option("Measure what it takes here, beside the built-in one: a few seconds.", "--measure"),
    ] = False,
    provider: ProviderOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show a bundle's manifest: files, dimensions, measured parity, where it comes from.

    With --measure also what a frame, a query and a turn of the search take on this machine.

    Example: [bold]vsr-edge bundle show[/bold]

    Example: [bold]vsr-edge bundle show ./my-bundle --measure[/bold]
    """
    from vsr_edge.bundle.locate import bundle_name, find_bundle
    from vsr_edge.bundle.manifest import read_manifest
    from vsr_edge.cli.cost_table import cost_table, measured_beside

    folder = find_bundle(bundle)
    manifest = read_manifest(folder)
    name = bundle_name(folder)
    shown = {key: value for key, value in manifest.raw.items() if key != "golden"}
    if provider is not None and not measure:
        raise UsageError("--provider says what to measure with: add --measure")
    costs = measured_beside(bundle, provider) if measure else []
    answer(
        json_output,
        lambda of: of.BundleShowDocument(folder=folder, bundle_name=name, measured=costs, **shown),
        lambda: print_tables(
            *_manifest_tables(folder, name, manifest), *([cost_table(costs)] if costs else [])
        ),
    )


def _manifest_tables(folder: Path, name: str, manifest: Manifest) -> list[Table]:
    """A bundle: what it is and where it lies, its files, and what else its manifest says."""
    from vsr_edge.bundle.locate import bundle_title

    what = {
        "bundle": bundle_title(name, manifest.bundle_id),
        "folder": str(folder),
        "encoders": manifest.encoders_id,
        "licence": manifest.licence,
    }
    columns = Column("part"), Column("file", "path"), Column("size", "number"), Column("precision")
    files = [
        (_words(role), one.file, megabytes(one.size_bytes), one.precision or "")
        for role, one in manifest.named_files
    ]
    others = ("dims", "preprocessing", "text", "calibration", "parity", "provenance")
    return [
        pairs(what),
        Table(columns, files),
        *(
            Table(
                (Column("dimensions" if part == "dims" else part), Column("", "text")),
                _flat(manifest.raw[part]),
            )
            for part in others
            if manifest.raw.get(part)
        ),
    ]


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested mappings as rows of names and values: numbers rounded, lists in one row."""
    if isinstance(value, Mapping):
        return [
            row
            for key, inner in value.items()
            for row in _flat(inner, f"{name}, {_words(key)}" if name else _words(key))
        ]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [(name, ", ".join(map(_plain, value)))]
    return [(name, _plain(value))]


def _words(key: object) -> str:
    return str(key).replace("_", " ")


def _plain(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@bundle_app.command("verify")
def bundle_verify(
    bundle: BundleArgument = "lite",
    provider: ProviderOption = None,
    json_output: JsonOption = False,
) -> None:
    """Check a bundle's files against its manifest, run its graphs, and compare golden vectors.

    Example: [bold]vsr-edge bundle verify ./my-bundle[/bold]
    """
    from vsr_edge.bundle.locate import bundle_name, bundle_title
    from vsr_edge.bundle.model import load_bundle
    from vsr_edge.bundle.verify import check_golden, check_sound

    with load_bundle(bundle, provider=provider or "cpu") as loaded:
        report = check_golden(loaded)
        check_sound(loaded)
        found: dict[str, Any] = {
            "id": loaded.bundle_id,
            "bundle_name": bundle_name(loaded.manifest.folder),
            "bytes": sum(entry.size_bytes for _, entry in loaded.manifest.named_files),
            "ok": True,
            "verifies": loaded.manifest.calibration is not None,
        }
        answer(json_output, lambda of: of.BundleVerifyDocument(**found, **asdict(report)))
    say(
        f"{bundle_title(found['bundle_name'], found['id'])}: sound, {megabytes(found['bytes'])}; "
        f"cosine to the golden vectors: text {report.text_cosine:.4f}, "
        f"image {report.image_cosine:.4f}"
    )
    if not found["verifies"]:
        say("it has no heads of its own: the universal ones verify what it finds")


@bundle_app.command("list")
def bundle_list(json_output: JsonOption = False) -> None:
    """List the bundles that are built in, those installed, and what the registry knows.

    Example: [bold]vsr-edge bundle list[/bold]
    """
    from vsr_edge.bundle.locate import BUILT_IN, find_bundle, installed_bundles
    from vsr_edge.bundle.registry import read_registry

    registry = read_registry()
    found = {
        "built_in": [_described(name, find_bundle(name)) for name in BUILT_IN],
        "installed": [_described(name, folder) for name, folder in installed_bundles().items()],
    }
    known = {
        "bundles": [asdict(entry) for entry in registry.bundles.values()],
        "sources": [asdict(entry) for entry in registry.sources.values()],
    }
    rows = [
        (kind.replace("_", " "), row["name"], row["id"] or row["problem"], "", row["licence"] or "")
        for kind, bundles in found.items()
        for row in bundles
    ]
    rows += [("to pull", r["name"], r["repository"], "", r["licence"]) for r in known["bundles"]]
    rows += [
        ("to export", r["name"], r["repository"], f"{r['parameters']} M", r["licence"])
        for r in known["sources"]
    ]
    columns = (
        Column(""),
        Column("name"),
        Column("id or repository", "text"),
        Column("parameters", "number"),
        Column("licence", "text"),
    )
    answer(
        json_output,
        lambda of: of.BundleListDocument.model_validate(found | {"registry": known}),
        lambda: print_tables(Table(columns, rows, named_by=(1, 0))),
    )


def _described(name: str, folder: Path) -> dict[str, Any]:
    from vsr_edge.bundle.manifest import read_manifest

    row: dict[str, Any] = {"name": name, "folder": str(folder)}
    try:
        manifest = read_manifest(folder)
    except BundleError as error:
        return row | {"id": None, "licence": None, "bytes": None, "problem": str(error)}
    size = sum(entry.size_bytes for _, entry in manifest.named_files)
    about = {"id": manifest.bundle_id, "licence": manifest.licence, "bytes": size}
    return row | about | {"problem": None}


@bundle_app.command("pack")
def bundle_pack(
    bundle: BundleArgument,
    out: Annotated[
        Path, option("File to write; replaced once the new one is whole.", "--out", "-o")
    ],
    json_output: JsonOption = False,
) -> None:
    """Verify a bundle and pack it into one file, for a machine that no network reaches.

    The same bundle gives the same file everywhere. Note its sha256, and give it to `pull --from`.

    Example: [bold]vsr-edge bundle pack ./my-bundle --out my-bundle.tar[/bold]
    """
    from vsr_edge.bundle.locate import bundle_title
    from vsr_edge.bundle.packed import pack_bundle

    with terminate_like_ctrl_c():
        packed = pack_bundle(bundle, out)
        answer(
            json_output,
            lambda of: of.BundlePackDocument.model_validate(packed),
            lambda: typer.echo(f"sha256 {packed.sha256}"),
        )
    say(
        f"{bundle_title(bundle, packed.bundle_id)}: packed into {packed.file}, "
        f"{megabytes(packed.size_bytes)}; to install it: vsr-edge bundle pull "
        f"--from {packed.file.name} --sha256 {packed.sha256}"
    )


@bundle_app.command("pull")
def bundle_pull(
    name: Annotated[
        str | None,
        argument(
            "A bundle of the registry or OWNER/NAME on the hub; with --from, the name to "
            "install it under.",
            metavar="NAME|HF_ID",
        ),
    ] = None,
    file: Annotated[
        Path | None, option("Install from this packed file; no network is used.", "--from")
    ] = None,
    revision: Annotated[str | None, option("Branch, tag or commit. \\[default: main]")] = None,
    sha256: Annotated[
        str | None,
        option(
            "Accept only this: the sha256 of manifest.json on the hub, of the whole file "
            "with --from."
        ),
    ] = None,
    out: Annotated[
        Path | None, option("Install as this folder, not under a name.", "--out", "-o")
    ] = None,
    endpoint: Annotated[str | None, option("A mirror of the hub. \\[default: HF_ENDPOINT]")] = None,
    json_output: JsonOption = False,
) -> None:
    """Install a bundle from the Hugging Face hub, or from a packed file.

    Only what its manifest names is taken, into a temporary folder; it is put in place once sizes,
    sha256 and golden vectors are right. HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE are respected.

    Example: [bold]vsr-edge bundle pull --from my-bundle.tar && vsr-edge bundle list[/bold]
    """
    from vsr_edge.bundle.install import install_file, install_from_hub
    from vsr_edge.bundle.locate import bundle_name, bundle_title
    from vsr_edge.bundle.registry import read_registry

    with terminate_like_ctrl_c():
        if file is not None:
            if revision is not None or endpoint is not None:
                raise UsageError("--revision and --endpoint are for the hub, not for --from FILE")
            pulled = install_file(file, name=name, sha256=sha256, out=out, notify=say)
        elif name is not None:
            pulled = install_from_hub(
                name,
                read_registry(),
                revision=revision,
                sha256=sha256,
                out=out,
                endpoint=endpoint,
                notify=say,
            )
        else:
            raise UsageError("name what to pull: OWNER/NAME on the hub, or --from FILE.tar")
        called = bundle_name(pulled.folder)
        answer(json_output, lambda of: of.BundlePullDocument(bundle_name=called, **asdict(pulled)))
    state = "installed at" if pulled.new else "is there already, at"
    say(
        f"{bundle_title(called, pulled.bundle_id)}: {state} {pulled.folder}; to use it: "
        f"--bundle {called}"
    )


bundle_app.command("compare")(bundle_compare)
bundle_app.command("recommend")(bundle_recommend)
