"""Watch what a program and all that it starts say to the network and leave on the disk.

Python's audit hooks see only Python's own sockets. Native libraries are seen by strace, or, where
it is missing or not allowed, by a library that is loaded before them and asked in the C library's
place.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
_STRACE = ("strace", "-f", "-qq", "-e", "trace=socket,connect,bind,sendto,sendmsg,sendmmsg")
# Stops at those calls alone, of a version that can: else every call is stopped at, and passed over.
_ALONE = "--seccomp-bpf"
# What each call says of itself is as strace would say it.
_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static void say(const char *call, int family) {
  if (family != AF_INET && family != AF_INET6) return;
  FILE *log = fopen(getenv("WATCHED_CALLS"), "a");
  fprintf(log, "%s(%s)\n", call, family == AF_INET ? "AF_INET" : "AF_INET6");
  fclose(log);
}
#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
int socket(int family, int type, int protocol) {
  REAL(socket); say("socket", family); return real(family, type, protocol);
}
int connect(int s, const struct sockaddr *to, socklen_t n) {
  REAL(connect); say("connect", to->sa_family); return real(s, to, n);
}
int bind(int s, const struct sockaddr *at, socklen_t n) {
  REAL(bind); say("bind", at->sa_family); return real(s, at, n);
}
ssize_t sendto(int s, const void *b, size_t n, int f, const struct sockaddr *to, socklen_t l) {
  REAL(sendto); if (to) say("sendto", to->sa_family); return real(s, b, n, f, to, l);
}
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
  REAL(getaddrinfo); if (host) say("connect", AF_INET); return real(host, service, hints, found);
}
"""


@dataclass(frozen=True)
class Watched:
    """``calls`` of an internet family, one text each, and the files and folders that are new."""

    code: int
    out: str
    calls: list[str]
    files: set[str]

    @property
    def spoken(self) -> list[str]:
        """The calls that reach for another address; opening a socket alone says nothing."""
        return [call for call in self.calls if call.startswith(("connect", "send"))]


def watch(
    arguments: Sequence[str | Path], home: Path, environment: Mapping[str, str] | None = None
) -> Watched:
    """Run Python with a home, a folder for temporary files and a working folder of its own.

    Skips the test where nothing can watch.
    """
    for name in ("home", "tmp", "work"):
        (home / name).mkdir(parents=True, exist_ok=True)
    before = _tree(home)
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "calls"
        log.touch()
        prefix, variables = _means(Path(scratch), log)
        kept = {
            name: value
            for name, value in os.environ.items()
            # The switches are for the package to throw, here as for anyone.
            if not name.startswith(("ORT_", "HF_", "DISABLE_", "XDG_", "MPL", "TORCH"))
        }
        done = subprocess.run(
            [*prefix, sys.executable, *arguments],
            cwd=home / "work",
            env=kept
            | {
                "HOME": str(home / "home"),
                "TMPDIR": str(home / "tmp"),
                "PYTHONPATH": str(PROJECT),
                "PYTHONDONTWRITEBYTECODE": "1",
            }
            | variables
            | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=240,
            check=False,
        )
        calls = [
            re.sub(r"^\d+ +", "", line)
            for line in log.read_text("utf-8", "replace").splitlines()
            if "AF_INET" in line or "sin6_addr" in line
        ]
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    return Watched(done.returncode, said, calls, _tree(home) - before)


def _tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def _means(scratch: Path, log: Path) -> tuple[list[str], dict[str, str]]:
    if _strace_works():
        return [*_STRACE, *_strace_alone(), "-o", str(log)], {}
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not sys.platform.startswith("linux") or compiler is None:
        pytest.skip("neither strace nor a C compiler is here to watch with")
    source, library = scratch / "watch.c", scratch / "watch.so"
    source.write_text(_SHIM, "utf-8")
    subprocess.run([compiler, "-shared", "-fPIC", source, "-o", library, "-ldl"], check=True)
    return [], {"LD_PRELOAD": str(library), "WATCHED_CALLS": str(log)}


@functools.cache
def _strace_works() -> bool:
    """It may be missing, and a container may forbid it."""
    return shutil.which("strace") is not None and _traces()


@functools.cache
def _strace_alone() -> list[str]:
    return [_ALONE] if _traces(_ALONE) else []


def _traces(*options: str) -> bool:
    command = ["strace", "-f", "-qq", *options, "-o", "/dev/null", "true"]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0
