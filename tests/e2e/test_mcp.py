"""`vsr-edge mcp`, asked by the client of the official SDK over stdio."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.e2e.command import COMMAND, TIMEOUT, run
from vsr_edge import open_archive

anyio = pytest.importorskip("anyio")
mcp = pytest.importorskip("mcp", reason="pip install 'vsr-edge[mcp]'")

Session = Any


@asynccontextmanager
async def opened(archive: Path, *more: str | Path) -> AsyncIterator[Session]:
    arguments = [*COMMAND[1:], "mcp", "--archive", str(archive), *map(str, more)]
    how = mcp.StdioServerParameters(command=COMMAND[0], args=arguments, env=dict(os.environ))
    async with (
        mcp.stdio_client(how) as (reading, writing),
        mcp.ClientSession(reading, writing) as s,
    ):
        yield s


def asked(work: Callable[[Session], Awaitable[None]], archive: Path, *more: str | Path) -> None:
    async def whole() -> None:
        with anyio.fail_after(TIMEOUT):
            async with opened(archive, *more) as session:
                await session.initialize()
                await work(session)

    anyio.run(whole)


def said(result: Any) -> str:
    return " ".join(one.text for one in result.content if one.type == "text")


def test_an_assistant_searches_looks_and_cuts(demo_archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "clips"

    async def work(session: Session) -> None:
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        assert set(tools) == {"search_video", "get_frames", "cut_clip"}
        for tool in tools.values():
            assert tool.description
        wanted = tools["search_video"].input_schema
        assert wanted["required"] == ["query"]
        assert wanted["properties"]["top_k"]["maximum"] == 50

        found = await session.call_tool(
            "search_video", {"query": "a bicycle leaning against a wall", "top_k": 2}
        )
        assert not found.is_error, said(found)
        answer = found.structured_content
        assert json.loads(said(found)) == answer
        assert answer["verdict"] == "match"
        best = answer["moments"][0]
        assert best["video"].endswith("bikes.mp4")
        with open_archive(demo_archive) as archive:
            same = archive.search("a bicycle leaning against a wall", top_k=2)
        moments = [(str(m.video), round(m.start, 3), round(m.end, 3)) for m in same.moments]
        assert [(m["video"], m["start"], m["end"]) for m in answer["moments"]] == moments

        times = [best["best"], 1e6]
        for named in (best["video_id"], str(best["video_id"]), best["video"]):
            looked = await session.call_tool("get_frames", {"video": named, "times": times})
            assert not looked.is_error, said(looked)
            pictures = [one for one in looked.content if one.type == "image"]
            assert [one.mime_type for one in pictures] == ["image/jpeg"] * 2
            first = Image.open(BytesIO(base64.b64decode(pictures[0].data)))
            assert min(first.size) > 100
        assert f"at {best['best']:.3f} s" in said(looked)

        span = {"video": best["video_id"], "start": best["start"], "end": best["end"]}
        paths = []
        for _ in range(2):  # the same again: nothing is overwritten
            cut = await session.call_tool("cut_clip", span)
            assert not cut.is_error, said(cut)
            paths.append(Path(cut.structured_content["path"]))
        assert {path.parent for path in paths} == {out}
        assert len(set(paths)) == 2
        assert all(path.stat().st_size > 1000 for path in paths)

    asked(work, demo_archive, "--out", out)


BAD = [
    ("search_video", {}, "query"),
    ("search_video", {"query": ""}, "query"),
    ("search_video", {"query": 7}, "query"),
    ("search_video", {"query": "a cat", "top_k": 0}, "top_k"),
    ("search_video", {"query": "a cat", "top_k": 10**9}, "top_k"),
    ("search_video", {"query": "a" * 5000}, "query"),
    ("search_video", {"query": "a cat", "after": "the day when"}, "after"),
    ("search_video", {"query": "a cat", "videos": ["no-such-video.mp4"]}, "no-such-video.mp4"),
    ("get_frames", {"video": 1, "times": []}, "times"),
    ("get_frames", {"video": 1, "times": [-1]}, "times"),
    ("get_frames", {"video": 1, "times": ["NaN"]}, "times"),
    ("get_frames", {"video": 1, "times": [0] * 100}, "times"),
    ("get_frames", {"video": 999, "times": [0]}, "no video"),
    ("get_frames", {"video": "9" * 30, "times": [0]}, "no video"),
    ("get_frames", {"video": -1, "times": [0]}, "no video"),
    ("get_frames", {"video": "*", "times": [0]}, "3 videos"),
    ("get_frames", {"video": "/etc/passwd", "times": [0]}, "passwd"),
    ("get_frames", {"video": "../../etc/passwd", "times": [0]}, "passwd"),
    ("get_frames", {"video": None, "times": [0]}, "video"),
    ("cut_clip", {"video": 1, "start": 0, "end": 1}, "cut_clip"),  # no folder was named
    ("no_such_tool", {}, "no_such_tool"),
]


def test_what_cannot_be_is_a_tools_error_and_the_next_is_answered(demo_archive: Path) -> None:
    async def work(session: Session) -> None:
        for name, arguments, word in BAD:
            result = await session.call_tool(name, arguments)
            assert result.is_error, (name, arguments)
            assert word in said(result), (name, arguments, said(result))
            assert "Traceback" not in said(result)
        assert not (await session.call_tool("search_video", {"query": "a cat"})).is_error
        listed = (await session.list_tools()).tools
        assert {tool.name for tool in listed} == {"search_video", "get_frames"}

    asked(work, demo_archive)


def test_cuts_lie_in_the_folder_that_was_named_and_are_bounded(
    demo_archive: Path, tmp_path: Path
) -> None:
    out = tmp_path / "clips"

    async def work(session: Session) -> None:
        for span in ((5, 5), (5, 4), (0, 301), (1e8, 1e8 + 1)):
            cut = await session.call_tool(
                "cut_clip", {"video": 1, "start": span[0], "end": span[1]}
            )
            assert cut.is_error, span
        tried = {"video": 1, "start": 0, "end": 1, "out": str(tmp_path), "path": "/x.mp4"}
        await session.call_tool("cut_clip", tried)

    asked(work, demo_archive, "--out", out)
    assert {path.name for path in tmp_path.iterdir()} <= {"clips"}


def test_a_video_that_is_gone_or_changed_is_not_shown(
    tmp_path: Path, demo_clips: list[Path]
) -> None:
    video = tmp_path / "bikes.mp4"
    video.write_bytes(demo_clips[0].read_bytes())
    with open_archive(tmp_path / "archive") as archive:
        archive.index([video])
    video.write_bytes(demo_clips[1].read_bytes())

    async def work(session: Session) -> None:
        changed = await session.call_tool("get_frames", {"video": str(video), "times": [0]})
        assert changed.is_error
        assert "changed" in said(changed)
        video.unlink()
        cut = await session.call_tool("cut_clip", {"video": str(video), "start": 0, "end": 1})
        assert cut.is_error
        assert "bikes.mp4" in said(cut)

    asked(work, tmp_path / "archive", "--out", tmp_path / "clips")


def test_stdout_has_the_protocol_alone(demo_archive: Path) -> None:
    first = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
    then: list[dict[str, Any]] = [
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {
            "jsonrpc": "2.0",
            "id": 2,
            "method": "tools/call",
            "params": {"name": "search_video", "arguments": {"query": "a bicycle"}},
        },
    ]
    with subprocess.Popen(
        [*COMMAND, "mcp", "--archive", demo_archive],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        lines = []
        for sent in (first, *then):
            process.stdin.write(json.dumps(sent) + "\n")
            process.stdin.flush()
            if "id" in sent:
                lines.append(json.loads(process.stdout.readline()))
        process.stdin.close()
        rest = process.stdout.read()
        assert process.wait(TIMEOUT) == 0
    assert [line["id"] for line in lines] == [1, 2]
    assert all(line["jsonrpc"] == "2.0" for line in lines)
    assert lines[0]["result"]["serverInfo"]["name"] == "vsr-edge"
    assert rest == ""


def test_what_cannot_start_says_why(tmp_path: Path, demo_archive: Path) -> None:
    none = run("mcp", "--archive", tmp_path / "none")
    assert (none.code, none.out) == (1, "")
    assert "holds no archive yet" in none.err
    (tmp_path / "file").touch()
    file = run("mcp", "--archive", demo_archive, "--out", tmp_path / "file")
    assert (file.code, file.out) == (2, "")
    assert "is a file" in file.err


def test_where_the_extra_is_missing_it_is_named(demo_archive: Path) -> None:
    hidden = (
        "import sys; from importlib.machinery import PathFinder; found = PathFinder.find_spec;"
        "PathFinder.find_spec = classmethod("
        "lambda cls, name, *rest: None if name == 'mcp' else found(name, *rest));"
        "sys.argv[1:] = ['mcp', '--archive', sys.argv[1]];"
        "from vsr_edge.cli.app import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", hidden, demo_archive],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
    assert done.returncode == 2
    assert "pip install 'vsr-edge[mcp]'" in done.stderr
