"""The example of nginx before a real server: TLS, events as they come, parts, sizes, hosts."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.server.client import TIMEOUT, serving

NGINX, OPENSSL = shutil.which("nginx"), shutil.which("openssl")
CONF = Path(__file__).parents[2] / "deploy" / "nginx.conf"
NAME = "video.example"
pytestmark = pytest.mark.skipif(not (NGINX and OPENSSL), reason="nginx or openssl is not here")


@contextmanager
def nginx(folder: Path, site: str, *held: socket.socket) -> Iterator[None]:
    """nginx with a site.

    It is handed the sockets that it listens at, as it hands them to a newer release of itself: no
    other program can take their ports meanwhile. Who comes before it is ready waits.
    """
    temporary = " ".join(
        f"{kind}_temp_path {folder / kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = (
        f"daemon off; pid {folder / 'pid'}; error_log stderr; worker_processes 1;\n"
        f"events {{}}\nhttp {{ access_log off; {temporary}\n{site}\n}}\n"
    )
    (folder / "nginx.conf").write_text(whole, "utf-8")
    command = [str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=TIMEOUT)
    assert checked.returncode == 0, checked.stderr
    assert not re.search(r"\[(warn|error|emerg)\]", checked.stderr), checked.stderr
    numbers = tuple(one.fileno() for one in held)
    environment = os.environ | {"NGINX": "".join(f"{one};" for one in numbers)}
    with ExitStack() as stack:
        for one in held:
            stack.enter_context(one).setblocking(False)
        process = subprocess.Popen(
            command, stderr=subprocess.DEVNULL, pass_fds=numbers, env=environment
        )
    with process:
        try:
            yield
        finally:
            process.terminate()


@contextmanager
def proxied(folder: Path, port: int) -> Iterator[int]:
    """nginx with the example, as it is but for ports and files; yields its port for TLS."""
    plain, secure = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    tls = secure.getsockname()[1]
    pem, key = folder / "site.pem", folder / "site.key"
    subprocess.run(
        [
            *(str(OPENSSL), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", f"/CN={NAME}", "-keyout", key, "-out", pem),
        ],
        check=True,
        capture_output=True,
        timeout=TIMEOUT,
    )
    site = CONF.read_text("utf-8")
    for before, after in (
        ("127.0.0.1:8200", f"127.0.0.1:{port}"),
        ("listen [::]:80;", ""),
        ("listen [::]:443 ssl;", ""),
        ("listen 80;", f"listen 127.0.0.1:{plain.getsockname()[1]};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{tls} ssl;"),
        (f"/etc/ssl/certs/{NAME}.pem", str(pem)),
        (f"/etc/ssl/private/{NAME}.key", str(key)),
    ):
        assert before in site
        site = site.replace(before, after)
    with nginx(folder, site, plain, secure):
        yield tls


def test_everything_works_through_nginx(served_archive: Path, tmp_path: Path) -> None:
    trusting = ssl._create_unverified_context()
    with serving(served_archive, allow_hosts=(NAME,)) as site, proxied(tmp_path, site.port) as tls:

        def ask(
            method: str, path: str, body: bytes | None = None, host: str = NAME, **headers: str
        ) -> tuple[http.client.HTTPResponse, bytes]:
            connection = http.client.HTTPSConnection("127.0.0.1", tls, context=trusting, timeout=60)
            try:
                sent = {"Host": host} | {name.replace("_", "-"): v for name, v in headers.items()}
                connection.request(method, path, body, sent)
                response = connection.getresponse()
                return response, response.read()
            finally:
                connection.close()

        assert ask("GET", "/healthz")[0].status == 200
        assert ask("GET", "/healthz", host="evil.example")[0].status == 421
        assert ask("GET", "/metrics")[0].status == 404
        secured = ask("GET", "/healthz")[0].headers
        assert secured["Strict-Transport-Security"]

        asked = json.dumps({"query": "a bicycle leaning against a wall"}).encode()
        streamed, events = ask(
            *("POST", "/v1/search", asked),
            Content_Type="application/json",
            Accept="text/event-stream",
        )
        assert streamed.headers["Content-Type"].startswith("text/event-stream")
        assert "chunked" in streamed.headers["Transfer-Encoding"]
        assert len(re.findall(rb"^event: ", events, re.MULTILINE)) >= 2

        listed = json.loads(ask("GET", "/v1/videos")[1])["videos"]
        (bikes,) = (one for one in listed if one["video"].endswith("bikes.mp4"))
        whole = Path(bikes["video"]).read_bytes()
        part, got = ask("GET", f"/v1/videos/{bikes['id']}/stream", Range="bytes=100-299")
        assert (part.status, got) == (206, whole[100:300])
        assert part.headers["Content-Range"] == f"bytes 100-299/{len(whole)}"

        photo = b"x" * (18 << 20)
        try:
            status = ask("POST", "/v1/search", photo, Content_Type="image/jpeg")[0].status
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            status = 413  # it hung up amid it
        assert status == 413
