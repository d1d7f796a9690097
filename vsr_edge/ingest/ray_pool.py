"""Workers that are tasks of a Ray cluster, or of one that is started on this machine for a run.

Ray places tasks by the processors and cards that they ask for, keeps their processes, and with them
the models, for the next task, and holds frames in its object stores, which spill to the disk when
they are full. Which file is tried again, and where, is for :mod:`vsr_edge.ingest.spread` to say: no
task is repeated by Ray itself, which would not know what kills it.
"""

from __future__ import annotations

import logging
import os
import random
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from vsr_edge.errors import UsageError, WorkerError
from vsr_edge.ingest.spread import Died, PieceLost, Received
from vsr_edge.ingest.worker import (
    Begun,
    Broken,
    Finished,
    Message,
    Order,
    Work,
    encode_file,
    served,
)
from vsr_edge.types import FrameFeatures

# One that is started here for the run; any other address is of a cluster that runs.
LOCAL = "local"
# Of a cluster that is started here; what does not fit in is spilled to the disk.
STORE_BYTES = 256 << 20
# Orders for each task that can run at a time: no worker waits for the writer.
ORDERS_EACH = 2
# How long one look at the cluster's machines is good for, and how long one is waited for.
LOOK_SECONDS = 5.0
_WAIT_SECONDS = 1.0
_REACH_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class _Ahead:
    """So many frames come next."""

    frames: int


@dataclass(frozen=True, slots=True)
class RayPiece:
    """Frames in an object store."""

    frames: int
    ref: Any

    def load(self) -> FrameFeatures:
        import ray

        try:
            features = ray.get(self.ref)
        except ray.exceptions.RayError as error:
            raise PieceLost(str(error)) from error
        assert isinstance(features, FrameFeatures)
        return features

    def discard(self) -> None:
        """The object store lets go of them with the reference."""


@dataclass(slots=True)
class _Running:
    """A task: what it streams, what of it came last, and how many frames the next message holds."""

    ticket: int
    stream: Any
    last: Any = None
    ahead: int | None = None
    node: str = ""


def run_order(work: Work, order: Order) -> Iterator[Message | _Ahead]:
    """The task: of frames it is said first how many they are, so that nobody has to load them."""
    import ray

    for message in served(work, order, ray.get_runtime_context().get_node_id()):
        if isinstance(message, FrameFeatures):
            yield _Ahead(len(message))
        yield message


class RayPool:
    """Tasks that do ``work``, each with so many processors and cards.

    address: ``LOCAL``; "auto", the cluster that this machine belongs to; or HOST:PORT of its head.
    store_bytes: of the object store, where the cluster is started here.

    Raises:
        UsageError: Ray is not installed, or the address is that of a client.
        WorkerError: no cluster is there, or none of its machines has what a task asks for.
    """

    def __init__(
        self,
        address: str = LOCAL,
        *,
        processors: int = 1,
        cards: int = 0,
        local_processors: int = 1,
        store_bytes: int = STORE_BYTES,
        work: Work = encode_file,
    ) -> None:
        # Ray takes cards from tasks that ask for none, and says that it will not for ever.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ImportError as error:
            raise UsageError(
                "Ray is not installed: pip install 'vsr-edge[ray]', or index without --ray"
            ) from error
        if address.startswith("ray://"):
            raise UsageError(
                f"{address} is for clients, which see no frames: run this on a machine of the "
                "cluster, with --ray auto or --ray HOST:PORT"
            )
        _reach(address)
        self._processors, self._cards, self._work = processors, cards, work
        self._ours = not ray.is_initialized()
        if self._ours:
            quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
            if address == LOCAL:
                quiet |= {
                    "address": LOCAL,
                    "num_cpus": max(local_processors, processors),
                    "object_store_memory": store_bytes,
                    "include_dashboard": False,
                }
            else:
                quiet["address"] = address
            try:
                with _own_signals():
                    ray.init(**quiet)
            except (ConnectionError, RuntimeError, ValueError, OSError) as error:
                raise _no_cluster(address, error) from error
            _keep_off_stdout()
        self._task = ray.remote(
            num_cpus=processors, num_gpus=cards, max_retries=0, num_returns="streaming"
        )(run_order)
        self._running: dict[Any, _Running] = {}
        self._looked = 0.0
        self._nodes: dict[str, int] = {}
        if not self._fits():
            self.close()
            asked = f"{processors} processors" + (f" and {cards} graphics cards" if cards else "")
            raise WorkerError(f"no machine of the Ray cluster has {asked}, which a task asks for")

    def _fits(self) -> dict[str, int]:
        """By machine how many tasks it can run at a time, if any."""
        import ray

        if time.monotonic() - self._looked > LOOK_SECONDS or not self._nodes:
            self._nodes = {}
            for node in ray.nodes():
                has = node["Resources"] if node["Alive"] else {}
                fits = int(has.get("CPU", 0) // self._processors)
                if self._cards:
                    fits = min(fits, int(has.get("GPU", 0) // self._cards))
                if fits:
                    self._nodes[node["NodeID"]] = fits
            self._looked = time.monotonic()
        return self._nodes

    @property
    def room(self) -> int:
        # While all machines are down: whoever comes back finds something to do.
        return ORDERS_EACH * max(sum(self._fits().values()), 1)

    def submit(self, ticket: int, order: Order, avoid: str = "") -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        task = self._task
        others = [node for node in self._fits() if node != avoid]
        if avoid and others:
            there = NodeAffinitySchedulingStrategy(random.choice(others), soft=True)
            task = task.options(scheduling_strategy=there)
        stream = task.remote(self._work, order)
        self._running[stream] = _Running(ticket, stream)

    def receive(self) -> tuple[int, Received]:
        import ray

        while True:
            try:
                ready, _ = ray.wait(
                    [*self._running], num_returns=1, timeout=_WAIT_SECONDS, fetch_local=False
                )
                if not ready:
                    continue
                said = self._next(self._running[ready[0]])
            except (ray.exceptions.RaySystemError, ConnectionError) as error:
                raise WorkerError(f"the Ray cluster is gone: {_first_line(error)}") from error
            if said is not None:
                return said

    def _next(self, task: _Running) -> tuple[int, Received] | None:
        """What a task that is ready says; None for what only announces the next."""
        import ray

        try:
            ref = next(task.stream)
        except StopIteration:
            # It ended without a word that it did: with an error.
            ref = task.last
        else:
            task.last = ref
            if task.ahead is not None:
                piece = RayPiece(task.ahead, ref)
                task.ahead = None
                return task.ticket, piece
        try:
            message = ray.get(ref)
        except ray.exceptions.RayTaskError as error:
            return self._end(task, Broken("", _cannot_work(error)))
        except ray.exceptions.RayError as error:
            return self._end(task, self._died(task, error))
        if isinstance(message, _Ahead):
            task.ahead = message.frames
            return None
        if isinstance(message, Begun):
            task.node = message.place
        if isinstance(message, Finished | Broken):
            return self._end(task, message)
        return task.ticket, message

    def _end(self, task: _Running, message: Received) -> tuple[int, Received]:
        del self._running[task.stream]
        return task.ticket, message

    def _died(self, task: _Running, error: Exception) -> Died:
        """Of a task that is gone: whether it was its machine that went, or its process alone."""
        import ray

        if isinstance(error, ray.exceptions.OutOfMemoryError):
            return Died("its machine ran out of memory")
        self._looked = 0.0
        down = bool(task.node) and task.node not in self._fits()
        return Died("its machine went down" if down else "its process ended", innocent=down)

    def drop(self) -> None:
        import ray

        running, self._running = self._running, {}
        for task in running.values():
            with suppress(Exception):  # it has ended, or all is gone
                ray.cancel(task.stream, force=True)

    def close(self) -> None:
        import ray

        if self._ours and ray.is_initialized():
            with _own_signals():
                ray.shutdown()


def _reach(address: str) -> None:
    """Whether anything listens there at all: Ray itself waits for that for minutes."""
    if address in {LOCAL, "auto"}:
        return
    found = re.fullmatch(r"\[?(?P<host>[^\s/]+?)\]?:(?P<port>\d{1,5})", address)
    if found is None:
        raise UsageError(f"--ray is local, auto or HOST:PORT, not {address!r}")
    try:
        socket.create_connection((found["host"], int(found["port"])), _REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> WorkerError:
    return WorkerError(
        f"no Ray cluster answers at {address} ({_first_line(error)}): start one with `ray start "
        "--head`, join other machines to it with `ray start --address HOST:PORT`, or say --ray "
        "local"
    )


def _keep_off_stdout() -> None:
    """Where a JSON document may be expected, Ray prints what the summary tells of lost workers."""
    inside = import_module("ray._private.worker")
    name = "print_to_stdstream"
    if hasattr(inside, name):
        setattr(inside, name, lambda *_, **__: None)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself, for good."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _cannot_work(error: Exception) -> str:
    """Whatever a worker meets with an order it says itself; it never came so far."""
    last = str(error).strip().rpartition("\n")[2]
    return f"it cannot work ({last}): install the same vsr-edge on all machines of the cluster"
