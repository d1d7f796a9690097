"""A signal ends a command, even where what it raises is swallowed."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import pytest

from vsr_edge.cli.console import counting_progress, terminate_like_ctrl_c


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_a_library_swallows_is_heard_at_the_next_step(number: signal.Signals) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job may ignore it
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with terminate_like_ctrl_c(), counting_progress("files") as report:
        report(1, 3)
        with suppress(KeyboardInterrupt):  # as a callback of PyAV does
            os.kill(os.getpid(), number)
        with pytest.raises(KeyboardInterrupt):
            report(2, 3)
        report(3, 3)  # once is enough: what is tidied up is not interrupted again
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
    signal.signal(signal.SIGINT, before)
