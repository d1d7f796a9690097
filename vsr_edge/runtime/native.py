"""What onnxruntime's native code writes to the terminal, caught.

Its libraries log to the process's error stream itself, in colours, when they are imported or a
provider does not start; Python's ``sys.stderr`` never sees that. So the stream's file descriptor
leads elsewhere for that moment. What others wrote meanwhile is written after all.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

_STDERR = 2
_STAMP = rb"\d{4}-\d\d-\d\d [\d:.]+ \[[VIWEF]:onnxruntime:[^\]\n]*\] "
# In colours a record ends with the end of its colour and may have several lines.
_RECORD = re.compile(
    rb"\x1b\[[\d;]+m" + _STAMP + rb"(.*?)\x1b\[m\n?|" + _STAMP + rb"([^\n]*)\n?", re.DOTALL
)
# What stands before a record's reason: where in the source it was found, and a code.
_WHERE = re.compile(r"^.*\[ONNXRuntimeError\] : \d+ : \w+ : ")
# One at a time: there is one error stream.
_alone = threading.Lock()


@dataclass(slots=True)
class Caught:
    """What onnxruntime logged: its records, without colours, times and places in its source."""

    records: list[str] = field(default_factory=list)

    @property
    def reason(self) -> str:
        """The first record's first line, which names the cause; empty where there is none."""
        return self.records[0].splitlines()[0] if self.records else ""


@contextmanager
def native_stderr() -> Iterator[Caught]:
    """Catch what onnxruntime writes to the error stream; everything else is passed on at the end.

    ``records`` are there once the context is left, also by an exception.
    """
    caught = Caught()
    with _alone:
        try:
            file = _scratch()
            own = os.dup(_STDERR)
        except OSError:  # no error stream to keep clean, or nowhere to keep what is written to it
            yield caught
            return
        with file:
            _flush()
            os.dup2(file.fileno(), _STDERR)
            try:
                yield caught
            finally:
                _flush()
                os.dup2(own, _STDERR)
                file.seek(0)
                written = file.read()
                for match in _RECORD.finditer(written):
                    text = (match[1] or match[2] or b"").decode("utf-8", "replace").strip()
                    caught.records.append(_WHERE.sub("", text))
                others = _RECORD.sub(b"", written)
                while others:
                    others = others[os.write(own, others) :]
                os.close(own)


def _scratch() -> BinaryIO:
    """In memory where the system can do that: not every disk may be written to."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("stderr"), "w+b")
    return tempfile.TemporaryFile()


def _flush() -> None:
    if sys.stderr is not None and not sys.stderr.closed:
        sys.stderr.flush()
