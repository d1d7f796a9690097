"""Work that is done by another thread while this one waits and hears signals."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

Result = TypeVar("Result")


def aside(work: Callable[[], Result]) -> Result:
    """What ``work`` gives or raises. It may open files with PyAV: what a signal raises amid a call
    of PyAV back into Python is lost, and no signal comes to any thread but the first.

    Where the waiting is interrupted, the work goes on to its end, or to that of the process.
    """
    done: SimpleQueue[tuple[list[Result], BaseException | None]] = SimpleQueue()

    def run() -> None:
        try:
            done.put(([work()], None))
        except BaseException as error:
            done.put(([], error))

    Thread(target=run, daemon=True).start()
    found, error = done.get()
    if error is not None:
        raise error
    return found[0]
