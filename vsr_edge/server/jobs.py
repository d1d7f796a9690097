"""Indexing that was asked for: one job at a time, each a process of its own, which a crash of a
decoder or a kill ends without the server. What was asked is written down before it is answered; a
server that was killed takes up again what was not finished, and a job that is repeated skips what
is known.

Several servers of one archive have a folder each, locked as long as they run. Any of them tells of
the jobs of all, ends any, and takes over what one that is gone has left.
"""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from vsr_edge.config import Settings
from vsr_edge.document_served import JobDocument, JobProgress
from vsr_edge.documents import ErrorDocument
from vsr_edge.errors import ArchiveError
from vsr_edge.hits.thumbnails import put
from vsr_edge.server.indexer import is_below
from vsr_edge.server.refusals import busy
from vsr_edge.store.lock import WriterLock

FOLDER = "jobs"
# So many wait, and so many that are over are remembered.
MOST_WAITING, MOST_KEPT = 32, 200
ENDS_WITHIN, RETRY_SECONDS = 2.0, 30.0
# So often a server looks for what others ask of it or have left, and says how far its job is.
LOOKS_EVERY, TELLS_EVERY = 0.5, 1.0
# Beside a job: whoever found this server's job at another one wants it ended.
_CANCEL = ".cancel"
_ID = re.compile(r"[0-9a-f]{16}")
_NAMED = re.compile(rf"{FOLDER}(-\d+)?")


class Jobs:
    """The jobs of an archive; a thread runs them in the order in which they came.

    ``roots``: the folders below which files may be indexed, also by jobs of before.
    """

    def __init__(self, settings: Settings, roots: Sequence[Path]) -> None:
        self._settings, self._roots = settings, list(map(str, roots))
        self._home = settings.archive
        self._folder = self._home / FOLDER
        self._lock: WriterLock | None = None
        self._changed = threading.Condition()
        self._jobs: dict[str, JobDocument] = {}
        self._process: subprocess.Popen[str] | None = None
        self._running: str | None = None
        self._stopping = False
        self._told_at = 0.0

    def begin(self) -> None:
        """Read what is written down, and go on with what was not finished."""
        if self._folder.exists():
            self._take_folder()
        self._take_up(self._folder)
        for name, work in (("jobs", self._run), ("others' jobs", self._look)):
            thread = threading.Thread(target=work, name=name, daemon=True)
            thread.start()

    def _take_up(self, folder: Path) -> None:
        """Have the jobs that are written down in a folder, as those of this server."""
        with self._changed:
            for job in sorted(_kept(folder), key=lambda one: (one.made_at, one.id)):
                if job.state == "running":
                    job = job.model_copy(update={"state": "queued", "progress": None})
                self._jobs[job.id] = job
                asked = folder / f"{job.id}{_CANCEL}"
                with suppress(OSError, ArchiveError):
                    if folder != self._folder or asked.exists():
                        self._write(job)
                        asked.unlink(missing_ok=True)
                    if folder != self._folder:
                        (folder / f"{job.id}.json").unlink()
            self._changed.notify_all()

    def _take_folder(self) -> None:
        """Have a folder for as long as this server runs: further servers take further ones, or
        each would run what another runs already.
        """
        first = self._folder
        with suppress(OSError, ArchiveError):  # nothing can be written here, nor asked for
            for number in count(2):
                self._folder.mkdir(parents=True, exist_ok=True)
                lock = WriterLock(self._folder)
                if lock.try_acquire():
                    self._lock = lock
                    return
                self._folder = first.with_name(f"{FOLDER}-{number}")
        self._folder = first

    @property
    def _others(self) -> Sequence[Path]:
        """The folders of other servers, those that are gone included."""
        own = None if self._lock is None else self._folder
        with suppress(OSError):
            return [
                folder
                for folder in self._home.iterdir()
                if _NAMED.fullmatch(folder.name) and folder != own and folder.is_dir()
            ]
        return []

    @property
    def unfinished(self) -> int:
        return sum(job.state in ("queued", "running") for job in list(self._jobs.values()))

    def list(self) -> list[JobDocument]:
        """The newest first."""
        with self._changed:
            found = {job.id: job for job in reversed(self._jobs.values())}
        for folder in self._others:
            for job in _kept(folder):
                found.setdefault(job.id, job)
        return sorted(found.values(), key=lambda job: job.made_at, reverse=True)

    def find(self, job_id: str) -> JobDocument | None:
        with self._changed:
            job = self._jobs.get(job_id)
        return self._of_another(job_id)[1] if job is None else job

    def _of_another(self, job_id: str) -> tuple[Path, JobDocument | None]:
        """A job of another server, and its file."""
        for folder in self._others:
            file = folder / f"{job_id}.json"
            if (job := _read(file)) is not None:
                return file, job
        return self._home, None

    def add(
        self,
        paths: Sequence[str],
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        tags: Sequence[str] = (),
    ) -> JobDocument:
        """Ask for paths to be indexed; it is written down when this returns.

        Raises:
            Refused: too many wait.
            ArchiveError: it cannot be written down.
        """
        given: dict[str, Any] = {"paths": paths, "include": include, "exclude": exclude}
        given |= {"id": secrets.token_hex(8), "state": "queued", "tags": tags, "made_at": _now()}
        job = JobDocument.model_validate(given)
        with self._changed:
            if self.unfinished >= MOST_WAITING:
                raise busy(f"{self.unfinished} jobs are waiting", RETRY_SECONDS)
            if self._lock is None:
                self._take_folder()
            self._write(job)
            self._jobs[job.id] = job
            self._forget()
            self._changed.notify_all()
        return job

    def cancel(self, job_id: str) -> JobDocument | None:
        """End a job; what it has finished stays. None if there is no such job."""
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None:
                return self._have_cancelled(job_id)
            if job.state not in ("queued", "running"):
                return job
            job = self._change(job_id, state="cancelled", ended_at=_now())
            process = self._process if self._running == job_id else None
        if process is not None:
            _end(process)
        return job

    def _have_cancelled(self, job_id: str) -> JobDocument | None:
        """Have another server end its job."""
        file, job = self._of_another(job_id)
        if job is None or job.state not in ("queued", "running"):
            return job
        try:
            file.with_suffix(_CANCEL).touch()
        except OSError as error:
            raise _unwritable(file.parent, error) from error
        return job.model_copy(update={"state": "cancelled", "ended_at": _now()})

    def _look(self) -> None:
        """Do what other servers ask, and what those have left that are gone."""
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._stopping, LOOKS_EVERY):
                    return
            if self._lock is not None:
                with suppress(OSError):
                    for asked in self._folder.glob(f"*{_CANCEL}"):
                        self.cancel(asked.stem)
                        asked.unlink(missing_ok=True)
            for folder in self._others:
                with suppress(OSError, RuntimeError, ArchiveError):
                    self._take_over(folder)

    def _take_over(self, folder: Path) -> None:
        """Have the jobs of a server that is gone, if all that they name may be indexed here."""
        lock = WriterLock(folder)
        if next(folder.glob("*.json"), None) is None or not lock.try_acquire():
            return
        with lock, self._changed:
            roots = [Path(root) for root in self._roots]
            left = (job for job in _kept(folder) if job.state in ("queued", "running"))
            if self._stopping or not all(
                is_below(Path(p), roots) for job in left for p in job.paths
            ):
                return
            if self._lock is None:
                self._take_folder()
            if self._lock is not None:
                self._take_up(folder)

    def close(self) -> None:
        """End the job that runs: the next server goes on with it."""
        with self._changed:
            self._stopping = True
            process = self._process
            self._changed.notify_all()
        if process is not None:
            _end(process)
            try:
                process.wait(ENDS_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
        if self._lock is not None:
            self._lock.release()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._stopping and self._next() is None:
                    self._changed.wait()
                job = self._next()
                if self._stopping or job is None:
                    return
                self._running = job.id
                self._change(job.id, state="running", began_at=_now())
            try:
                self._index(job)
            except Exception as error:
                self._over(job.id, error=_error(type(error).__name__, str(error)))
            finally:
                self._running = self._process = None

    def _next(self) -> JobDocument | None:
        return next((job for job in self._jobs.values() if job.state == "queued"), None)

    def _index(self, job: JobDocument) -> None:
        settings = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(self._settings).items()
            if name != "database"
        }
        # The address may hold a password: it is written to a pipe, and nowhere else.
        settings["archive"] = self._settings.database or settings["archive"]
        asked = job.model_dump(include={"paths", "include", "exclude", "tags"})
        process = subprocess.Popen(
            # Not from the folder that the server was started in: anybody may have put files there.
            [sys.executable, "-P", "-m", "vsr_edge.server.indexer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="ascii",
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with process:
            with self._changed:
                self._process = process
                # Whoever cancelled it a moment ago found no process to end.
                ended = self._stopping or self._jobs[job.id].state != "running"
            with suppress(BrokenPipeError):
                said = {"settings": settings, "roots": self._roots, **asked}
                process.stdin.write(json.dumps(said) + "\n")
                process.stdin.flush()
            if ended:
                _end(process)
            for line in process.stdout:
                self._told(job.id, json.loads(line))
            process.wait()
        with self._changed:
            self._process = None
            if self._jobs[job.id].state == "running" and not self._stopping:
                reason = f"the process that indexed ended unexpectedly (code {process.returncode})"
                self._over(job.id, error=_error("ProcessEnded", f"{reason}: index again"))

    def _told(self, job_id: str, line: dict[str, Any]) -> None:
        """One line of the process: how far it is, or how it ended."""
        if "progress" in line:
            with self._changed:
                progress = JobProgress.model_validate(line["progress"])
                job = self._jobs[job_id].model_copy(update={"progress": progress})
                self._jobs[job_id] = job
                if time.monotonic() - self._told_at >= TELLS_EVERY:
                    self._told_at = time.monotonic()
                    with suppress(ArchiveError):
                        self._write(job)
        else:
            self._over(job_id, result=line.get("result"), error=line.get("error"))

    def _over(
        self, job_id: str, result: dict[str, Any] | None = None, error: dict[str, Any] | None = None
    ) -> None:
        with self._changed:
            interrupted = result is not None and result["interrupted"]
            if self._stopping and interrupted:
                return  # it goes on when the server does
            state = self._jobs[job_id].state
            if state == "running":
                state = "failed" if error is not None or interrupted else "done"
            self._change(job_id, state=state, result=result, error=error, ended_at=_now())

    def _change(self, job_id: str, **changes: Any) -> JobDocument:
        job = self._jobs[job_id] = self._jobs[job_id].model_copy(update=changes)
        with suppress(ArchiveError):  # it runs all the same
            self._write(job)
        return job

    def _write(self, job: JobDocument) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            put(self._folder / f"{job.id}.json", json.dumps(job.model_dump(by_alias=True)).encode())
        except OSError as error:
            raise _unwritable(self._folder, error) from error

    def _forget(self) -> None:
        over = [job for job in self._jobs.values() if job.state not in ("queued", "running")]
        for job in over[:-MOST_KEPT]:
            del self._jobs[job.id]
            if _ID.fullmatch(job.id):
                (self._folder / f"{job.id}.json").unlink(missing_ok=True)


def _kept(folder: Path) -> list[JobDocument]:
    """The jobs that are written down in a folder."""
    with suppress(OSError):
        return [job for file in folder.glob("*.json") if (job := _read(file)) is not None]
    return []


def _read(file: Path) -> JobDocument | None:
    """The job of a file, as it will be: one that is to be ended counts as ended. None where there
    is none that is whole.
    """
    try:
        job = JobDocument.model_validate_json(file.read_bytes())
    except (OSError, ValueError):
        return None
    if job.state in ("queued", "running") and file.with_suffix(_CANCEL).exists():
        job = job.model_copy(update={"state": "cancelled", "ended_at": job.ended_at or _now()})
    return job


def _unwritable(folder: Path, error: OSError) -> ArchiveError:
    reason = error.strerror or str(error)
    return ArchiveError(f"{folder} cannot be written ({reason}): change its permissions")


def _end(process: subprocess.Popen[str]) -> None:
    """Its input's end is what tells the process to end, as the server's own end does."""
    with suppress(OSError, ValueError):
        if process.stdin is not None:
            process.stdin.close()


def _error(kind: str, message: str) -> dict[str, Any]:
    return ErrorDocument(kind=kind, message=message, exit_code=1).model_dump(by_alias=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
