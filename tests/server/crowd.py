"""Very many connections from a process of their own: they are opened, told to stay, asked over, and
what became of each is counted.

    python -m tests.server.crowd PORT COUNT

A line of JSON says so; then it waits, connected, until its input ends.
"""

from __future__ import annotations

import errno
import json
import selectors
import socket
import sys
import time
from collections import Counter

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
# Whoever has not been answered by then never will be.
PATIENCE_SECONDS = 60.0


def crowd(port: int, count: int) -> tuple[Counter[str], list[socket.socket]]:
    """Connect all at once and ask; how many got which status, were closed, or hang; all sockets."""
    selector = selectors.DefaultSelector()
    answers: Counter[str] = Counter()
    opened = []
    for _ in range(count):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", port))
        selector.register(one, selectors.EVENT_WRITE)
        opened.append(one)
    until, waiting = time.monotonic() + PATIENCE_SECONDS, count
    while waiting and time.monotonic() < until:
        for key, _ in selector.select(0.5):
            asking = key.fileobj
            assert isinstance(asking, socket.socket)
            try:
                if key.events == selectors.EVENT_WRITE:
                    failed = asking.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if failed:
                        raise OSError(failed, errno.errorcode[failed])
                    asking.send(REQUEST)
                    selector.modify(asking, selectors.EVENT_READ)
                    continue
                said = asking.recv(65536)
            except OSError:
                said = b""
            answers[said[9:12].decode("ascii") if said else "closed"] += 1
            selector.unregister(asking)
            waiting -= 1
    answers["unanswered"] += waiting
    return answers, opened


if __name__ == "__main__":
    found, held = crowd(int(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
