"""The commands of ``python -m export`` in this process, which has imported PyTorch already: what
begins anew each time is its import, of several seconds.
"""

from __future__ import annotations

import io
import subprocess
import warnings
from contextlib import redirect_stderr, redirect_stdout
from typing import TypeAlias

from export.__main__ import app

Done: TypeAlias = subprocess.CompletedProcess[str]


def call(*arguments: object) -> Done:
    """A command to its end. Warnings are none of its errors, as in a process of its own; arguments
    that it does not know are an exception.
    """
    words = [str(argument) for argument in arguments]
    with (
        redirect_stdout(io.StringIO()) as out,
        redirect_stderr(io.StringIO()) as err,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("default")
        code = app(words, standalone_mode=False)
    return Done(words, code or 0, out.getvalue(), err.getvalue())
