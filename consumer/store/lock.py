"""One service per SQLite file: an operating system's lock, which a dead process can't keep."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url


class DatabaseInUse(Exception):
    """Another `serve` works on this file; `str()` names both."""


def database_file(url: str) -> Path:
    """The file behind a `sqlite:///` URL."""
    return Path(make_url(url).database or "").absolute()


@contextmanager
def exclusive(database: Path) -> Iterator[None]:
    """Hold `<database>.lock` while inside. Raises DatabaseInUse at once if another holds it.

    The lock file stays: to delete it would let two processes lock two files of one name.
    """
    target = database.resolve()  # a link to the file is the same file
    lock = target.with_name(target.name + ".lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(descriptor, target)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)  # which lets go of the lock


def _lock(descriptor: int, database: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
        who = f" (process {holder})" if holder else ""
        raise DatabaseInUse(
            f"{database} is in use by another order-rescue serve{who};"
            " one SQLite file serves one process"
        ) from error
