"""What workers of the tests do in place of reading files; named, as they run in other processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vsr_edge.ingest.read import Ended
from vsr_edge.ingest.worker import Message, Order, encode_file

POISON = "poison"


def poisonable(order: Order) -> Iterator[Message]:
    """Some files kill whoever reads them, amid their frames."""
    for message in encode_file(order):
        yield message
        if POISON in order.file.path.name:
            os.kill(os.getpid(), signal.SIGKILL)


def killed_once(order: Order) -> Iterator[Message]:
    """Each file kills its first worker."""
    mark = order.file.path.with_suffix(".killed")
    first = not mark.exists()
    mark.touch()
    for message in encode_file(order):
        yield message
        if first:
            os.kill(os.getpid(), signal.SIGKILL)


def blind(order: Order) -> Iterator[Message]:
    """Nothing is mounted here."""
    yield from encode_file(replace(order, file=replace(order.file, path=Path("/nowhere/a.mp4"))))


def slow(order: Order) -> Iterator[Message]:
    """Each file takes its time, and leaves a mark of who has it."""
    order.file.path.with_suffix(f".{os.getpid()}").touch()
    time.sleep(0.3)
    yield from encode_file(order)


def killed_when_stored(order: Order) -> Iterator[Message]:
    """Each file ends its first worker when it is stored, and nothing more was said of it."""
    mark = order.file.path.with_suffix(".stored")
    first = not mark.exists()
    for message in encode_file(order):
        yield message
        if first and isinstance(message, Ended):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
