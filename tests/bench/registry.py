"""The rows by their short names, each with one line that says what is measured."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from tests.bench.report import Case
from tests.bench.rows import acks, budget, deciding, memory, orders, storing, streams
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
    "kafka": Measured(
        streams.kafka,
        "records of 2.5 KB from the first that is in the inbox to the last, on PostgreSQL, with no"
        " limit on what may wait; beside aiokafka's getmany and pydantic on the same topic",
    ),
    "decisions": Measured(
        deciding.decisions,
        "one process, PostgreSQL, one fact for each of many purchases: an order was read and is"
        " accepted, a shopper cancels, a merchant's event confirms again (it is routed first)",
    ),
    "budget-1": Measured(
        partial(budget.budget, replicas=1),
        "calls a second of one process that has work for more, PLATFORM_RATE=200, on PostgreSQL;"
        " the platform takes 150 ms and allows 250/s; beside the 200/s",
    ),
    "budget-3": Measured(
        partial(budget.budget, replicas=3),
        "the same of three processes that share the 200/s",
    ),
    "order": Measured(
        orders.order,
        "p99 of POST /v1/purchases until the order is accepted, 20/s, one at a time, the platform"
        " answers at once; beside GET checkout and POST orders alone",
    ),
    "stored-ack": Measured(
        storing.stored_ack,
        "the median ack of 32 connections that never rest, PostgreSQL, a store of 1,000,000"
        " purchases and 5,000,000 facts (--stored); beside an empty store",
    ),
    "stored-order": Measured(
        storing.stored_order,
        "p99 of the row `order` on the same store; beside an empty store",
    ),
    "memory": Measured(
        memory.memory,
        "highest resident memory of the process through a burst of webhooks on 32 connections,"
        " until all of them are routed",
    ),
}
