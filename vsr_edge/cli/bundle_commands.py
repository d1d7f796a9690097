"""The commands about model bundles: `bundle show`, `verify`, `list`, `pack` and `pull`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from vsr_edge.cli.help_pages import App
from vsr_edge.cli.options import JsonOption, ProviderOption
from vsr_edge.cli.terminal import errors_as_exit_codes, say, terminate_like_ctrl_c

bundle_app = App(
    no_args_is_help=True,
    help="Look at model bundles, verify them, carry and pull them.\n\n"
    "Example: [bold]vsr-edge bundle list[/bold]",
)

BundleArgument = Annotated[
    str, typer.Argument(metavar="BUNDLE", help="A built-in or installed name, or a folder.")
]


@bundle_app.command("show")
def bundle_show(bundle: BundleArgument = "lite", json_output: JsonOption = False) -> None:
    """Show a bundle's manifest: files, dimensions, measured parity, where it comes from.

    Example: [bold]vsr-edge bundle show[/bold]
    """
    from vsr_edge.bundle.locate import bundle_name, find_bundle
    from vsr_edge.bundle.manifest import read_manifest
    from vsr_edge.cli.output import print_json, print_manifest

    with errors_as_exit_codes():
        folder = find_bundle(bundle)
        manifest = read_manifest(folder)
        if json_output:
            from vsr_edge.documents_bundle import BundleShowDocument

            place = {"folder": folder, "bundle_name": bundle_name(folder)}
            shown = {key: value for key, value in manifest.raw.items() if key != "golden"}
            print_json(BundleShowDocument.model_validate(place | shown))
        else:
            print_manifest(folder, manifest)


@bundle_app.command("verify")
def bundle_verify(
    bundle: BundleArgument = "lite",
    provider: ProviderOption = None,
    json_output: JsonOption = False,
) -> None:
    """Check a bundle's files against its manifest, run its graphs, and compare golden vectors.

    Example: [bold]vsr-edge bundle verify ./my-bundle[/bold]
    """
    from dataclasses import asdict

    from vsr_edge.bundle.locate import bundle_name, bundle_title
    from vsr_edge.bundle.model import load_bundle
    from vsr_edge.bundle.verify import check_golden, check_sound
    from vsr_edge.cli.output import print_json

    with errors_as_exit_codes(), load_bundle(bundle, provider=provider or "cpu") as loaded:
        report = check_golden(loaded)
        check_sound(loaded)
        size = sum(entry.size_bytes for _, entry in loaded.manifest.named_files)
        verifies = loaded.manifest.calibration is not None
        name = bundle_name(loaded.files.folder)
        if json_output:
            from vsr_edge.documents_bundle import BundleVerifyDocument

            found = {"id": loaded.bundle_id, "bundle_name": name, "bytes": size, "ok": True}
            print_json(
                BundleVerifyDocument.model_validate(
                    {**found, "verifies": verifies, **asdict(report)}
                )
            )
    say(
        f"{bundle_title(name, loaded.bundle_id)}: sound, {size / 1e6:.1f} MB; "
        f"cosine to the golden vectors: text {report.text_cosine:.4f}, "
        f"image {report.image_cosine:.4f}"
    )
    if not verifies:
        say("it has no trained verifier: what it finds is unverified")


@bundle_app.command("list")
def bundle_list(json_output: JsonOption = False) -> None:
    """List the bundles that are built in, those installed, and what the registry knows.

    Example: [bold]vsr-edge bundle list[/bold]
    """
    from dataclasses import asdict

    from vsr_edge.bundle.locate import BUILT_IN, find_bundle, installed_bundles
    from vsr_edge.bundle.registry import read_registry
    from vsr_edge.cli.output import print_json
    from vsr_edge.cli.tables import Column, print_table

    with errors_as_exit_codes():
        registry = read_registry()
        built_in = [_described(name, find_bundle(name)) for name in BUILT_IN]
        installed = [_described(name, folder) for name, folder in installed_bundles().items()]
        published = [asdict(entry) for entry in registry.bundles.values()]
        sources = [asdict(entry) for entry in registry.sources.values()]
        if json_output:
            from vsr_edge.documents_bundle import BundleListDocument

            known = {"bundles": published, "sources": sources}
            print_json(
                BundleListDocument.model_validate(
                    {"built_in": built_in, "installed": installed, "registry": known}
                )
            )
            return
        rows = [
            (kind, row["name"], row["id"] or row["problem"], "", row["licence"] or "")
            for kind, found in (("built in", built_in), ("installed", installed))
            for row in found
        ]
        rows += [("to pull", r["name"], r["repository"], "", r["licence"]) for r in published]
        rows += [
            ("to export", r["name"], r["repository"], f"{r['parameters']} M", r["licence"])
            for r in sources
        ]
        columns = (
            Column(""),
            Column("name"),
            Column("id or repository", "text"),
            Column("parameters", "number"),
            Column("licence", "text"),
        )
        print_table(columns, rows, named_by=(1, 0))


def _described(name: str, folder: Path) -> dict[str, Any]:
    from vsr_edge.bundle.manifest import read_manifest
    from vsr_edge.errors import BundleError

    row: dict[str, Any] = {"name": name, "folder": str(folder)}
    try:
        manifest = read_manifest(folder)
    except BundleError as error:
        return row | {"id": None, "licence": None, "bytes": None, "problem": str(error)}
    return row | {
        "id": manifest.bundle_id,
        "licence": manifest.licence,
        "bytes": sum(entry.size_bytes for _, entry in manifest.named_files),
        "problem": None,
    }


@bundle_app.command("pack")
def bundle_pack(
    bundle: BundleArgument,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File to write; replaced once the new one is whole.")
    ],
    json_output: JsonOption = False,
) -> None:
    """Verify a bundle and pack it into one file, for a machine that no network reaches.

    The same bundle gives the same file everywhere. Note its sha256, and give it to `pull --from`.

    Example: [bold]vsr-edge bundle pack ./my-bundle --out my-bundle.tar[/bold]
    """
    from vsr_edge.bundle.locate import bundle_title
    from vsr_edge.bundle.packed import pack_bundle
    from vsr_edge.cli.output import print_json

    with errors_as_exit_codes(), terminate_like_ctrl_c():
        packed = pack_bundle(bundle, out)
        if json_output:
            from vsr_edge.documents_bundle import BundlePackDocument

            print_json(BundlePackDocument.model_validate(packed))
        else:
            typer.echo(f"sha256 {packed.sha256}")
    say(
        f"{bundle_title(bundle, packed.bundle_id)}: packed into {packed.file}, "
        f"{packed.size_bytes / 1e6:.1f} MB; to install it: vsr-edge bundle pull "
        f"--from {packed.file.name} --sha256 {packed.sha256}"
    )


@bundle_app.command("pull")
def bundle_pull(
    name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(
            metavar="NAME|HF_ID",
            help="A bundle of the registry or OWNER/NAME on the hub; with --from, the name to "
            "install it under.",
        ),
    ] = None,
    file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--from", help="Install from this packed file; no network is used."),
    ] = None,
    revision: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--revision", help="Branch, tag or commit. \\[default: main]"),
    ] = None,
    sha256: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--sha256",
            help="Accept only this: the sha256 of manifest.json on the hub, of the whole file "
            "with --from.",
        ),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", "-o", help="Install as this folder, not under a name."),
    ] = None,
    endpoint: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--endpoint", help="A mirror of the hub. \\[default: HF_ENDPOINT]"),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Install a bundle from the Hugging Face hub, or from a packed file.

    Only what its manifest names is taken, into a temporary folder; it is put in place once sizes,
    sha256 and golden vectors are right. HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE are respected.

    Example: [bold]vsr-edge bundle pull --from my-bundle.tar && vsr-edge bundle list[/bold]
    """
    from dataclasses import asdict

    from vsr_edge.bundle.install import install_file, install_from_hub
    from vsr_edge.bundle.locate import bundle_name, bundle_title
    from vsr_edge.bundle.registry import read_registry
    from vsr_edge.cli.output import print_json
    from vsr_edge.errors import UsageError

    with errors_as_exit_codes(), terminate_like_ctrl_c():
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
        if json_output:
            from vsr_edge.documents_bundle import BundlePullDocument

            print_json(BundlePullDocument.model_validate(asdict(pulled) | {"bundle_name": called}))
    state = "installed at" if pulled.new else "is there already, at"
    say(
        f"{bundle_title(called, pulled.bundle_id)}: {state} {pulled.folder}; to use it: "
        f"--bundle {called}"
    )
