"""A real nginx at sockets that are opened before it starts."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.server.client import TIMEOUT

NGINX = shutil.which("nginx")


def listener() -> tuple[socket.socket, int]:
    """A socket for it to listen at, and its port."""
    opened = socket.create_server(("127.0.0.1", 0))
    opened.setblocking(False)
    return opened, int(opened.getsockname()[1])


@contextmanager
def nginx(folder: Path, site: str, *listeners: socket.socket) -> Iterator[None]:
    """It runs ``site``, what stands within `http`; whoever asks before it is ready waits.

    It is handed the sockets, as it hands them to a newer release of itself: no other program can
    take their ports meanwhile.
    """
    temporary = " ".join(
        f"{kind}_temp_path {folder / kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder / 'pid'}; error_log stderr; worker_processes 1;\n"
        f"events {{}}\nhttp {{ access_log off; {temporary}\n{site}\n}}\n",
        "utf-8",
    )
    command = [str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=TIMEOUT)
    assert checked.returncode == 0, checked.stderr
    assert not re.search(r"\[(warn|error|emerg)\]", checked.stderr), checked.stderr
    held = [one.fileno() for one in listeners]
    environment = os.environ | {"NGINX": "".join(f"{one};" for one in held)}
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, pass_fds=held, env=environment)
    for one in listeners:
        one.close()
    with process:
        try:
            yield
        finally:
            process.terminate()
