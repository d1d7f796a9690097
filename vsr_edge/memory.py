"""Is it memory that was wanted? Libraries say so in many words, and some in none."""

from __future__ import annotations

import mmap

# More than any picture of the largest size takes in a decoder that keeps a few of them.
_PROBED_BYTES = 64 << 20

# onnxruntime's own allocator, C++, the system, usearch, Python's threads, the loader of libraries.
_WORDS = (
    "bad_alloc",
    "Failed to allocate memory",
    "Cannot allocate memory",
    "Out of memory",
    "can't start new thread",
    "failed to map segment",
)


def memory_is_short() -> bool:
    """Whether little is left.

    Damaged headers that ask for gigabytes fail in the same way, but leave enough.
    """
    try:
        # Not touched, so that it costs nothing.
        mmap.mmap(-1, _PROBED_BYTES).close()
    except OSError:
        return True
    return False


def wanted_memory(error: BaseException) -> bool:
    """Whether an error came about for want of memory.

    By now what failed may have given back what it had, so its words count as well.
    """
    said = str(error)
    return isinstance(error, MemoryError) or any(w in said for w in _WORDS) or memory_is_short()
