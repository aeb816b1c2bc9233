"""The rows by their short names, each with one line that says what is measured."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from tests.bench.report import Case
from tests.bench.rows import acks
from tests.bench.stage import Bench


@dataclass(frozen=True)
class Measured:
    """How a row is measured, and what that is."""

    measure: Callable[[Bench], Awaitable[list[Case]]]
    what: str


ROWS: dict[str, Measured] = {
    "ack-sqlite": Measured(
        partial(acks.acks, kind="sqlite", target=0.30),
        "signed webhooks of 2.5 KB until the 202, on SQLite synchronous=FULL, 32 connections;"
        " beside a bare Starlette 202 on the same uvicorn",
    ),
    "ack-postgres": Measured(
        partial(acks.acks, kind="postgres", target=0.25),
        "the same on PostgreSQL with fsync, beside the same",
    ),
    "ack-typical": Measured(
        acks.typical,
        "the same beside a FastAPI and SQLAlchemy receiver that commits each request, on the same"
        " database",
    ),
    "tail": Measured(
        acks.tail,
        "p99 of the ack at half of the rate that the same process has just shown as its most,"
        " beside its own median",
    ),
    "overload": Measured(
        acks.overload,
        "four times the connections with which the first 503 came; the slowest answer of any kind,"
        " and rows in the inbox against 202s",
    ),
}
