"""What `--json` prints is what `docs/schema` describes, errors among it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel

from tests.e2e.command import TIMEOUT, Ended, run, succeed
from tests.other_bundle import other_bundle
from vsr_edge.documents import DOCUMENTS, schema_files
from vsr_edge.evaluation.benchmarks import write_queries
from vsr_edge.evaluation.records import Query

SCHEMAS = Path(__file__).parents[2] / "docs" / "schema"
QUERIES = (
    Query("b", "a bicycle leaning against a wall", "bikes.mp4", ((7.5, 9.7),), extra={"kind": "a"}),
    Query("e", "an elephant in a river", None, (), extra={"kind": "b"}),
)


@pytest.fixture
def work(tmp_path: Path, demo_archive: Path, demo_clips: list[Path]) -> Path:
    """A folder with an archive, clips, a file that is no video, and queries."""
    shutil.copytree(demo_archive, tmp_path / "archive")
    (tmp_path / "videos").mkdir()
    shutil.copy(demo_clips[0], tmp_path / "videos" / "copy.mp4")
    (tmp_path / "videos" / "broken.mp4").write_text("no video")
    write_queries(tmp_path / "queries.jsonl", QUERIES, "jsonl")
    return tmp_path


def described(ended: Ended, name: str) -> dict[str, Any]:
    """The one document on stdout, after it was held against its schema."""
    document: dict[str, Any] = ended.document
    assert document["schema"] == f"vsr-edge/{name}/1"
    schema = json.loads((SCHEMAS / f"{name}.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema, jsonschema.Draft202012Validator)
    # It holds nothing that is not described: what the model knows of it is all of it.
    assert model(name).model_validate(document).model_dump(by_alias=True) == document
    return document


def model(name: str) -> type[BaseModel]:
    (found,) = [
        one for one in DOCUMENTS if one.model_fields["schema_"].default.split("/")[1] == name
    ]
    return found


def test_the_schemas_are_those_of_the_models() -> None:
    written = {path.name: json.loads(path.read_text("utf-8")) for path in SCHEMAS.iterdir()}
    made = {name: json.loads(text) for name, text in schema_files().items()}
    assert written == made, "python -m vsr_edge.documents docs/schema"


def test_a_command_writes_them(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vsr_edge.documents", str(tmp_path / "schema")]
    subprocess.run(command, check=True, timeout=TIMEOUT)
    assert {path.name for path in (tmp_path / "schema").iterdir()} == set(schema_files())


def test_every_command_prints_what_is_described(work: Path) -> None:
    at = ("--archive", work / "archive", "--json")
    indexed = run("index", work / "videos", *at)
    assert indexed.code == 1
    assert described(indexed, "index")["failed"][0]["video"] == str(work / "videos" / "broken.mp4")
    for more in ((), ("--turns",), ("--one-shot",), ("--min-score", "0.99")):
        described(run("search", "a bicycle", *at, *more), "search")
    absent = described(run("search", "an elephant in a river", *at), "search")
    assert (absent["verdict"], absent["confidence"]) == ("no_match", None)
    described(succeed("videos", *at), "videos")
    described(succeed("stats", *at), "stats")
    described(succeed("remove", work / "videos" / "copy.mp4", *at), "remove")
    described(succeed("doctor", *at), "doctor")
    described(succeed("reindex", *at, "--bundle", "lite"), "reindex")
    described(succeed("demo", "--json"), "demo")


def test_every_command_about_bundles_prints_what_is_described(work: Path) -> None:
    here = {"XDG_DATA_HOME": str(work / "data")}
    described(succeed("bundle", "show", "--json"), "bundle-show")
    measured = described(succeed("bundle", "show", "--measure", "--json"), "bundle-show")
    assert [one["bundle_name"] for one in measured["measured"]] == ["lite"]
    described(succeed("bundle", "verify", "--json"), "bundle-verify")
    packed = succeed("bundle", "pack", "lite", "--out", work / "lite.tar", "--json")
    described(packed, "bundle-pack")
    pull = ("bundle", "pull", "mine", "--from", work / "lite.tar", "--json")
    pulled = described(succeed(*pull, environment=here), "bundle-pull")
    assert pulled["bundle_name"] == "mine"
    (work / "data" / "vsr-edge" / "bundles" / "broken").mkdir()
    listed = described(succeed("bundle", "list", "--json", environment=here), "bundle-list")
    assert [one["name"] for one in listed["installed"]] == ["broken", "mine"]


def test_advice_about_bundles_and_their_comparison_are_described(work: Path) -> None:
    advice = described(
        succeed("bundle", "recommend", "--hours", "0.001", "--json"), "bundle-recommend"
    )
    assert advice["encoders"][0]["fits"]
    other = other_bundle(work / "other")
    at = ("--archive", work / "archive", "--queries", work / "queries.jsonl", "--json")
    described(succeed("bundle", "compare", "lite", other, *at), "bundle-compare")


def test_every_command_that_measures_prints_what_is_described(work: Path) -> None:
    queries, saved = work / "queries.jsonl", work / "a.jsonl"
    run_it = ("eval", queries, "--archive", work / "archive", "--save", saved, "--json")
    assert set(described(succeed(*run_it), "eval")["by_kind"]) == {"a", "b"}
    described(succeed("eval", queries, "--compare", saved, saved, "--json"), "eval-compare")
    scored = succeed("eval-predictions", saved, queries, "--format", "jsonl", "--json")
    described(scored, "eval-predictions")


@pytest.mark.parametrize(
    ("arguments", "code", "kind", "said"),
    [
        (["search", "--json"], 2, "UsageError", "query"),
        (["search", "a man", "-j", "--nope"], 2, "UsageError", "--nope"),
        (["search", "a man", "--top-k", "many", "--json"], 2, "UsageError", "--top-k"),
        (["frobnicate", "--json"], 2, "UsageError", "frobnicate"),
        (["reindex", "--json"], 2, "UsageError", "bundle"),
        (["search", " ", "--json"], 2, "UsageError", "the query is empty"),
        (["remove", "nope", "--json"], 2, "UsageError", "nope"),
        (["stats", "-a", "nowhere", "-j"], 1, "ArchiveNotFound", "holds no archive"),
        (["search", "a man", "--bundle", "huge", "--json"], 1, "BundleNotFound", "huge"),
        (["eval-predictions", "a", "b", "--format", "jsonl", "--json"], 2, "UsageError", "b"),
    ],
)
def test_an_error_is_a_document_too(
    arguments: list[str], code: int, kind: str, said: str, demo_archive: Path, tmp_path: Path
) -> None:
    environment = {"VSR_EDGE_ARCHIVE": str(demo_archive)}
    ended = run(*arguments, environment=environment, cwd=tmp_path)
    document = described(ended, "error")
    assert (ended.code, document["exit_code"], document["kind"]) == (code, code, kind)
    # Some versions of click name a missing argument in capitals.
    assert said.lower() in document["message"].lower()
    assert said.lower() in ended.err.lower()
    without = [word for word in arguments if word not in ("--json", "-j")]
    assert run(*without, environment=environment, cwd=tmp_path).out == ""


def test_there_is_one_document_even_if_something_was_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = run("doctor", "--archive", tmp_path / "file", "--json")
    assert ended.code == 1
    assert "is a file" in described(ended, "doctor")["problems"][0]
