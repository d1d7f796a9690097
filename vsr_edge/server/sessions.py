"""Who is logged in, and how often logging in may be tried.

A session is a file beside the archive, so that every server of it knows who logged in at any: its
name is the hash of the cookie, which nobody gets from it. Failed log-ins each server counts itself.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import threading
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic, time
from typing import Any

from vsr_edge.server.access import AccessFile, Entry
from vsr_edge.server.refusals import busy

COOKIE, CSRF_HEADER = "vsr_edge_session", "X-CSRF-Token"
FOLDER = "sessions"
LASTS_SECONDS = 12 * 3600
MOST_SESSIONS = 10_000
# So many failures, by address and by name, of so long ago count.
MOST_FAILURES = {"address": 20, "name": 10}
FAILURES_SECONDS = 900.0
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Session:
    """One log-in. ``csrf`` is what a page of ours knows and another site's does not."""

    entry: Entry
    csrf: str
    expires: float


class Sessions:
    """By the value of their cookie. Where no file can be written, this process alone knows them."""

    def __init__(self, access: AccessFile) -> None:
        self._access = access
        self._folder = access.path.with_name(FOLDER)
        self._lock = threading.Lock()
        self._unwritten: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def begin(self, entry: Entry) -> tuple[str, Session]:
        """The value of a new cookie, and what it stands for."""
        cookie = secrets.token_urlsafe(32)
        expires = time() + LASTS_SECONDS
        said = {"name": entry.name, "entry": _stamp(entry), "expires": expires}
        try:
            self._tidy()
            descriptor = os.open(self._file(cookie), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(said, file)
        except OSError:
            with self._lock:
                self._unwritten[cookie] = said
                while len(self._unwritten) > MOST_SESSIONS:
                    self._unwritten.popitem(last=False)
        return cookie, Session(entry, _csrf(cookie), expires)

    def find(self, cookie: str) -> Session | None:
        """What a cookie stands for, if its user is still known with that password.

        Raises:
            VsrEdgeError: nobody can be known now (:meth:`AccessFile.entries`).
        """
        said = self._said(cookie)
        if said is not None and time() >= said["expires"]:
            self.end(cookie)
            return None
        entry = None if said is None else self._access.entries().get(str(said["name"]))
        if said is None or entry is None or _stamp(entry) != said["entry"]:
            return None
        return Session(entry, _csrf(cookie), said["expires"])

    def end(self, cookie: str) -> None:
        with self._lock:
            self._unwritten.pop(cookie, None)
        with suppress(OSError):
            self._file(cookie).unlink()

    def _said(self, cookie: str) -> dict[str, Any] | None:
        with self._lock:
            if (kept := self._unwritten.get(cookie)) is not None:
                return kept
        try:
            said: dict[str, Any] = json.loads(self._file(cookie).read_bytes())
            float(said["expires"]), said["name"], said["entry"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return said

    def _file(self, cookie: str) -> Path:
        hashed = hashlib.sha256(cookie.encode("utf-8", "surrogateescape"))
        return self._folder / f"{hashed.hexdigest()}.json"

    def _tidy(self) -> None:
        """Make the folder, and keep it from growing for ever."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        ages: list[tuple[float, str]] = []
        for file in os.scandir(self._folder):
            with suppress(OSError):  # another server did the same
                ages.append((file.stat().st_mtime, file.path))
        # By the clock of whichever machine keeps the files, which may be another one.
        over = time() - 2 * LASTS_SECONDS
        for place, (age, path) in enumerate(sorted(ages, reverse=True), 1):
            if age < over or place >= MOST_SESSIONS:
                Path(path).unlink(missing_ok=True)


def is_csrf_of(session: Session, said: str) -> bool:
    return hmac.compare_digest(session.csrf.encode(), said.encode("utf-8", "surrogateescape"))


def _csrf(cookie: str) -> str:
    """Of a cookie, which cannot be had from it."""
    return hmac.digest(cookie.encode(), b"csrf", "sha256").hex()


def _stamp(entry: Entry) -> str:
    """What differs for anybody else, another password, other leave."""
    return hashlib.sha256(json.dumps(asdict(entry), sort_keys=True).encode()).hexdigest()


@dataclass
class Failures:
    """Failed log-ins of late, by address and by name."""

    _times: OrderedDict[tuple[str, str], deque[float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, address: str, name: str) -> None:
        """Raise :class:`Refused` where too many failed."""
        now = monotonic()
        with self._lock:
            for kind, who in (("address", address), ("name", name)):
                times = self._times.get((kind, who), deque())
                while times and now - times[0] > FAILURES_SECONDS:
                    times.popleft()
                if len(times) >= MOST_FAILURES[kind]:
                    wait = FAILURES_SECONDS - (now - times[0])
                    raise busy("too many log-ins have failed", wait)

    def count(self, address: str, name: str) -> None:
        """One more has failed."""
        with self._lock:
            for key in (("address", address), ("name", name)):
                self._times.setdefault(key, deque()).append(monotonic())
                self._times.move_to_end(key)
            while len(self._times) > _REMEMBERED:
                self._times.popitem(last=False)
