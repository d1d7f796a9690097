"""``python -m tests.e2e.itself``: what a process finds itself to be, as JSON."""

from __future__ import annotations

import json
import locale
import os
import resource
import signal
import sys
import time
from pathlib import Path

import __main__

if __name__ == "__main__":
    umask = os.umask(0o77)
    os.umask(umask)
    environment = {n: v for n, v in os.environ.items() if n not in ("LC_CTYPE", "PYTEST_VERSION")}
    document = {
        "arguments": sys.argv,
        "main": [__main__.__name__, __main__.__package__, __main__.__file__],
        "folder": str(Path.cwd()),
        "first in the path": os.path.realpath(sys.path[0]),
        "environment": dict(sorted(environment.items())),
        "umask": umask,
        "limits": [resource.getrlimit(n) for n in range(16)],
        "signals": {
            s.name: str(signal.getsignal(s))
            for s in sorted(signal.valid_signals())
            if isinstance(s, signal.Signals)
        },
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "group": [os.getpgrp(), os.getsid(0)],
        "niceness": os.nice(0),
        "cores": sorted(os.sched_getaffinity(0)),
        "files": sorted(f.name for f in Path("/proc/self/fd").iterdir())[:-1],
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "terminals": [os.isatty(number) for number in range(3)],
        "streams": [
            [s.encoding, s.errors, s.line_buffering] for s in (sys.stdin, sys.stdout, sys.stderr)
        ],
        "stdin": sys.stdin.read(),
        "locale": locale.setlocale(locale.LC_CTYPE),
        "zone": time.tzname,
        "flags": str(sys.flags),
        "warnings": sys.warnoptions,
    }
    sys.stdout.write(json.dumps(document))
    sys.stderr.write("to stderr\n")
    sys.exit(int(sys.argv[1]))
