"""The demo on real footage, and the bundle it runs on."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.e2e.command import COMMAND, Ended, run, succeed
from tests.manifests import edit_manifest
from vsr_edge.bundle.locate import find_bundle
from vsr_edge.bundle.manifest import read_manifest
from vsr_edge.cli.demo import QUERIES
from vsr_edge.config import load_settings
from vsr_edge.types import Seconds

# The scene with a bicycle at a wall, the last one of its clip.
BICYCLE_SCENE = (7.0, 10.0)


@pytest.fixture(scope="module")
def demo() -> Ended:
    return succeed("demo", "--json")


def best(demo: Ended, query: str) -> dict[str, Any]:
    (search,) = [one for one in demo.document["searches"] if one["query"] == query]
    first: dict[str, Any] = search["moments"][0]
    return first


def overlap(one: tuple[Seconds, Seconds], other: tuple[Seconds, Seconds]) -> Seconds:
    return min(one[1], other[1]) - max(one[0], other[0])


def test_it_indexes_the_packaged_clips_and_searches_them(
    demo: Ended, demo_clips: list[Path]
) -> None:
    document = demo.document
    assert document.keys() == {"schema", "index", "searches"}
    assert document["index"]["indexed"] == len(demo_clips)
    assert [search["query"] for search in document["searches"]] == list(QUERIES)
    for search in document["searches"]:
        assert 0 < len(search["moments"]) <= 3
        assert {moment["video"] for moment in search["moments"]} <= set(map(str, demo_clips))
    assert "3 indexed" in demo.err


def test_a_bicycle_at_a_wall_is_found_in_its_scene(demo: Ended) -> None:
    moment = best(demo, "a bicycle leaning against a wall")
    assert Path(moment["video"]).name == "bikes.mp4"
    assert overlap((moment["start"], moment["end"]), BICYCLE_SCENE) > 0
    assert moment["start"] >= BICYCLE_SCENE[0] - 1
    assert moment["end"] <= BICYCLE_SCENE[1] + 1


def test_a_rabbit_on_grass_is_found(demo: Ended) -> None:
    assert Path(best(demo, "a rabbit standing on grass")["video"]).name == "bigbuckbunny.mp4"


def test_a_man_in_a_car_is_found(demo: Ended) -> None:
    moment = best(demo, "a man with a bow tie in a car")
    assert Path(moment["video"]).name == "carphone_pristine.mp4"


def test_it_takes_a_folder_of_ones_own_and_keeps_the_archive_where_told(
    demo_clips: list[Path], tmp_path: Path
) -> None:
    shutil.copy(demo_clips[0], tmp_path / "mine.mp4")
    ended = succeed("demo", tmp_path, "--archive", tmp_path / "archive")
    assert ended.out.count("mine.mp4") >= len(QUERIES)
    assert f'vsr-edge search "{QUERIES[0]}"' in ended.err
    assert succeed("stats", "--archive", tmp_path / "archive", "--json").document["videos"] == 1


def test_a_folder_without_videos_finds_nothing(tmp_path: Path) -> None:
    ended = run("demo", tmp_path, "--json")
    assert ended.code == 3
    assert ended.document["searches"] == []
    assert "no video could be indexed" in ended.err


def test_the_bundle_is_sound_on_this_machine() -> None:
    name = load_settings().bundle
    ended = succeed("bundle", "verify", name, "--json")
    assert ended.document["ok"] is True
    assert ended.document["text_cosine"] > 0.98
    assert ended.document["image_cosine"] > 0.98
    assert f"{name} ({ended.document['id']}): sound" in ended.err


def test_the_bundle_shows_its_manifest() -> None:
    name = load_settings().bundle
    shown = succeed("bundle", "show", name, "--json").document
    manifest = json.loads((find_bundle(name) / "manifest.json").read_text("utf-8"))
    assert shown.pop("schema") == "vsr-edge/bundle-show/1"
    assert shown.pop("folder") == str(find_bundle(name))
    assert shown.pop("bundle_name") == name
    assert shown.pop("measured") == []
    manifest.pop("golden")
    assert shown == manifest
    table = succeed("bundle", "show", name).out
    assert f"{name} ({manifest['id']})" in table
    # Nothing of it is shown as Python writes it.
    assert not set("{}'") & set(table)


def test_a_bundle_is_called_by_one_name_everywhere(demo_archive: Path) -> None:
    at, manifest = ("--archive", demo_archive), read_manifest(find_bundle("lite"))
    called = f"lite ({manifest.bundle_id})"
    assert called in succeed("bundle", "show").out
    assert called in succeed("bundle", "verify").err
    assert called in succeed("doctor", *at).out
    assert f"lite ({manifest.encoders_id})" in succeed("stats", *at).out
    assert called in succeed("search", "a man", "--explain", *at).err


def test_an_altered_bundle_is_refused_and_the_file_named(tmp_path: Path) -> None:
    folder = shutil.copytree(find_bundle(load_settings().bundle), tmp_path / "bundle")
    graph = folder / "image.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    ended = run("bundle", "verify", folder)
    assert ended.code == 1
    assert f"{graph} " in ended.err
    assert "altered" in ended.err
    ended = run("index", tmp_path, "--bundle", folder, "--archive", tmp_path / "archive")
    assert ended.code == 1
    assert "altered" in ended.err
    assert not (tmp_path / "archive").exists()


def test_an_archive_of_another_bundle_is_refused_with_what_to_do(
    demo_archive: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(find_bundle(load_settings().bundle), tmp_path / "bundle")
    encoded_with = read_manifest(folder).encoders_id
    edit_manifest(folder, lambda manifest: manifest.update(encoders="another-one"))
    for command in (["search", "a man"], ["index", str(tmp_path)], ["doctor"]):
        environment = {"VSR_EDGE_BUNDLE": str(folder)}
        ended = run(*command, "--archive", demo_archive, environment=environment)
        assert ended.code == 1
        assert f"was indexed with the bundle {encoded_with!r}" in ended.err
        assert "use that bundle, or change the archive over to this one" in ended.err
        assert "`vsr-edge reindex --bundle BUNDLE`" in ended.err
    # What needs no bundle goes on.
    assert len(succeed("videos", "--archive", demo_archive, "--json").document["videos"]) == 3


def test_what_is_no_bundle_is_named(tmp_path: Path) -> None:
    ended = run("bundle", "show", tmp_path)
    assert (ended.code, ended.out) == (1, "")
    assert "has no manifest.json" in ended.err


def test_the_demo_runs_on_the_best_provider_and_says_which(tmp_path: Path) -> None:
    ended = succeed("demo", "--provider", "auto", "--json")
    assert len(ended.document["searches"]) == 3
    assert "provider: " in ended.err
    refused = run("demo", "--provider", "cuda:device_id=0", "--archive", tmp_path / "archive")
    if refused.code:  # where there is no such GPU
        assert refused.code == 1
        assert "CUDAExecutionProvider" in refused.err
        assert "--provider cpu" in refused.err


def test_the_demo_serves_its_page_until_it_is_told_to_end(tmp_path: Path) -> None:
    said, archive = tmp_path / "said", tmp_path / "archive"
    with said.open("wb") as file:
        process = subprocess.Popen(
            [*COMMAND, "demo", "--page", "--port", "0", "--archive", archive],
            stdout=subprocess.DEVNULL,
            stderr=file,
        )
    try:
        while (found := re.search(r"http://127\.0\.0\.1:\d+", said.read_text("utf-8"))) is None:
            assert process.poll() is None, said.read_text("utf-8")
            time.sleep(0.1)
        with urlopen(found[0]) as page:
            assert b'<input id="query"' in page.read()
        with urlopen(f"{found[0]}/v1/videos") as listed:
            assert len(json.load(listed)["videos"]) == 3
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in said.read_text("utf-8")


def test_without_its_extra_the_page_is_not_begun(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'fastapi' else find(name, *rest)\n",
        "utf-8",
    )
    project = Path(__file__).parents[2]
    path = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{project}"}
    ended = run("demo", "--page", "--archive", tmp_path / "archive", environment=path)
    assert ended.code == 2
    assert "pip install 'vsr-edge[serve]'" in ended.err
    assert not (tmp_path / "archive").exists()
