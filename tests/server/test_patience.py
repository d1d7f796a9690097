"""Clients that are slow, do not read, or are too many."""

from __future__ import annotations

import json
import select
import socket
import time
from contextlib import ExitStack, suppress

import pytest

from tests.server import client
from tests.server.client import Site
from tests.server.test_media import endless
from vsr_edge.server import guard, transport


def readable(connection: socket.socket) -> bool:
    return bool(select.select([connection], [], [], 0.05)[0])


def test_slow_clients_are_not_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "HEADER_SECONDS", 0.5)
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.5)
    head = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\n"
    body = head + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    for begun in (b"", b"GET / HT", head, body):
        assert site.raw(begun).startswith(b"HTTP/1.1 408"), begun
    with site.connected() as trickling, suppress(OSError):
        while not readable(trickling):  # a letter now and then is too slow, too
            trickling.sendall(b"G")
    # A second request on a connection has no more time than the first.
    with site.connected() as kept:
        kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert kept.recv(4096).startswith(b"HTTP/1.1 200")
        kept.sendall(b"GET /healthz HT")
        assert b"HTTP/1.1 408" in client.read_all(kept)


def test_who_does_not_read_is_hung_up_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "READ_SECONDS", 0.5)

    monkeypatch.setattr("vsr_edge.server.media_routes.write_fragments", endless)
    listed = site.get("/v1/videos?video=*.avi").document["videos"]
    with site.connected() as idle:
        path = f"/v1/videos/{listed[0]['id']}/stream"
        idle.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        while not site.served.streams.inside:
            time.sleep(0.02)
        while site.served.streams.inside:
            time.sleep(0.02)


def test_many_connections_are_refused_politely(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MOST_CONNECTIONS", 20)
    monkeypatch.setattr(transport, "TOLD", 20)
    monkeypatch.setattr(transport, "_REFUSED_SECONDS", 30.0)
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as stack:
        idle = [stack.enter_context(site.connected()) for _ in range(20)]
        said = site.raw(request)
        assert said.startswith(b"HTTP/1.1 503")
        assert b"Retry-After: 1" in said
        assert json.loads(said.partition(b"\r\n\r\n")[2])["kind"] == "Busy"
        for _ in range(60):
            stack.enter_context(site.connected())
        idle[0].sendall(request)  # who was there before is served
        assert idle[0].recv(4096).startswith(b"HTTP/1.1 200")
    while True:  # and when they have left, anybody is
        try:
            if site.get("/healthz").status == 200:
                break
        except OSError:
            continue
