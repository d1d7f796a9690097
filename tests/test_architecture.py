"""The rules of the layout: who may import whom, what the runtime never imports, what is where."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import vsr_edge

PACKAGE = Path(vsr_edge.__file__).parent
PROJECT = PACKAGE.parent

# Lower rooms first; a room may import itself and those before it.
ROOMS = (
    {"errors", "TELEMETRY_OFF_IN_TIME"},
    {"types"},
    {"answer"},
    {"query"},
    {"times"},
    {"config"},
    {"media"},
    {"runtime"},
    {"bundle"},
    {"making"},
    {"store"},
    {"ingest", "search"},
    {"evaluation"},
    {"archive"},
    {"backup"},
    {"hits"},
    {"watch"},
    {"document_parts"},
    {"document_backups"},
    {"document_bundles"},
    {"document_hits"},
    {"document_receipts"},
    {"document_served"},
    {"documents"},
    {"server"},
    {"assistant"},
    {"cli"},
    {"__main__"},
)
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
ONLY_IN = {
    "av": {"media"},
    "charset_normalizer": {"media"},
    "faster_whisper": {"runtime"},
    "pysubs2": {"media"},
    "rapidocr": {"runtime"},
    "onnx": {"making"},
    "onnxruntime": {"runtime"},
    "numkong": {"store"},  # what usearch compares by
    "psycopg": {"store"},
    "psycopg_pool": {"store"},
    "sqlite3": {"store"},
    "sqlite_utils": {"store"},
    "typer": {"cli"},
    "rich": {"cli"},
    "PIL": {"hits"},
    "matplotlib": {"evaluation"},
    "argon2": {"server"},
    "fastapi": {"server"},
    "jinja2": {"evaluation", "server"},
    "mcp": {"assistant"},
    "prometheus_client": {"server"},
    "starlette": {"server"},
    "uvicorn": {"server"},
    "opentimelineio": {"hits"},
    "huggingface_hub": {"bundle"},
    "tokenizers": {"runtime", "bundle"},
    "ray": {"ingest"},
    "watchfiles": {"watch"},
    "pydantic": {
        *("bundle", "document_parts", "document_backups", "document_bundles", "document_hits"),
        *("document_receipts", "document_served", "documents", "server", "assistant"),
    },
}
NEVER = {"torch", "transformers", "optimum", "models", "export", "tests"}
# The command line is for people; of it the export uses the look of its help, and the demo's clips.
OF_THE_COMMAND_LINE = {"vsr_edge.cli.demo", "vsr_edge.cli.options"}
# Training reads and measures as the runtime does; it indexes nothing and speaks to no user.
OPEN_TO_TRAINING = {
    *(
        "types",
        "answer",
        "query",
        "times",
        "errors",
        "config",
        "media",
        "runtime",
        "bundle",
        "making",
        "store",
        "search",
        "evaluation",
    ),
}
MAX_LINES = 400


@cache
def imports_of(path: Path) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


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


def test_the_rooms_are_those_that_are_there() -> None:
    assert LEVEL.keys() - {"TELEMETRY_OFF_IN_TIME"} == {room_of(path) for path in SOURCES}
    for library, rooms in ONLY_IN.items():
        users = {
            room_of(path)
            for path in SOURCES
            if any(name.split(".")[0] == library for name in imports_of(path))
        }
        assert users == rooms, library


def test_the_order_of_the_rooms_is_written_down() -> None:
    rooms = (" | ".join(sorted(rooms - {"TELEMETRY_OFF_IN_TIME"})) for rooms in ROOMS)
    written = (PROJECT / "docs" / "development.md").read_text("utf-8")
    assert " ← ".join(rooms) in " ".join(written.split())
    tree = (PROJECT / "README.md").read_text("utf-8").split("## The tree\n")[1].split("\n## ")[0]
    for room in LEVEL.keys() - {"TELEMETRY_OFF_IN_TIME", "__main__"}:
        name = f"{room}/" if (PACKAGE / room).is_dir() else f"{room}.py"
        assert f" {name} " in tree, f"{name} is not in the README's tree"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_libraries_stay_in_their_rooms(path: Path) -> None:
    for name in imports_of(path):
        top = name.split(".")[0]
        assert top not in NEVER, f"the runtime must not import {name}: {path}"
        if top in ONLY_IN:
            assert room_of(path) in ONLY_IN[top], f"{path} imports {name}"


def test_one_file_knows_ray() -> None:
    """And the loop of a run none of those that do its work."""
    users = {path.name for path in SOURCES if {"ray"} & {n.split(".")[0] for n in imports_of(path)}}
    assert users == {"ray_pool.py"}
    by_name = {f"vsr_edge.ingest.{name}" for name in ("processes", "ray_pool", "spread", "worker")}
    run = project_imports(PACKAGE / "ingest" / "run.py", modules_of("vsr_edge"))
    assert "vsr_edge.ingest.executor" in run
    assert not run & by_name


def modules_of(package: str) -> dict[str, Path]:
    """By dotted name, without the first file of `vsr_edge`, which runs before any other."""
    found = {}
    for path in (PROJECT / package).rglob("*.py"):
        parts = path.relative_to(PROJECT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {name: path for name, path in found.items() if name != "vsr_edge"}


def project_imports(path: Path, modules: Iterable[str]) -> set[str]:
    """Which of these modules a file imports, wherever in it: also for types alone, or late."""
    found = set()
    for name in imports_of(path):
        # `from a.b import c` imports the module a.b.c, or a name of a.b.
        found |= {name, name.rpartition(".")[0]} & set(modules)
    return found


@pytest.mark.parametrize("package", ["vsr_edge", "export", "models"])
def test_no_file_imports_itself_by_way_of_others(package: str) -> None:
    modules = modules_of(package)
    assert len(modules) > 10
    graph = {name: project_imports(path, modules) - {name} for name, path in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" ← ".join(error.args[1]))


def test_a_circle_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text("def f():\n    from export.graphs import g\n", "utf-8")
    assert project_imports(tmp_path / "late.py", {"export.graphs", "export.heads"}) == {
        "export.graphs"
    }
    assert {"export.pipeline", "export.graphs"} <= set(modules_of("export"))
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"c"}, "c": {"a"}}).prepare()


def is_script(path: Path) -> bool:
    return 'if __name__ == "__main__"' in path.read_text("utf-8")


def test_training_imports_the_package_and_never_the_export() -> None:
    modules = modules_of("models")
    assert sum(map(is_script, modules.values())) > 3
    for path in modules.values():
        for name in imports_of(path):
            assert name.split(".")[0] not in {"export", "tests"}, f"{path} imports {name}"
            if name.startswith("vsr_edge."):
                assert name.split(".")[1] in OPEN_TO_TRAINING, f"{path} imports {name}"


def test_export_imports_networks_but_no_stage_of_training() -> None:
    """What is exported is defined apart from what trains it."""
    models = modules_of("models")
    used = set()
    for path in modules_of("export").values():
        for name in imports_of(path):
            assert not name.startswith("tests"), f"{path} imports {name}"
            if name.startswith("vsr_edge.cli"):
                assert name.rpartition(".")[0] in OF_THE_COMMAND_LINE, f"{path} imports {name}"
        used |= project_imports(path, models)
    assert {"models.encoder", "models.grounding", "models.refiner"} <= used
    assert [name for name in used if is_script(models[name])] == []


def test_no_file_name_stands_twice_in_the_package() -> None:
    names = Counter(path.name for path in SOURCES if path.name != "__init__.py")
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("package", ["vsr_edge", "export", "models", "tests"])
def test_no_file_holds_two_things(package: str) -> None:
    lengths = {
        str(path.relative_to(PROJECT)): len(path.read_text("utf-8").splitlines())
        for path in (PROJECT / package).rglob("*.py")
    }
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}


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
