"""`python -m tests.bench.scaling [report.json]`: what limits, from one process to many databases.

A fluid model of a busy hour, second by second, with what `make bench` measured: events and
purchases come in, are acknowledged, decided upon, and call the platform; what a second can't take
waits for the next one. docs/scaling.md says what to read from it.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.demo.processes import ROOT

REPORT = ROOT / "build" / "bench" / "report.json"
BUDGET = 200.0  # calls a second of one platform account: 80 % of its limit of 250
HOUR, RUSH = 3600, 600  # seconds; the rush is in the middle
NEEDED = "ack-sqlite, ack-postgres, decisions and order"
STAGES = ("webhooks", "decisions", "database", "platform")


@dataclass(frozen=True)
class Costs:
    """What was measured. Milliseconds of one core, and calls of the platform."""

    ack: float  # of a process, for one event that is acknowledged and routed
    ack_database: float  # of the database, for the same
    decision: float  # of a process
    decision_database: float
    calls: float  # of one order
    events: float = 8.0  # of the platform, for one order
    decisions: float = 12.0  # for one order: its request, its events, its answers


@dataclass(frozen=True)
class Deployment:
    """`accounts` of the platform, each with a budget of its own, on so many `databases`."""

    name: str
    replicas: int
    databases: int = 1
    accounts: int = 1
    cores: float = 2.0  # of each database's machine; each process uses one core of its own

    def capacity(self, costs: Costs) -> dict[str, float]:
        """Orders a second that each stage takes by itself."""
        event = costs.ack * costs.events
        decision = costs.decision * costs.decisions
        stored = costs.ack_database * costs.events + costs.decision_database * costs.decisions
        return {
            "webhooks": self.replicas * 1000 / event,
            "decisions": self.replicas * 1000 / (event + decision),
            "database": self.databases * self.cores * 1000 / stored if stored else float("inf"),
            "platform": self.accounts * BUDGET / costs.calls,
        }


@dataclass(frozen=True)
class Seen:
    """What a rush did: where it waited the longest, for how long, and how long after its end."""

    limit: str
    wait: float
    over: float


def rush(deployment: Deployment, costs: Costs, peak: float, base: float = 0.1) -> Seen:
    """An hour at a tenth of the peak, with ten minutes at the peak in its middle."""
    capacity = deployment.capacity(costs)
    queues = dict.fromkeys(STAGES, 0.0)
    longest = dict.fromkeys(STAGES, 0.0)
    over, second = 0, 0
    while second < HOUR or any(queue > 1 for queue in queues.values()):
        flow = peak if RUSH * 2 <= second < RUSH * 3 else peak * base
        for stage in STAGES:
            waiting = queues[stage] + flow
            flow = min(waiting, capacity[stage])
            queues[stage] = waiting - flow
            longest[stage] = max(longest[stage], queues[stage] / capacity[stage])
        if second >= RUSH * 3 and any(queue > 1 for queue in queues.values()):
            over = second - RUSH * 3
        second += 1
        if second > 100 * HOUR:
            break  # the base alone is too much
    limit = max(STAGES, key=lambda stage: longest[stage])
    return Seen(limit if longest[limit] else "nothing", longest[limit], over)


def costs_of(report: dict[str, Any], kind: str) -> Costs:
    """From a report of `make bench` with the rows ack-*, decisions and order.

    On SQLite, whose decisions are not measured, those of PostgreSQL count, the database's part
    too: it is the same process.
    """
    rows = {row["name"]: row for row in report["rows"]}
    notes = {k: v for row in rows.values() for k, v in row["notes"].items()}
    ack = notes[f"{kind}: service ms/event"]
    decision, stored = (
        notes[f"postgres: {owner} ms/decision"] for owner in ("service", "database")
    )
    calls = notes["platform calls/order"]
    if kind == "sqlite":
        return Costs(ack, 0.0, decision + stored, 0.0, calls)
    return Costs(ack, notes["postgres: database ms/event"], decision, stored, calls)


def deployments() -> Iterator[Deployment]:
    """From one process to many databases."""
    yield Deployment("SQLite, 1 process", 1)
    yield Deployment("PostgreSQL, 1 process", 1)
    yield Deployment("PostgreSQL, 3 processes", 3)
    yield Deployment("PostgreSQL, 8 processes", 8, cores=4)
    yield Deployment("4 accounts, 1 database, 8 processes", 8, accounts=4, cores=4)
    yield Deployment("4 accounts, 4 databases, 32 processes", 32, 4, 4, cores=4)


def table(report: dict[str, Any]) -> Table:
    """What each deployment takes, and what a rush of twice the first account's budget does."""
    peak = 2 * BUDGET / costs_of(report, "postgres").calls
    found = Table(title=f"orders a second by stage; a rush of {peak:.0f} orders/s for 10 minutes")
    for name in ("deployment", *STAGES, "limit", "longest wait", "over after"):
        found.add_column(name, justify="left" if name in ("deployment", "limit") else "right")
    for each in deployments():
        costs = costs_of(report, "sqlite" if each.name.startswith("SQLite") else "postgres")
        capacity, seen = each.capacity(costs), rush(each, costs, peak)
        found.add_row(
            *(each.name, *(f"{capacity[stage]:,.0f}" for stage in STAGES), seen.limit),
            *(f"{seen.wait:,.0f} s", f"{seen.over:,.0f} s"),
        )
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scaling", description=__doc__)
    parser.add_argument("report", type=Path, nargs="?", default=REPORT)
    path = parser.parse_args(arguments).report
    try:
        Console().print(table(json.loads(path.read_text())))
    except OSError as error:
        parser.error(f"{path}: {error.strerror}")
    except KeyError as missing:
        parser.error(f"{path} lacks {missing}: it needs the rows {NEEDED}")


if __name__ == "__main__":
    main()
