"""Who is logged in, and how often logging in may be tried. Kept in memory: a restart logs out."""

from __future__ import annotations

import hmac
import secrets
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from time import monotonic, time

from vsr_edge.server.access import Entry
from vsr_edge.server.refusals import busy

COOKIE, CSRF_HEADER = "vsr_edge_session", "X-CSRF-Token"
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


@dataclass
class Sessions:
    """By the value of their cookie."""

    _open: OrderedDict[str, Session] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, entry: Entry) -> tuple[str, Session]:
        """The value of a new cookie, and what it stands for."""
        cookie = secrets.token_urlsafe(32)
        session = Session(entry, secrets.token_urlsafe(32), time() + LASTS_SECONDS)
        with self._lock:
            self._open[cookie] = session
            while len(self._open) > MOST_SESSIONS:
                self._open.popitem(last=False)
        return cookie, session

    def find(self, cookie: str) -> Session | None:
        with self._lock:
            session = self._open.get(cookie)
            if session is not None and time() >= session.expires:
                del self._open[cookie]
                return None
            return session

    def end(self, cookie: str) -> None:
        with self._lock:
            self._open.pop(cookie, None)


def is_csrf_of(session: Session, said: str) -> bool:
    return hmac.compare_digest(session.csrf.encode(), said.encode("utf-8", "surrogateescape"))


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
