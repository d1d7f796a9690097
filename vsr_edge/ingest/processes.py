"""Workers that are processes of this machine, each with its own decoder and encoder.

They talk over pipes, and hand on frames in files, which take no memory. One that ends takes the
order in its hand along and no other. Where this process is killed, they end by themselves.
"""

from __future__ import annotations

import os
import pickle
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from vsr_edge.errors import WorkerError
from vsr_edge.ingest.spread import Died, Received
from vsr_edge.ingest.worker import Begun, Broken, Finished, Order, Work, encode_file

# The one in hand, and one that waits for it.
ORDERS_EACH = 2
# Workers in a row that end before they have begun with anything.
MOST_STILLBORN = 3
_LAST_BYTES = 2000


@dataclass(slots=True, eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    log: Path
    orders: deque[tuple[int, Order]] = field(default_factory=deque)
    # Whether it has begun with the first of its orders.
    begun: bool = False


class ProcessPool:
    """At most ``count`` processes that do ``work``; each is started when it is needed."""

    def __init__(self, count: int, work: Work = encode_file) -> None:
        self._count, self._work = count, work
        self._workers: list[_Worker] = []
        self._folder = Path(tempfile.mkdtemp(prefix="vsr-edge-"))
        # What a worker said, None when it has ended.
        self._inbox: queue.SimpleQueue[tuple[_Worker, tuple[int, Received] | None]]
        self._inbox = queue.SimpleQueue()
        self._stillborn = self._started = 0

    @property
    def room(self) -> int:
        return self._count * ORDERS_EACH

    @property
    def process_ids(self) -> list[int]:
        """Those of the workers that were started and have not ended."""
        return [worker.process.pid for worker in self._workers if worker.process.poll() is None]

    def submit(self, ticket: int, order: Order, avoid: str = "") -> None:  # noqa: ARG002 — one place
        idle = any(not worker.orders for worker in self._workers)
        if not idle and len(self._workers) < self._count:
            self._workers.append(self._start())
        worker = min(self._workers, key=lambda one: len(one.orders))
        worker.orders.append((ticket, order))
        # Where it has ended, its reader says so.
        with suppress(OSError):
            _send(worker, (ticket, order))

    def receive(self) -> tuple[int, Received]:
        while True:
            worker, said = self._inbox.get()
            if worker not in self._workers:
                continue  # dropped
            if said is None:
                died = self._buried(worker)
                if died is not None:
                    return died
                continue
            ticket, message = said
            if isinstance(message, Begun):
                worker.begun, self._stillborn = True, 0
            elif isinstance(message, Finished | Broken):
                worker.orders.popleft()
                worker.begun = False
            return ticket, message

    def _buried(self, worker: _Worker) -> tuple[int, Died] | None:
        """The order that a worker died with; those that waited for it go to others."""
        code = _end(worker)
        self._workers.remove(worker)
        orders = worker.orders
        fallen = orders.popleft() if orders and worker.begun else None
        if not worker.begun:
            self._stillborn += 1
            if self._stillborn >= MOST_STILLBORN:
                last = worker.log.read_bytes()[-_LAST_BYTES:].decode("utf-8", "replace")
                raise WorkerError(
                    f"processes to decode and encode end as soon as they are started ({_how(code)})"
                    f": {last.strip() or 'and say nothing'}; index without --processes"
                )
        for ticket, order in orders:
            self.submit(ticket, order)
        if fallen is None:
            return None
        self._unlink(f"{fallen[0]}-*")  # it may have told of none of them
        return fallen[0], Died(_how(code))

    def _start(self) -> _Worker:
        self._started += 1
        log = self._folder / f"worker-{self._started}.log"
        # As here, whatever this program was started by; a script without a guard is not run again.
        paths = [path or str(Path.cwd()) for path in sys.path]
        with log.open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", "from vsr_edge.ingest.worker import serve; serve()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                # Ctrl-C is for this process; it ends the others.
                start_new_session=True,
            )
        worker = _Worker(process, log)
        threading.Thread(target=self._listen, args=(worker,), daemon=True).start()
        with suppress(OSError):
            _send(worker, (self._folder, self._work))
        return worker

    def _listen(self, worker: _Worker) -> None:
        for said in _messages(worker):
            self._inbox.put((worker, said))
        self._inbox.put((worker, None))

    def drop(self) -> None:
        if any(worker.orders for worker in self._workers):
            self._end()
        self._unlink("[0-9]*-*")

    def _unlink(self, pattern: str) -> None:
        for spooled in self._folder.glob(pattern):
            spooled.unlink(missing_ok=True)

    def close(self) -> None:
        self._end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self) -> None:
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            _end(worker)


def _send(worker: _Worker, what: object) -> None:
    assert worker.process.stdin is not None
    pickle.dump(what, worker.process.stdin, pickle.HIGHEST_PROTOCOL)
    worker.process.stdin.flush()


def _messages(worker: _Worker) -> Iterator[tuple[int, Received]]:
    """What a worker says until it ends, perhaps amid a message."""
    assert worker.process.stdout is not None
    with suppress(EOFError, OSError, ValueError, pickle.UnpicklingError):
        while True:
            yield pickle.load(worker.process.stdout)


def _end(worker: _Worker) -> int:
    """Wait for one that ends; with which code it did."""
    code = worker.process.wait()
    for pipe in (worker.process.stdin, worker.process.stdout):
        with suppress(OSError, ValueError):
            assert pipe is not None
            pipe.close()
    return code


def _how(code: int) -> str:
    """How a process ended."""
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"
