"""Who may come in: users with passwords and tokens of programs, in a file beside the archive.

Passwords are kept as argon2id hashes. A token is 256 random bits, which nobody guesses from its
SHA-256, so that each request can be checked without the time that argon2 takes on purpose.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from vsr_edge.errors import UsageError, VsrEdgeError

FILE = "access.json"
SCOPES = ("search", "media", "index")
LEAST_PASSWORD, MOST_PASSWORD = 10, 256
_FORMAT = 1
_PREFIX = "vsr_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_DAY = 86_400
_hasher = PasswordHasher()
# What the password of nobody is held against, so that it takes as long.
_NOBODY = _hasher.hash(secrets.token_urlsafe())


@dataclass(frozen=True, slots=True)
class Entry:
    """One who may come in: ``kind`` is "user" or "token", ``expires`` seconds since 1970."""

    name: str
    kind: str
    hash: str
    scopes: tuple[str, ...]
    expires: float | None = None

    @property
    def expired(self) -> bool:
        return self.expires is not None and time.time() >= self.expires


class AccessFile:
    """The users and tokens of an archive; read anew where another process changed them."""

    def __init__(self, archive: Path) -> None:
        self.path = archive / FILE
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._entries: dict[str, Entry] = {}

    def entries(self) -> dict[str, Entry]:
        """By name; none where there is no file.

        Raises:
            VsrEdgeError: the file cannot be read, which lets nobody in.
        """
        with self._lock:
            try:
                status = self.path.stat()
            except FileNotFoundError:
                self._stamp, self._entries = None, {}
                return {}
            except OSError as error:
                raise self._unusable(error.strerror or "it cannot be looked at") from error
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                self._entries = self._read()
                self._stamp = stamp
            return dict(self._entries)

    def add_user(self, name: str, password: str, scopes: Iterable[str]) -> Entry:
        """Let somebody in, or change their password.

        Raises:
            UsageError: a name or a scope that cannot be, or too short a password.
        """
        if not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD:
            raise UsageError(
                f"a password has at least {LEAST_PASSWORD} characters, and at most {MOST_PASSWORD}"
            )
        return self._add(Entry(name, "user", _hasher.hash(password), tuple(scopes)))

    def add_token(
        self, name: str, scopes: Iterable[str], days: float | None = None
    ) -> tuple[Entry, str]:
        """Make a token for a program; it is nowhere but in what is returned.

        Raises:
            UsageError: a name or a scope that cannot be, or days that are none.
        """
        if days is not None and not 0 < days <= 36_500:
            raise UsageError(f"a token lasts for more than 0 days and up to 36500, not {days:g}")
        secret = _PREFIX + secrets.token_urlsafe(32)
        until = None if days is None else time.time() + days * _DAY
        return self._add(Entry(name, "token", _digest(secret), tuple(scopes), until)), secret

    def revoke(self, name: str) -> None:
        """Let somebody in no more.

        Raises:
            UsageError: nobody is called so.
        """
        entries = self.entries()
        if name not in entries:
            known = ", ".join(sorted(entries)) or "nobody"
            raise UsageError(f"{self.path} knows no {name!r}; it knows: {known}")
        del entries[name]
        self._write(entries)

    def by_token(self, secret: str) -> Entry | None:
        """Whose token it is; also one that is expired."""
        digest = _digest(secret)
        found = None
        for entry in self.entries().values():
            if entry.kind == "token" and hmac.compare_digest(entry.hash, digest):
                found = entry
        return found

    def by_password(self, name: str, password: str) -> Entry | None:
        """The user with this password; takes as long where there is none of the name."""
        entry = self.entries().get(name)
        known = entry is not None and entry.kind == "user"
        try:
            _hasher.verify(entry.hash if entry is not None and known else _NOBODY, password)
        except (VerificationError, InvalidHashError):
            return None
        return entry if known else None

    def _add(self, entry: Entry) -> Entry:
        if not _NAME.fullmatch(entry.name):
            raise UsageError(
                f"{entry.name!r} is no name: letters, digits and . _ @ -, at most 64 of them"
            )
        if unknown := set(entry.scopes) - set(SCOPES):
            raise UsageError(f"no scope is called {min(unknown)!r}: {', '.join(SCOPES)}")
        if not entry.scopes:
            raise UsageError(f"say what it is for: --scope {' --scope '.join(SCOPES)}")
        entries = self.entries()
        before = entries.get(entry.name)
        if before is not None and (before.kind, entry.kind) != ("user", "user"):
            raise UsageError(
                f"a {before.kind} is called {entry.name} already: choose another name, or revoke it"
            )
        self._write(entries | {entry.name: entry})
        return entry

    def _read(self) -> dict[str, Entry]:
        try:
            said: dict[str, Any] = json.loads(self.path.read_text("utf-8"))
            if said["format"] != _FORMAT:
                raise self._unusable("it was written by a newer version of vsr-edge")
            entries = [Entry(**one | {"scopes": tuple(one["scopes"])}) for one in said["entries"]]
            for entry in entries:
                _check(entry)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._unusable(str(error)) from error
        return {entry.name: entry for entry in entries}

    def _unusable(self, reason: str) -> VsrEdgeError:
        return VsrEdgeError(
            f"{self.path} cannot be read ({reason}): mend it, or delete it and name the users anew"
        )

    def _write(self, entries: dict[str, Entry]) -> None:
        document = {"format": _FORMAT, "entries": [asdict(one) for one in entries.values()]}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(f".{FILE}.{secrets.token_hex(8)}")
        # Never to be seen by others, not even for a moment.
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
        finally:
            part.unlink(missing_ok=True)


def _check(entry: Entry) -> None:
    """Raise TypeError for what nothing could be held against, as whoever asks would do."""
    for name in ("name", "kind", "hash"):
        value = getattr(entry, name)
        if not (isinstance(value, str) and value.isascii()):
            raise TypeError(f"the {name} of an entry is no plain text")
    if not all(isinstance(scope, str) for scope in entry.scopes):
        raise TypeError(f"the scopes of {entry.name} are no texts")
    if not isinstance(entry.expires, int | float | None):
        raise TypeError(f"when {entry.name} expires is no number: {entry.expires!r}")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
