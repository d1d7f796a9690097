"""Where alerts go: to commands and web hooks, each in a thread of its own, none of them lost.

What is still to be handed over stands in a file of the archive's folder until it was: a kill or a
service that is down delays it. A kill amid a delivery lets that one come twice, with the same id.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any, Protocol
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from vsr_edge.errors import UsageError

FILE = "alerts-unsent.json"
# Seconds before each further try, the last one again and again, until an alert is a day old.
PAUSES = (1.0, 5.0, 25.0, 120.0, 600.0)
LONGEST = 86400.0
MOST_WAITING = 10_000
COMMAND_SECONDS, HOOK_SECONDS = 60.0, 10.0
# Too early, too many, or the request took too long: later it may go well.
_LATER = frozenset({408, 425, 429})


class Refused(Exception):
    """It will not go better later."""


class Target(Protocol):
    """Takes alerts, as JSON."""

    name: str

    def take(self, text: str) -> None:
        """Raises OSError where another try may help, and Refused where none does."""


class Command:
    """Runs a command, without a shell, with the alert on its standard input.

    Raises:
        UsageError: there is no such command.
    """

    def __init__(self, text: str) -> None:
        try:
            self.words = shlex.split(text)
        except ValueError as error:
            raise UsageError(f"--exec {text!r} cannot be read: {error}") from error
        if not self.words or shutil.which(self.words[0]) is None:
            raise UsageError(f"--exec {text!r} names no command that can be run")
        self.name = f"exec {text}"

    def take(self, text: str) -> None:
        # stdout is for alerts alone.
        with subprocess.Popen(
            self.words, stdin=subprocess.PIPE, stdout=2, start_new_session=True
        ) as child:
            try:
                child.communicate(text.encode("utf-8") + b"\n", COMMAND_SECONDS)
            except subprocess.TimeoutExpired:
                with suppress(OSError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.kill()
                raise Refused(f"ended after {COMMAND_SECONDS:.0f} s") from None
        if child.returncode:
            raise Refused(f"exit code {child.returncode}")


class Hook:
    """Posts the alert to one address, directly, and follows no redirect.

    Raises:
        UsageError: no address of http or https.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            fit = parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc
            _ = parts.port
        except ValueError:
            fit = False
        if not fit or not url.isascii() or any(c.isspace() for c in url):
            raise UsageError(f"--webhook is an http or https address without a name; not {url!r}")
        # Its path may be a secret, which belongs neither in a log nor in the archive's folder.
        mark = hashlib.sha256(url.encode("ascii")).hexdigest()[:8]
        self.url, self.name = url, f"webhook {parts.hostname} ({mark})"
        self._opener = build_opener(_NoRedirect, ProxyHandler({}))

    def take(self, text: str) -> None:
        kind = {"Content-Type": "application/json", "User-Agent": "vsr-edge"}
        request = Request(self.url, text.encode("utf-8"), kind, method="POST")
        try:
            with self._opener.open(request, timeout=HOOK_SECONDS):
                return
        except HTTPError as error:
            error.close()
            if error.code >= 500 or error.code in _LATER:
                raise OSError(f"HTTP {error.code}") from error
            raise Refused(f"HTTP {error.code}") from error
        except HTTPException as error:
            raise OSError(str(error) or type(error).__name__) from error


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


class Outbox:
    """What is still to be handed over, by target and id, oldest first; kept in a folder.

    What an earlier run left is taken up where it has such a target and is less than a day old.
    """

    def __init__(self, folder: Path, targets: Collection[str]) -> None:
        self._file, self._lock = folder / FILE, threading.Lock()
        self._unsent: dict[tuple[str, str], tuple[float, str]] = {}
        with suppress(OSError, ValueError, TypeError, KeyError):
            for one in json.loads(self._file.read_text("utf-8")):
                key, since = (str(one["target"]), str(one["id"])), float(one["since"])
                if key[0] in targets and time.time() - since < LONGEST:
                    self._unsent[key] = since, str(one["alert"])

    def put(self, alerts: Sequence[tuple[str, str]], targets: Sequence[str]) -> None:
        """Keep (id, JSON) of alerts for each target; what stands there already stays as it is."""
        with self._lock:
            for identity, text in alerts:
                for target in targets:
                    self._unsent.setdefault((target, identity), (time.time(), text))
            self._save()

    def first(self, target: str) -> tuple[str, float, str] | None:
        """Id, since when, and JSON of the oldest of a target."""
        with self._lock:
            return next(((i, *it) for (to, i), it in self._unsent.items() if to == target), None)

    def done(self, target: str, identity: str) -> None:
        with self._lock:
            self._unsent.pop((target, identity), None)
            self._save()

    def count(self) -> int:
        """How many there are."""
        return len(self._unsent)

    def _save(self) -> None:
        while len(self._unsent) > MOST_WAITING:
            del self._unsent[next(iter(self._unsent))]
        rows = [
            {"target": target, "id": identity, "since": since, "alert": text}
            for (target, identity), (since, text) in self._unsent.items()
        ]
        part = self._file.with_suffix(".part")
        with part.open("w", encoding="utf-8") as file:
            json.dump(rows, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._file)


class Delivery:
    """Hands over what is in an outbox, in its order, a thread for each target.

    ``say`` takes a sentence on what goes wrong: the first time, and when it is given up.
    """

    def __init__(self, outbox: Outbox, targets: Sequence[Target], say: Callable[[str], None]):
        self._outbox, self._say = outbox, say
        self._stop = threading.Event()
        self._wake = {target.name: threading.Event() for target in targets}
        self._threads = [
            threading.Thread(target=self._run, args=(target,), daemon=True) for target in targets
        ]
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Something was put into the outbox."""
        for event in self._wake.values():
            event.set()

    def close(self, seconds: float) -> None:
        """Give what can be handed over so much time; the rest stays in the outbox."""
        until = time.monotonic() + seconds
        self._stop.set()
        self.wake()
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0.0))

    def _run(self, target: Target) -> None:
        failures, wake = 0, self._wake[target.name]
        while True:
            wake.clear()
            entry = self._outbox.first(target.name)
            if entry is None:
                if self._stop.is_set():
                    return
                wake.wait()
                continue
            identity, since, text = entry
            try:
                target.take(text)
            except (Refused, OSError) as error:
                reason = str(getattr(error, "reason", "") or error)
                if isinstance(error, OSError) and time.time() - since < LONGEST:
                    if not failures:
                        self._say(f"{target.name}: {reason}; tried again")
                    if self._stop.is_set() or self._stop.wait(
                        PAUSES[min(failures, len(PAUSES) - 1)]
                    ):
                        return
                    failures += 1
                    continue
                self._say(f"{target.name}: {reason}; given up: {text}")
            failures = 0
            self._outbox.done(target.name, identity)
