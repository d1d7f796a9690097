"""The commands of ``python -m export`` in this process, which has imported PyTorch already: what
begins anew each time is its import, of several seconds.
"""

from __future__ import annotations

import io
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TypeAlias

from export.__main__ import app

Done: TypeAlias = subprocess.CompletedProcess[str]


def call(*arguments: str | Path) -> Done:
    """A command to its end; arguments that it does not know are an exception."""
    words = [str(argument) for argument in arguments]
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = app(words, standalone_mode=False)
    return Done(words, code or 0, out.getvalue(), err.getvalue())
