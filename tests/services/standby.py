"""A synchronous standby of a test's own server: what a commit returned for is on both."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.services.postgres import START_SECONDS, OwnPostgres, as_user, free_port

NAME = "standby"


@contextmanager
def standby_of(primary: OwnPostgres) -> Iterator[OwnPostgres]:
    """A copy that follows the primary, which from now on waits for it with every commit."""
    port = free_port()
    folder = primary.folder / NAME
    folder.mkdir()
    if primary.user:
        shutil.chown(folder, primary.user)
    _copy(primary, folder / "data")
    url = primary.url.replace(f":{primary.port}/", f":{port}/")
    copy = replace(primary, url=url, folder=folder, port=port, process=None)
    copy.start()
    try:
        primary.do(f"ALTER SYSTEM SET synchronous_standby_names = '{NAME}'")
        primary.do("SELECT pg_reload_conf()")
        _wait(primary, "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'")
        yield copy
    finally:
        copy.crash()


def promote(copy: OwnPostgres) -> None:
    """Make it the primary; returns when it takes writes."""
    copy.do("SELECT pg_promote()")
    _wait(copy, "SELECT 1 WHERE NOT pg_is_in_recovery()")


def _copy(primary: OwnPostgres, data: Path) -> None:
    source = f"host=127.0.0.1 port={primary.port} user=postgres application_name={NAME}"
    subprocess.run(
        (
            *(primary.program.with_name("pg_basebackup"), "-D", data, "-d", source),
            *("-R", "--checkpoint=fast", "--no-sync"),
        ),
        check=True,
        capture_output=True,
        cwd=primary.folder,
        **as_user(primary.user),
    )


def _wait(server: OwnPostgres, statement: str) -> None:
    end = time.monotonic() + START_SECONDS
    while not server.do(statement):
        assert time.monotonic() < end, statement
        time.sleep(0.05)
