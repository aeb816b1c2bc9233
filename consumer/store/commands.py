"""Commands: planned, then sending in a commit of their own, then ended by a result."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import TypeAdapter
from sqlalchemy import Connection, Row, bindparam, func, not_, or_, select, update

from consumer.store import dialects, inbox, leases
from consumer.store.inbox import Delivery
from consumer.store.tables import commands
from schemas.commands import Command, Planned
from schemas.facts import CommandEnded, Origin, TimerFired
from schemas.results import Abandoned, NeverSent, Result

COMMAND: TypeAdapter[Command] = TypeAdapter(Command)
Status = Literal["planned", "sending", "ended"]


@dataclass(frozen=True, slots=True)
class Task:
    """A stored command. `attempt` counts from 1; `deadline` is set while it is being sent."""

    key: str
    purchase_id: str
    command: Command
    status: Status
    attempt: int
    due: datetime
    deadline: datetime | None
    epoch: int | None


_REPLANNED = (
    *("purchase_id", "kind", "body", "status", "at", "due", "deadline", "epoch", "ended"),
)
_PLAN = dialects.for_each(
    lambda insert: (new := insert(commands)).on_conflict_do_update(
        index_elements=["key"],
        set_={name: new.excluded[name] for name in _REPLANNED}
        | {"attempt": commands.c.attempt + 1},
        where=commands.c.status == "ended",
    )
)


def plan(
    connection: Connection, purchase_id: str, planned: Sequence[Planned], now: datetime
) -> None:
    """Store commands. A key that is planned or being sent keeps its place: causes collide.

    A key whose attempt has ended is planned once more, as the next attempt.
    """
    if planned:
        rows = [_columns(purchase_id, item, now) for item in planned]
        connection.execute(_PLAN[connection.dialect.name], rows)


def _columns(purchase_id: str, item: Planned, now: datetime) -> dict[str, object]:
    return {
        "key": item.key,
        "purchase_id": purchase_id,
        "kind": item.command.kind,
        "body": item.command.model_dump_json(by_alias=True),
        "status": "planned",
        "attempt": 1,
        "at": now,
        "due": item.due or now,
        "deadline": None,
        "epoch": None,
        "ended": None,
    }


def _task(row: Row) -> Task:  # type: ignore[type-arg]  # the columns of `commands`
    command = COMMAND.validate_json(row.body)
    return Task(
        row.key, row.purchase_id, command, row.status, row.attempt, row.due, row.deadline, row.epoch
    )


_TASKS = select(
    *(commands.c.key, commands.c.purchase_id, commands.c.body, commands.c.status),
    *(commands.c.attempt, commands.c.due, commands.c.deadline, commands.c.epoch),
)
_NEXT_DUE = (
    _TASKS.where(
        commands.c.purchase_id == bindparam("purchase"),
        commands.c.status == "planned",
        commands.c.kind != "wake",
        commands.c.due <= bindparam("now"),
    )
    .order_by(commands.c.seq)
    .limit(1)
)


def next_due(connection: Connection, purchase_id: str, now: datetime) -> Task | None:
    """The oldest command of a purchase that is to be run now; timers are not run, they fire."""
    row = connection.execute(_NEXT_DUE, {"purchase": purchase_id, "now": now}).one_or_none()
    return _task(row) if row else None


_attempt = (commands.c.key == bindparam("command"), commands.c.attempt == bindparam("number"))
# What this epoch has started already, by a commit that nobody heard of, it may start again: it
# sends only after this.
_ours = (commands.c.status == "sending") & (commands.c.epoch == bindparam("holder"))
_START = (
    update(commands)
    .where(*_attempt, or_(commands.c.status == "planned", _ours))
    .values(status="sending", epoch=bindparam("holder"))
)


def start(
    connection: Connection, task: Task, epoch: int, now: datetime, deadline: datetime
) -> Task | None:
    """Record that it is about to be sent; `None` if it is not planned any more.

    May be repeated by the same holder as long as it has not been sent.
    """
    attempt = {"command": task.key, "number": task.attempt}
    changed = connection.execute(
        _START, attempt | {"holder": epoch, "at": now, "deadline": deadline}
    )
    if changed.rowcount != 1:
        return None
    return Task(
        *(task.key, task.purchase_id, task.command, "sending", task.attempt, task.due),
        deadline,
        epoch,
    )


_END = update(commands).where(*_attempt).values(status="ended")


def end(connection: Connection, task: Task, result: Result, now: datetime) -> None:
    """Append the result as a fact and complete the command. Never fenced (I7)."""
    word = "abandoned" if isinstance(result, Abandoned | NeverSent) else "answer"
    fact = CommandEnded(key=task.key, attempt=task.attempt, command=task.command, result=result)
    inbox.append(
        connection,
        [_internal(Origin.COMMAND, f"{task.key}/{task.attempt}/{word}", fact, task.purchase_id)],
        now,
    )
    connection.execute(_END, {"command": task.key, "number": task.attempt, "ended": now})


def _internal(
    origin: Origin, id: str, fact: CommandEnded | TimerFired, purchase_id: str
) -> Delivery:
    body = fact.model_dump_json(by_alias=True).encode()
    return Delivery(origin, id, fact.kind, "internal", body, purchase_id=purchase_id)


_SENDING = _TASKS.where(
    commands.c.purchase_id == bindparam("purchase"),
    commands.c.status == "sending",
    or_(commands.c.epoch < bindparam("epoch"), commands.c.epoch.is_(None)),
)


def abandon(connection: Connection, purchase_id: str, epoch: int, now: datetime) -> int:
    """End what an earlier epoch was sending. It may have arrived until its deadline, or now."""
    rows = connection.execute(_SENDING, {"purchase": purchase_id, "epoch": epoch}).all()
    for row in rows:
        task = _task(row)
        end(connection, task, Abandoned(sent_by=min(task.deadline or now, now)), now)
    return len(rows)


_wakes = (
    commands.c.status == "planned",
    commands.c.kind == "wake",
    commands.c.due <= bindparam("now"),
)
_TIMER_DUE = select(commands.c.seq).where(*_wakes).limit(1)
_TIMERS_DUE = _TASKS.where(*_wakes).order_by(commands.c.due).limit(bindparam("limit"))
_TIMERS_TAKEN = _TIMERS_DUE.with_for_update(skip_locked=True)


_DUE_NEXT = select(func.min(commands.c.due)).where(
    commands.c.status == "planned", commands.c.due > bindparam("now")
)


def due_next(connection: Connection, now: datetime) -> datetime | None:
    """When the next command of any purchase is due, after now."""
    found: datetime | None = connection.scalar(_DUE_NEXT, {"now": now})
    return found


def timer_due(connection: Connection, now: datetime) -> bool:
    """Whether any wake-up is due."""
    return connection.scalar(_TIMER_DUE, {"now": now}) is not None


def fire_due(connection: Connection, now: datetime, limit: int) -> list[str]:
    """Turn due wake-ups into facts; returns the purchases to look at."""
    rows = connection.execute(_TIMERS_TAKEN, {"now": now, "limit": limit}).all()
    for row in rows:
        _fire(connection, _task(row), now)
    return [row.purchase_id for row in rows]


def _fire(connection: Connection, task: Task, now: datetime) -> None:
    assert task.command.kind == "wake"
    fact = TimerFired(key=task.key, name=task.command.name, hold=task.command.hold)
    delivery = _internal(Origin.TIMER, f"{task.key}/{task.attempt}", fact, task.purchase_id)
    inbox.append(connection, [delivery], now)
    connection.execute(_END, {"command": task.key, "number": task.attempt, "ended": now})


_due = (
    (commands.c.status == "planned")
    & (commands.c.kind != "wake")
    & (commands.c.due <= bindparam("now"))
)
_UNFINISHED = (
    select(commands.c.purchase_id)
    .where(
        or_(_due, commands.c.status == "sending"),
        not_(leases.out_of_reach(commands.c.purchase_id)),
    )
    .group_by(commands.c.purchase_id)
    .order_by(func.max(commands.c.status).desc(), func.min(commands.c.due))  # sending first
    .limit(bindparam("limit"))
)


def unfinished(connection: Connection, now: datetime, limit: int, owner: str) -> list[str]:
    """Purchases with a command that somebody was sending, or that is due; the oldest first.

    Without those that another than `owner` works on.
    """
    wanted = {"now": now, "limit": limit, "owner": owner}
    return list(connection.scalars(_UNFINISHED, wanted))


def of_purchase(connection: Connection, purchase_id: str) -> list[Task]:
    """All commands of a purchase, in the order in which they were planned."""
    rows = connection.execute(
        select(commands).where(commands.c.purchase_id == purchase_id).order_by(commands.c.seq)
    )
    return [_task(row) for row in rows]
