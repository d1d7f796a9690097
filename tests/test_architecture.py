"""The rules of the layout: who may import whom, and what the runtime never imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vsr_edge

PACKAGE = Path(vsr_edge.__file__).parent
PROJECT = PACKAGE.parent

# Lower rooms first; a room may import itself and those before it.
ROOMS = (
    {"errors", "TELEMETRY_OFF_IN_TIME"},
    {"types"},
    {"config"},
    {"media"},
    {"runtime"},
    {"bundle"},
    {"store"},
    {"ingest", "search"},
    {"evaluation"},
    {"archive"},
    {"document_parts"},
    {"documents"},
    {"cli"},
    {"__main__"},
)
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
ONLY_IN = {
    "av": {"media"},
    "onnxruntime": {"runtime"},
    "usearch": {"store"},
    "sqlite3": {"store"},
    "matplotlib": {"evaluation"},
    "jinja2": {"evaluation"},
    "huggingface_hub": {"bundle"},
    "pydantic": {"document_parts", "documents"},
}
NEVER = {"torch", "transformers", "optimum", "models", "export"}


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_rooms_import_only_lower_rooms(path: Path) -> None:
    room = room_of(path)
    assert room in LEVEL, f"{path} is in no room of the layout"
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] != "vsr_edge":
            continue
        other = parts[1]
        lower = other in LEVEL and LEVEL[other] < LEVEL[room]
        assert other == room or lower, f"{path} ({room}) imports {name} ({other})"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_libraries_stay_in_their_rooms(path: Path) -> None:
    for name in imports_of(path):
        top = name.split(".")[0]
        assert top not in NEVER, f"the runtime must not import {name}: {path}"
        if top in ONLY_IN:
            assert room_of(path) in ONLY_IN[top], f"{path} imports {name}"


@pytest.mark.parametrize("folder", ["models", "export"])
def test_training_and_export_import_in_one_direction(folder: str) -> None:
    for path in (PROJECT / folder).rglob("*.py"):
        tops = {name.split(".")[0] for name in imports_of(path)}
        if folder == "models":
            assert "export" not in tops, f"{path} imports export"


@pytest.mark.parametrize("package", ["export", "models", "tests"])
def test_no_package_imports_onnxruntime_before_its_telemetry_is_off(package: str) -> None:
    """`vsr_edge` switches it off when it is imported, and a package's first file runs first."""
    first = ast.parse((PROJECT / package / "__init__.py").read_text("utf-8"))
    imports = [node for node in first.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [alias.name for node in imports for alias in node.names]
    assert "vsr_edge" in names
    assert not any(name.split(".")[0] in {"onnxruntime", "optimum"} for name in names)


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    heavy = [
        *("torch", "transformers", "optimum", "onnxruntime", "av", "usearch", "numpy"),
        "pydantic",
    ]
    code = f"import sys, vsr_edge.cli.app; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_public_names_exist_and_are_sorted() -> None:
    assert vsr_edge.__all__ == sorted(vsr_edge.__all__)
    for name in vsr_edge.__all__:
        assert getattr(vsr_edge, name) is not None


def test_every_error_is_drawn_in_the_docstring() -> None:
    from vsr_edge import errors

    classes = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.VsrEdgeError)
    ]
    assert len(classes) > 10
    for error in classes:
        assert error.__name__ in (errors.__doc__ or "")
