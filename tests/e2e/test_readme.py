"""What the README and the pages of docs/ say to type works as it is written there.

Commands stand in blocks marked ``sh``. Those of `vsr-edge` are run, a page's in their order, in a
folder with footage, queries and a checkpoint, unless a capital word or an ellipsis stands for what
only the reader has. Those that are not run, in blocks and in sentences, must exist with every
option that they name.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from functools import cache
from html import unescape
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e import test_jobs
from tests.e2e.command import TIMEOUT, Ended, run, succeed

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
PAGES = (PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md")))
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
MODEL_CARD = PROJECT / "vsr_edge" / "bundle" / "lite" / "MODEL_CARD.md"
EVERY_TEXT = pytest.mark.parametrize("page", [*PAGES, MODEL_CARD], ids=lambda page: page.stem)
SETTINGS = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What only the reader has: QUERIES, BENCHMARK/videos, …
PLACEHOLDER = re.compile(r"\b[A-Z][A-Z0-9_]{2,}\b(?!=)|…")
# Programs of others, whose own options are not looked at.
OTHERS = (".", ".ci/run", "cp", "mypy", "python3", "ray", "ruff")
COMMANDS = (
    ["vsr_edge"],
    *(
        ["vsr_edge", name]
        for name in (
            "index",
            "watch",
            "search",
            "open",
            "similar",
            "cut",
            "videos",
            "tag",
            "eval",
            "reindex",
            "calibrate",
            "prune",
            "remove",
            "serve",
            "backup",
            "restore",
            "migrate",
            "mcp",
            "stats",
        )
    ),
    *(
        ["vsr_edge", "bundle", name]
        for name in ("import", "pack", "pull", "show", "compare", "recommend")
    ),
    *(["vsr_edge", "export", name] for name in ("encoder", "all")),
    ["models.train_encoder"],
)
WITH_TORCH = importlib.util.find_spec("torch") is not None
NEEDS_TORCH = pytest.mark.skipif(not WITH_TORCH, reason="asks programs that need PyTorch")


def text(page: Path) -> str:
    return page.read_text("utf-8")


def blocks(page: Path, language: str) -> list[str]:
    return [block for marked, block in BLOCK.findall(text(page)) if marked == language]


def spans(page: Path) -> list[str]:
    """Code within sentences."""
    return re.findall(r"`([^`\n]+)`", BLOCK.sub("", text(page)))


def commands(page: Path) -> list[list[str]]:
    """The words of each command in the page's blocks."""
    lines = "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    typed = [shlex.split(one, comments=True) for line in lines for one in line.split(" && ")]
    return [words for words in typed if words]


def is_run(words: list[str]) -> bool:
    # tests/e2e/test_demo.py runs the demo; what is imported by its name comes from a hub.
    ours = words[0] == "vsr-edge" and words[1] != "demo"
    fetched = words[1:3] == ["bundle", "import"] and not words[3].startswith("./")
    return ours and not fetched and PLACEHOLDER.search(" ".join(words)) is None


@cache
def options_of(*program: str) -> set[str]:
    if program[0] == "vsr_edge":
        return named_in(succeed(*program[1:], "--help", environment={"COLUMNS": "200"}).out)
    # As `python -m` does it, but in this process: each of those would import PyTorch.
    with (
        redirect_stdout(io.StringIO()) as page,
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", RuntimeWarning)  # it was imported before
        patch.setattr(sys, "argv", [*program, "--help"])
        patch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(program[0], run_name="__main__", alter_sys=True)
    assert not ended.value.code, program
    return named_in(page.getvalue())


def named_in(page: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", page))


def check_options(words: Sequence[str], *program: str) -> None:
    for word in words:
        if word.startswith("-"):
            assert word in options_of(*program), f"{' '.join(program)} has no option {word}"


def check(words: list[str]) -> None:
    """What a command names is there."""
    while re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    program, named = words[0], words[1:]
    if program == "vsr-edge":
        depth = next((n for n, word in enumerate(named) if word.startswith("-")), len(named))
        depth = min(depth, 2 if named[0] in {"bundle", "export", "saved", "serve"} else 1)
        check_options(named[depth:], "vsr_edge", *named[:depth])
    elif program == "python" and named[:2] == ["-m", "models.data"]:
        check_options(named[3:], *named[1:3])
    elif program == "python" and named[0] == "-m":
        assert importlib.util.find_spec(named[1]) is not None, words
        if named[1].startswith("models."):
            check_options(named[2:], named[1])
    elif program == "python":
        assert (PROJECT / named[0]).is_file(), words
    elif program == "pip":
        extras = set(re.findall(r"(?:\.|vsr-edge)\[(\w+)\]", " ".join(named)))
        assert extras <= set(SETTINGS["project"]["optional-dependencies"]), words
    elif program == "pytest":
        markers = " ".join(SETTINGS["tool"]["pytest"]["ini_options"]["markers"])
        for option, value in pairwise(named):
            if option == "-m":
                asked = set(value.split()) - {"not", "and"}
                assert all(f"{marker}: " in markers for marker in asked), words
        assert all((PROJECT / word).exists() for word in named if word.startswith("tests/")), words
    else:
        assert program in OTHERS, words


@pytest.fixture
def folder(tmp_path: Path, demo_clips: list[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the pages take for granted: footage that says something, a photo, queries with known
    answers.
    """
    (tmp_path / "videos").mkdir()
    for clip in demo_clips:
        shutil.copy(clip, tmp_path / "videos")
    said = "1\n00:00:01,000 --> 00:00:03,000\nThe fire door is open, and the alarm rings.\n"
    (tmp_path / "videos" / "bikes.srt").write_text(said, "utf-8")
    Image.new("RGB", (64, 48)).save(tmp_path / "photo.jpg")
    (queries,) = blocks(DOCS / "usage.md", "jsonl")
    (tmp_path / "queries.jsonl").write_text(queries, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.setenv("VSR_EDGE_ARCHIVE", str(tmp_path / "archive"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


@pytest.mark.timeout(900)
@EVERY_PAGE
def test_commands_work_as_they_are_written(page: Path, folder: Path) -> None:
    jobs = [words for job in test_jobs.jobs() for words in job] if page.name == "README.md" else []
    typed = [words for words in commands(page) if is_run(words) and words not in jobs]
    if not WITH_TORCH:
        made = {"./checkpoint", "./clip-onnx", "./my-bundle"}
        typed = [words for words in typed if not made & set(words)]
    elif any("./clip-onnx" in words for words in typed):
        from tests.making.published_models import publish_apart

        publish_apart("clip", folder / "clip-onnx")
    elif any("./checkpoint" in words for words in typed):
        from tests.export.random_models import save_random_model

        save_random_model("clip", folder / "checkpoint")
    ended: dict[str, Ended] = {}
    for words in typed:
        one = ended[" ".join(words[1:])] = run(*words[1:])
        # What an encoder of random weights finds may be likely enough, or not.
        guesses = words[1] == "search" and "./my-bundle" in words
        assert one.code in ({0, 3} if guesses else {0}), (words, one)
    if page.name == "README.md":
        assert len(ended) == (9 if WITH_TORCH else 6)
        assert (folder / "report.html").is_file()
        (found,) = (one for command, one in ended.items() if command.endswith("--json"))
        assert found.document["moments"][0]["video"].endswith("bikes.mp4")
    if page.name in {"export.md", "import.md"} and WITH_TORCH:
        said = {command.split()[0]: one.out + one.err for command, one in ended.items()}
        assert "3 indexed" in said["index"]
        assert "unverified" not in said["search"]
        assert "the universal ones verify" in said["bundle"]


@NEEDS_TORCH
@EVERY_PAGE
def test_commands_that_are_not_run_exist_with_their_options(page: Path) -> None:
    for words in commands(page):
        if not is_run(words):
            check([word for word in words if word != "…"])


@NEEDS_TORCH
@EVERY_PAGE
def test_commands_within_sentences_exist_with_their_options(page: Path) -> None:
    for span in spans(page):
        program = span.split()[0]
        if " " in span and program in {"vsr-edge", "pip", "pytest", "python"}:
            words = [word for word in shlex.split(span) if word != "…"]
            check(words if words != ["python", "-m", "models.…"] else ["python", "-m", "models"])
            continue
        for option in re.findall(r"(?<![\w-])--[a-z-]+", span):
            assert any(option in options_of(*command) for command in COMMANDS), span


@EVERY_PAGE
def test_programs_run(page: Path, folder: Path) -> None:
    for program in blocks(page, "python"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert "bikes.mp4" in done.stdout


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of the headings."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", text(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@EVERY_TEXT
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text(page)):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.is_relative_to(PROJECT), target
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


@EVERY_TEXT
def test_files_that_are_named_are_there(page: Path) -> None:
    """`folder/file.py` in a sentence is a path from the root of the project."""
    for span in spans(page):
        if re.fullmatch(r"(?:docs|export|models|tests|vsr_edge)/[\w/.-]+", span):
            assert (PROJECT / span).exists(), span


def names_defined(file: Path) -> set[str]:
    """Functions, classes, and methods as `Class.method`."""
    found = set()
    for node in ast.parse(text(file)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        for part in getattr(node, "body", ()):
            if isinstance(node, ast.ClassDef) and isinstance(part, ast.FunctionDef):
                found.add(f"{node.name}.{part.name}")
    return found


def test_every_hop_of_the_walks_is_there() -> None:
    """`media/probe.py:probe` is a file of the package and a function of it."""
    hops = re.findall(r"`([\w/]+\.py):([\w.]+)`", text(DOCS / "how-it-works.md"))
    assert len(hops) > 30
    for name, function in hops:
        places = [folder / name for folder in (PROJECT / "vsr_edge", PROJECT)]
        (file,) = (place for place in places if place.is_file())
        assert function in names_defined(file), f"{name}:{function}"


def test_the_picture_is_of_a_real_search(tmp_path: Path) -> None:
    made = tmp_path / "made.svg"
    command = [sys.executable, str(DOCS / "make_search_svg.py"), str(made)]
    subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(PROJECT)}, check=True, timeout=TIMEOUT
    )

    def words(file: Path) -> list[str]:
        shown = " ".join(re.findall(r">([^<>]+)</text>", text(file)))
        # Scores and times differ a little from one processor to the next.
        return re.sub(r"\d+", "0", unescape(shown)).split()

    assert "bikes.mp0" in words(DOCS / "search.svg")
    assert words(made) == words(DOCS / "search.svg")


@EVERY_TEXT
def test_no_figure_is_left_to_be_filled_in(page: Path) -> None:
    sentences = BLOCK.sub("", text(page))
    assert not re.findall(r"\b(?:[A-Z]{3,}\d*|X+) (?:ms|s|MB|%|×)(?!\w)", sentences)


def test_the_readme_is_read_in_a_minute_or_two() -> None:
    assert len(text(PROJECT / "README.md").splitlines()) <= 165
