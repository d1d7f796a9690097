"""What can be wrong on a machine, looked at in one go."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from vsr_edge.cli.console import EXIT_ERROR, answer, say
from vsr_edge.cli.options import ArchiveOption, JsonOption
from vsr_edge.cli.tables import Table, pairs, print_tables
from vsr_edge.errors import ArchiveNotFound, VsrEdgeError

if TYPE_CHECKING:
    from vsr_edge.bundle.model import Bundle

PACKAGES = (
    "vsr-edge",
    "onnxruntime",
    "onnxruntime-gpu",
    "numpy",
    "usearch",
    "av",
    "sqlite-utils",
    "tokenizers",
)


def doctor(archive: ArchiveOption = None, json_output: JsonOption = False) -> None:
    """Check versions, execution providers, threads, the bundle and the archive.

    Exit code 1 if something is wrong.

    Example: [bold]vsr-edge doctor[/bold]
    """
    report = _examined(archive)
    answer(
        json_output,
        lambda of: of.DoctorDocument.model_validate(report),
        lambda: print_tables(_table(report)),
    )
    for problem in report["problems"]:
        say(f"problem: {problem}")
    if report["problems"]:
        raise typer.Exit(EXIT_ERROR)


def _examined(archive: str | None) -> dict[str, Any]:
    """Versions, providers, threads, bundle and archive; ``problems`` lists what is wrong."""
    from vsr_edge.bundle.model import load_bundle
    from vsr_edge.config import load_settings, usable_threads
    from vsr_edge.ingest.scan import missing_videos
    from vsr_edge.runtime.session import available_providers
    from vsr_edge.store import open_settings_store

    settings = load_settings({"archive": archive})
    problems: list[str] = []
    report: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": _versions(),
        "providers": available_providers(),
        "auto_provider": None,
        "threads": usable_threads(),
        "bundle": None,
        "bundle_name": settings.bundle,
        "bundle_id": None,
        "golden": [],
        "archive": str(settings.place),
        "archive_state": None,
        "missing": None,
        "problems": problems,
    }
    encoders_id = None
    try:
        with load_bundle(settings.bundle, provider=settings.provider) as bundle:
            report["golden"].append(_golden(bundle))
            encoders_id = bundle.encoders_id
            report |= {"bundle": f"{bundle.bundle_id}: sound", "bundle_id": bundle.bundle_id}
        with load_bundle(settings.bundle, provider="auto") as bundle:
            # onnxruntime lists what it was built with: only trying tells what starts here.
            bundle.encode_text([""])
            report["auto_provider"] = bundle.provider
            problems += bundle.refused
            if bundle.provider not in [one["provider"] for one in report["golden"]]:
                report["golden"].append(_golden(bundle))
    except VsrEdgeError as error:
        report["bundle"] = f"{settings.bundle}: unusable"
        problems.append(str(error))
    try:
        with open_settings_store(settings, bundle_id=encoders_id) as store:
            found = store.check()
            stats = store.stats()
            missing = len(missing_videos(store))
            state = f"{stats.videos} videos, {stats.clips} clips"
            if missing:
                state += f"; {missing} of the files are missing (`vsr-edge prune --dry-run`)"
            if stats.reindex is not None:
                state += f"; re-index with {stats.reindex.bundle_id!r} unfinished"
            report |= {"archive_state": state, "missing": missing}
            problems += found
    except ArchiveNotFound:
        report["archive_state"] = "nothing indexed yet"
    except VsrEdgeError as error:
        report["archive_state"] = "unusable"
        problems.append(str(error))
    return report


def _golden(bundle: Bundle) -> dict[str, Any]:
    """How near what its provider computes here is to the golden vectors."""
    from vsr_edge.bundle.verify import check_golden

    return {**asdict(check_golden(bundle)), "provider": bundle.provider}


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _table(report: Mapping[str, Any]) -> Table:
    from vsr_edge.bundle.locate import bundle_title

    name, bundle_id, auto = report["bundle_name"], report["bundle_id"], report["auto_provider"]
    return pairs(
        {
            "python": report["python"],
            "platform": report["platform"],
            **report["packages"],
            "providers": ", ".join(report["providers"]) + (f"; auto takes {auto}" if auto else ""),
            "threads": str(report["threads"]),
            "bundle": f"{bundle_title(name, bundle_id)}: sound"
            if bundle_id
            else f"{name}: unusable",
            "golden vectors": "; ".join(map(_nearness, report["golden"])),
            "archive": report["archive"],
            "holds": report["archive_state"],
        }
    )


def _nearness(found: Mapping[str, Any]) -> str:
    return (
        f"{found['provider']}: cosine {found['text_cosine']:.4f} (text), "
        f"{found['image_cosine']:.4f} (image)"
    )
