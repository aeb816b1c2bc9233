"""What the rows run on: the service and the yardsticks as processes, and the real services."""

import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import httpx
import pytest

from consumer.store.migrate import migrate
from consumer.store.opening import open_engine
from deploy.demo.processes import ROOT, Failed, Program, answering, clean_environment, free_port
from tests.bench.cores import used
from tests.bench.load import SECRET
from tests.bench.stored import fill_up
from tests.bench.wrk import Broken
from tests.services.kafka import Cluster, running
from tests.services.postgres import OwnPostgres, Postgres, own_server

# As a server of its own would have it: nothing is acknowledged before it is on the disk.
POSTGRES = (
    *("fsync=on", "synchronous_commit=on", "max_connections=150", "listen_addresses=127.0.0.1"),
    *("shared_buffers=512MB", "max_wal_size=4GB", "checkpoint_timeout=15min"),
    *("maintenance_work_mem=512MB", "max_parallel_maintenance_workers=2"),
)
KEY, SHOP_KEYS = "sk_sandbox_service", tuple(f"sk_sandbox_shop{n}" for n in range(8))
SHOP, OPS = "bench-shop-token", "bench-operator-token"
SERVICE = str(Path(sys.executable).with_name("order-rescue"))
PLATFORM_LIMIT = 250  # requests a second and key, as the platform documents for live mode

Measure = Callable[[], Awaitable[float]]


@dataclass(frozen=True)
class Options:
    """How much is measured. `stored`: purchases in the full store, with five facts each."""

    rounds: int = 3
    seconds: float = 8.0
    stored: int = 1_000_000
    burst: int = 200_000
    profile: str = ""  # a command that the service runs under
    keep: bool = False  # the folder with the logs


@dataclass
class Server:
    """A process that answers at `url`."""

    url: str
    program: Program

    @property
    def pid(self) -> int:
        """Its process."""
        assert self.program.process is not None
        return self.program.process.pid


@dataclass
class Bench:
    """Starts what a row needs, once for all rows where that is possible."""

    folder: Path
    options: Options
    stack: ExitStack
    notes: dict[str, list[float]] = field(default_factory=dict)  # of the row that is measured
    _full: str = ""
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(10**6)))

    @cached_property
    def postgres(self) -> Postgres:
        """One PostgreSQL for all rows."""
        with needing():
            return self.stack.enter_context(own_server(POSTGRES))

    @cached_property
    def kafka(self) -> Cluster:
        """One broker."""
        folder = self.folder / "kafka"
        folder.mkdir()
        with needing():
            return self.stack.enter_context(running(folder))

    @contextmanager
    def database(self, kind: str, *, migrated: bool = True) -> Iterator[str]:
        """The URL of a fresh database of a kind, `sqlite` or `postgres`, until the block ends."""
        if kind == "postgres":
            url = self.postgres.fresh(migrated=migrated)
            try:
                yield url
            finally:
                self.postgres.drop(url)
            return
        folder = Path(tempfile.mkdtemp(prefix="sqlite-", dir=self.folder))
        url = f"sqlite:///{folder}/bench.db"
        if migrated:
            migrate(open_engine(url))
        try:
            yield url
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def note(self, what: str, value: float) -> None:
        """A figure of this round that has no target."""
        self.notes.setdefault(what, []).append(value)

    @asynccontextmanager
    async def costing(self, server: Server, kind: str, per: str) -> AsyncIterator[list[int]]:
        """Note the milliseconds of processor time for each of what the block says it did."""
        owners = {"service": server.pid}
        if kind == "postgres" and isinstance(self.postgres, OwnPostgres) and self.postgres.process:
            owners["database"] = self.postgres.process.pid
        before = {name: used(pid) for name, pid in owners.items()}
        done: list[int] = []
        yield done
        for name, pid in owners.items():
            self.note(f"{kind}: {name} ms/{per}", 1000 * (used(pid) - before[name]) / sum(done))

    async def full(self) -> str:
        """The URL of the database that has been used for long; it is filled once."""
        if not self._full:
            url = self.postgres.fresh()
            await fill_up(url, self.options.stored)
            self._full = url
        return self._full

    def program(self, name: str, command: Sequence[str], environment: dict[str, str]) -> Program:
        """A process whose output goes into the folder."""
        number = next(self._numbers)
        folder = self.folder / f"{name}-{number}"
        folder.mkdir()
        everything = clean_environment({"PYTHONPATH": str(ROOT), **environment})
        return Program(name, command, everything, folder, folder / "output.log")

    @asynccontextmanager
    async def running(self, program: Program, url: str, ready: str) -> AsyncIterator[Server]:
        """Start it, wait until it answers at `ready`, end it with the block."""
        program.start()
        try:
            async with httpx.AsyncClient(trust_env=False) as http:
                await answering(http, program, url + ready)
            yield Server(url, program)
        except Failed as failed:
            raise Broken(f"{failed}\n{program.tail()}") from failed
        finally:
            await program.stop()

    @asynccontextmanager
    async def serving(
        self, database: str, platform: str = "", **more: str
    ) -> AsyncIterator[Server]:
        """`order-rescue serve` on this database, as its users run it."""
        port = int(more.get("PORT") or free_port())
        settings = {
            "PLATFORM_URL": platform or f"http://127.0.0.1:{free_port()}",
            "PLATFORM_KEY": KEY,
            "WEBHOOK_SECRETS": SECRET,
            "API_TOKENS": f"shop:shop:{SHOP},ops:operator:{OPS}",
            "DATABASE_URL": database,
            "PORT": str(port),
            **more,
        }
        variables = {f"ORDER_RESCUE_{name}": value for name, value in settings.items()}
        command = [*self.options.profile.split(), SERVICE, "serve"]
        program = self.program("service", command, variables)
        async with self.running(program, f"http://127.0.0.1:{port}", "/readyz") as server:
            yield server

    @asynccontextmanager
    async def yardstick(self, name: str, *arguments: str) -> AsyncIterator[Server]:
        """One of the programs in `yardsticks`, which takes its port first."""
        port = free_port()
        command = [sys.executable, "-m", f"tests.bench.yardsticks.{name}", str(port), *arguments]
        program = self.program(name, command, {})
        async with self.running(program, f"http://127.0.0.1:{port}", "/readyz") as server:
            yield server

    @asynccontextmanager
    async def sandbox(self, *arguments: str) -> AsyncIterator[Server]:
        """The stand-in platform, on the same cores."""
        port = free_port()
        keys = [word for key in (KEY, *SHOP_KEYS) for word in ("--key", key)]
        command = [
            *(sys.executable, "-m", "deploy.sandbox", "--port", str(port), *keys),
            *("--webhook-secret", SECRET, "--seed", "1", *arguments),
        ]
        program = self.program("sandbox", command, {})
        url = f"http://127.0.0.1:{port}"
        async with self.running(program, url, "/_sandbox/settings") as server:
            yield server

    async def rounds(self, subject: Measure, yardstick: Measure) -> tuple[list[float], list[float]]:
        """Both once per round, in turns first, so that neither always finds the warmer machine."""
        found: tuple[list[float], list[float]] = ([], [])
        for number in range(self.options.rounds):
            order = ((0, subject), (1, yardstick))
            for which, measure in order if number % 2 == 0 else reversed(order):
                found[which].append(await measure())
        return found


@contextmanager
def needing() -> Iterator[None]:
    """What the tests' services can't start is skipped there; here the row breaks."""
    try:
        yield
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:
        raise Broken(str(missing)) from missing
