"""``python -m vsr_edge``, and the command ``vsr-edge``."""

from __future__ import annotations

import os
import sys

_EXIT_INTERRUPTED = 130

# NumPy's products are small here. Threads for them gain nothing, and where other processes keep the
# cores busy they cost up to a second each: OpenBLAS (NumPy 2.5) waits for them without yielding.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def main() -> None:
    """Run the command line; Ctrl-C ends it without a traceback, even amid its imports."""
    pressed = False

    def interrupt(*_: object) -> None:
        nonlocal pressed
        pressed = True
        raise KeyboardInterrupt

    try:
        import signal  # not at the top: it takes long enough to be interrupted

        # Whoever has it ignored, as shells do for background jobs, has it ignored.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, interrupt)
        # An interrupted import of a compiled module may fail with any error, or in a callback.
        sys.unraisablehook = lambda failed: None if pressed else sys.__unraisablehook__(failed)
        from vsr_edge.cli.app import main as run

        run()
    except SystemExit:
        raise
    except BaseException as error:
        if not pressed and not isinstance(error, KeyboardInterrupt):
            raise
        if sys.stderr is not None:
            sys.stderr.write("error: interrupted\n")
            sys.stderr.flush()
        # Not what is left to be done at the end: it was imported half-way.
        os._exit(_EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
