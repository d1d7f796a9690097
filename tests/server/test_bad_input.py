"""Bodies, photos and parameters that are too large, broken, or made up."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.server import client
from tests.server.client import Site
from tests.server.test_searching import form
from vsr_edge.server import guard


def test_bodies_are_no_larger_than_may_be(site: Site) -> None:
    large = b" " * (guard.MOST_BODY + 1)
    assert site.ask("POST", "/v1/search", large).status == 413
    # Nobody need send all of it to learn that.
    head = "POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    said = site.raw(f"{head}Content-Length: {10**15}\r\n\r\n".encode())
    assert said.startswith(b"HTTP/1.1 413")
    with site.connected() as chunked:
        chunked.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        try:
            for _ in range(8):
                chunked.sendall(piece)
        except OSError:
            pass
        assert client.read_all(chunked).startswith(b"HTTP/1.1 413")
    body, content = form(b"\xff\xd8\xff" + bytes(guard.MOST_UPLOAD))
    assert site.post("/v1/search", body, Content_Type=content).status == 413


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(10_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("photo", "status"),
    [
        (png(50_000, 50_000), 422),
        (png(8000, 8000), 422),
        (b"", 415),
        (b"no picture", 415),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", 415),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", 415),
        (b"\xff\xd8\xff broken", 422),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415),
    ],
)
def test_photos_that_are_bombs_or_none_are_refused(site: Site, photo: bytes, status: int) -> None:
    body, content = form(photo)
    answer = site.post("/v1/search", body, Content_Type=content)
    assert answer.status == status, answer.body
    assert answer.document["schema"] == "vsr-edge/error/1"


def test_forms_that_are_none_are_refused(site: Site) -> None:
    for body in (b"", b"--x--\r\n", b"--y\r\n\r\n", form(b"a")[0] * 3, b"--x\r\nContent-Dis"):
        answer = site.post("/v1/search", body, Content_Type="multipart/form-data; boundary=x")
        assert answer.status in (400, 415, 422), (body, answer.body)
    assert site.post("/v1/search", b"a", Content_Type="multipart/form-data").status == 400


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = ("query", "like", "video", "after", "between", "tags", "then", "and", "top_k", "text")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES, max_size=4) | JSON_VALUES)
def test_no_body_makes_the_server_fail(site: Site, asked: Any) -> None:
    for path in ("/v1/search", "/v1/index", "/v1/login"):
        answer = site.post(path, json.dumps(asked).encode(), Content_Type="application/json")
        assert answer.status < 500, (asked, answer.body)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["frame?t=", "clip?from=0&to=", "stream?from="]), st.text(max_size=12))
def test_no_parameter_makes_the_server_fail(site: Site, route: str, value: str) -> None:
    said = quote(value.encode("utf-8", "surrogatepass"))
    assert site.get(f"/v1/videos/1/{route}{said}").status < 500
    assert site.get(f"/v1/videos/{said}").status < 500
    assert site.get(f"/v1/videos?after={said}&video={said}").status < 500
