"""An archive on a server, opened by those that write to it for another process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from vsr_edge.store.base import Store, Writer
from vsr_edge.store.postgres.pg_connection import Address


class Opened(Store, Protocol):
    """A store of a server."""

    def writer_beside(self) -> AbstractContextManager[Writer]:
        """A writer that leaves the upkeep of the archive to another one."""


class Open(Protocol):
    """What opens such a store; named, as it is pickled."""

    def __call__(
        self, url: Address, *, bundle_id: str, dim: int, create: bool, generation: int | None
    ) -> Opened: ...


@dataclass(frozen=True, slots=True)
class ServerShared:
    """:class:`vsr_edge.store.base.Shared`; ``generation`` is that of a shadow archive, if it is
    one, and ``number`` that which the archive had.
    """

    open: Open
    address: Address
    bundle_id: str
    dim: int
    number: int
    generation: int | None

    @contextmanager
    def writing(self) -> Iterator[tuple[Store, Writer]]:
        store = self._store()
        with store.writer_beside() as writer:
            yield store, writer

    def _store(self) -> Opened:
        """One a process: videos come one after the other, and mostly of one archive."""
        if self not in _opened:
            while _opened:
                _opened.popitem()[1].close()
            _opened[self] = self.open(
                self.address,
                bundle_id=self.bundle_id,
                dim=self.dim,
                create=False,
                generation=self.generation,
            )
        return _opened[self]


_opened: dict[ServerShared, Opened] = {}
