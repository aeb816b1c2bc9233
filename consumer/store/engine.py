"""What a store is, whichever database is behind it."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")
A = TypeVar("A")
Job = Callable[[Connection], T]


class StoreUnavailable(Exception):
    """The database can't take it now (locked, full, read-only, not reachable).

    Nothing was stored; or, where the connection was lost during a commit, nobody knows. So a job
    that is run again must find out by itself: by a version, an epoch or an id that is unique.
    """


class Raced(Exception):
    """Another transaction was faster. The store runs the job again, and it sees what came first."""


@dataclass(frozen=True, slots=True)
class Together(Generic[A, T]):
    """A job that costs less together with its like: `run` does all the `item`s that wait.

    `run` gives one result for each, in their order. If it raises, nothing of theirs is kept, and
    each is run again by itself.
    """

    run: Callable[[Connection, Sequence[A]], Sequence[T]]
    item: A

    def __call__(self, connection: Connection) -> T:
        [result] = self.run(connection, [self.item])
        return result


def grouped(jobs: Sequence[Job[Any]]) -> Iterator[list[int]]:
    """The places of jobs that can run together, in the order of the first of each group."""
    groups: dict[Hashable, list[int]] = {}
    for place, job in enumerate(jobs):
        groups.setdefault(job.run if isinstance(job, Together) else place, []).append(place)
    yield from groups.values()


def run_group(connection: Connection, jobs: Sequence[Job[Any]]) -> Sequence[Any]:
    """The results of one such group."""
    items = [job.item for job in jobs if isinstance(job, Together)]
    match jobs:
        case [Together(run=run), _, *_]:
            results: Sequence[Any] = run(connection, items)
            return results
        case _:
            return [job(connection) for job in jobs]


class Store(Protocol):
    """Runs jobs over the database. All methods raise `StoreUnavailable`.

    A job may be run more than once; only its last run is kept, whole. Every `write` joins a
    transaction with others that wait, and one that fails takes nobody else with it.
    """

    @property
    def engine(self) -> Engine | AsyncEngine:
        """Where its connections come from."""
        ...

    async def write(self, job: Job[T], *, ingress: bool = False) -> T:
        """Run `job` in a transaction and return its result once that is durable."""
        ...

    async def read(self, job: Job[T]) -> T:
        """Run `job` over a snapshot."""
        ...

    async def look(self, job: Job[T]) -> T:
        """Run a `job` of one statement, which needs no transaction to see one snapshot."""
        ...

    async def checkpoint(self) -> bool:
        """Empty what the database keeps of deleted rows outside of its tables, where it can.

        False while a reader is in the way: then try again.
        """
        ...

    async def close(self) -> None:
        """Finish what waits, then close."""
        ...

    def backlog(self) -> int:
        """How many jobs wait for a commit."""
        ...
