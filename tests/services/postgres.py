"""A real PostgreSQL, 15 or later: named by a variable, in a container, or the machine's own."""

import asyncio
import itertools
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg  # type: ignore[import-untyped]  # it comes without types

from consumer.store.migrate import migrate
from consumer.store.postgres import postgres_engine
from tests.services import container, unavailable

T = TypeVar("T")
NAMED = "TEST_ORDER_RESCUE_POSTGRES"
OLDEST = 15
IMAGE = "postgres:17-bookworm"
TEMPLATE = "order_rescue_template"
START_SECONDS = 30.0
# The tests kill the server, not the machine: what the system has been given is safe without fsync.
OPTIONS = ("fsync=off", "max_connections=150", "shared_buffers=32MB", "listen_addresses=127.0.0.1")


def apart(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, whatever loop this thread has."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


@dataclass
class Postgres:
    """A server. `url` names its `postgres` database; every test gets a database of its own."""

    url: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _prefix: str = field(default_factory=lambda: f"t{os.getpid()}_{time.time_ns() % 10**9}")

    def fresh(self, *, migrated: bool = True) -> str:
        """The URL of a new database, with our tables unless they are to be made by the test."""
        name = f"{self._prefix}_{next(self._numbers)}"
        template = f"{self._prefix}_{TEMPLATE}"
        if migrated and not self.do(f"SELECT 1 FROM pg_database WHERE datname = '{template}'"):
            self.do(f"CREATE DATABASE {template}")
            with ThreadPoolExecutor(1) as pool:  # away from the event loop of a test
                pool.submit(migrate, postgres_engine(self.named(template))).result()
        self.do(f"CREATE DATABASE {name} TEMPLATE {template if migrated else 'template0'}")
        return self.named(name)

    def drop(self, url: str) -> None:
        """Remove a database, whoever still uses it."""
        self.do(f"DROP DATABASE IF EXISTS {urlsplit(url).path[1:]} WITH (FORCE)")

    def drop_all(self) -> None:
        """Remove all that was made here."""
        for row in self.do(f"SELECT datname FROM pg_database WHERE datname LIKE '{self._prefix}%'"):
            self.drop(self.named(row["datname"]))

    def wait(self, process: subprocess.Popen[bytes]) -> None:
        """Until the server that this process is takes connections."""
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                self.do("SELECT 1")
                return
            except (OSError, asyncpg.PostgresError):
                if time.monotonic() > end or process.poll() is not None:
                    raise
                time.sleep(0.05)

    def named(self, database: str) -> str:
        """The URL of a database."""
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))

    def do(self, statement: str, url: str = "") -> list[Any]:
        """Run one statement by itself; its rows."""

        async def run() -> list[Any]:
            connection = await asyncpg.connect(url or self.url, timeout=10)
            try:
                rows: list[Any] = await connection.fetch(statement)
                return rows
            finally:
                await connection.close()

        return apart(run())


@dataclass
class OwnPostgres(Postgres):
    """A server that the tests may kill and start again."""

    program: Path = Path()
    folder: Path = Path()
    port: int = 0
    user: str | None = None
    options: tuple[str, ...] = OPTIONS
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        options = [part for option in self.options for part in ("-c", option)]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(str(self.program), "-D", str(self.folder / "data")),
                    *("-p", str(self.port), "-k", str(self.folder), *options),
                ],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **as_user(self.user),
            )
        self.wait(self.process)

    def crash(self) -> None:
        """End it at once, as `pg_ctl stop -m immediate` does; the log is replayed at the start."""
        assert self.process is not None
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(START_SECONDS)

    def kill(self) -> None:
        """SIGKILL: its children see that it is gone, and go."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(START_SECONDS)


def as_user(name: str | None) -> dict[str, Any]:
    """For Popen: run as this ordinary user."""
    if name is None:
        return {}
    entry = pwd.getpwnam(name)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def ordinary_user() -> str | None:
    """Whom to run a server as; `None`: whoever we are."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in known:
            return name
    unavailable("PostgreSQL", "root can't run it, and there is no user `postgres` or `nobody`")


def programs() -> Path:
    """The folder with `initdb` and `postgres`."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            text = subprocess.check_output([folder / "postgres", "--version"], text=True)
            version = re.search(r"(\d+)", text)
            if version and int(version[1]) >= OLDEST:
                return folder
    unavailable("PostgreSQL", f"neither {NAMED} nor the machine's initdb (version {OLDEST})")


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def own_server(options: tuple[str, ...] = OPTIONS) -> Iterator[OwnPostgres]:
    """The machine's PostgreSQL on a free loopback port, in a temporary folder, until the end."""
    folder, bin, user = (
        Path(tempfile.mkdtemp(prefix="order-rescue-pg-")),
        programs(),
        ordinary_user(),
    )
    try:
        if user:
            shutil.chown(folder, user)
        subprocess.run(
            (
                *(bin / "initdb", "-D", folder / "data", "-A", "trust", "-U", "postgres"),
                *("-E", "UTF8", "--no-locale", "--no-sync"),
            ),
            check=True,
            capture_output=True,
            cwd=folder,
            **as_user(user),
        )
        port = free_port()
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        server = OwnPostgres(
            url, program=bin / "postgres", folder=folder, port=port, user=user, options=options
        )
        server.start()
        try:
            yield server
        finally:
            server.crash()  # nothing happens if it has ended
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def server() -> Iterator[Postgres]:
    """The server for all tests of this process."""
    if url := os.environ.get(NAMED):
        named = Postgres(url)
        try:
            [row] = named.do("SHOW server_version_num")
        except (OSError, asyncpg.PostgresError) as error:
            unavailable("PostgreSQL", f"the one in {NAMED} does not answer: {type(error).__name__}")
        if int(row[0]) < OLDEST * 10_000:
            unavailable("PostgreSQL", f"the one in {NAMED} is older than {OLDEST}")
        try:
            yield named
        finally:
            named.drop_all()
        return
    with contained_server() if container.has(IMAGE) else own_server() as found:
        yield found


@contextmanager
def contained_server() -> Iterator[Postgres]:
    """A server in a container, on a free loopback port, until the end."""
    port = free_port()
    name, given = f"order-rescue-postgres-{port}", [p for o in OPTIONS for p in ("-c", o)]
    run = ["docker", "run", "--rm", "--network=host", f"--name={name}"]
    run += ["-e", "POSTGRES_HOST_AUTH_METHOD=trust", IMAGE, "postgres", "-p", str(port), *given]
    process = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = Postgres(f"postgresql://postgres@127.0.0.1:{port}/postgres")
    try:
        server.wait(process)
        yield server
    finally:
        container.kill(name, signal.SIGQUIT)
        process.wait(START_SECONDS)
