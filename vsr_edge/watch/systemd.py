"""What a service manager is told, where one asks for it (`man sd_notify`)."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def notify(**states: str | int) -> bool:
    """Send states, such as ``READY=1``, to the service manager; False where none listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # an abstract one
        address = "\0" + address[1:]
    text = "\n".join(f"{name}={value}" for name, value in states.items())
    with suppress(OSError, AttributeError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        to.settimeout(1.0)
        to.sendto(text.encode("utf-8", "backslashreplace"), address)
        return True
    return False
