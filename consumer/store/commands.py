"""Commands: planned, then sending in a commit of their own, then ended by a result."""

from collections.abc import Collection, Mapping, Sequence
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
    plan_all(connection, [(purchase_id, item) for item in planned], now)


def plan_all(connection: Connection, planned: Sequence[tuple[str, Planned]], now: datetime) -> None:
    """Store commands of many purchases, each beside its purchase's id."""
    if planned:
        rows = [_columns(purchase_id, item, now) for purchase_id, item in planned]
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
_NEXT_DUE_OF = dialects.lookup(
    lambda lot: _TASKS.where(
        lot.has(commands.c.purchase_id),
        commands.c.status == "planned",
        commands.c.kind != "wake",
        commands.c.due <= bindparam("now"),
    ).order_by(commands.c.seq)
)


def next_due_of(
    connection: Connection, purchase_ids: Sequence[str], now: datetime
) -> dict[str, Task]:
    """Of each of these purchases the oldest command that is to be run now."""
    found: dict[str, Task] = {}
    for row in _NEXT_DUE_OF(connection, purchase_ids, now=now):
        if row.purchase_id not in found:
            found[row.purchase_id] = _task(row)
    return found


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


_END = dialects.update_lot(commands, where=("key", "attempt"), values=("status", "ended"))


def end(connection: Connection, task: Task, result: Result, now: datetime) -> None:
    """Append the result as a fact and complete the command. Never fenced (I7)."""
    end_all(connection, [(task, result)], now)


def end_all(connection: Connection, ended: Sequence[tuple[Task, Result]], now: datetime) -> None:
    """The same for many commands."""
    inbox.append(connection, [_result(task, result) for task, result in ended], now)
    _complete(connection, [task for task, _ in ended], now)


def _result(task: Task, result: Result) -> Delivery:
    word = "abandoned" if isinstance(result, Abandoned | NeverSent) else "answer"
    fact = CommandEnded(key=task.key, attempt=task.attempt, command=task.command, result=result)
    return _internal(Origin.COMMAND, f"{task.key}/{task.attempt}/{word}", fact, task.purchase_id)


def _complete(connection: Connection, tasks: Sequence[Task], now: datetime) -> None:
    ended = {"status": "ended", "ended": now}
    _END(connection, [ended | {"of_key": t.key, "of_attempt": t.attempt} for t in tasks])


def _internal(
    origin: Origin, id: str, fact: CommandEnded | TimerFired, purchase_id: str
) -> Delivery:
    body = fact.model_dump_json(by_alias=True).encode()
    return Delivery(origin, id, fact.kind, "internal", body, purchase_id=purchase_id)


_SENDING = dialects.lookup(
    lambda lot: _TASKS.where(lot.has(commands.c.purchase_id), commands.c.status == "sending")
)


def abandon(connection: Connection, epochs: Mapping[str, int], now: datetime) -> int:
    """End what an epoch before these was sending. It may have arrived until its deadline, or now.

    `epochs`: the purchases' own, by their ids.
    """
    rows = _SENDING(connection, list(epochs)) if epochs else ()
    tasks = [task for row in rows if (task := _task(row)).epoch != epochs[task.purchase_id]]
    end_all(
        connection,
        [(task, Abandoned(sent_by=min(task.deadline or now, now))) for task in tasks],
        now,
    )
    return len(tasks)


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
    rows = connection.execute(_TIMERS_TAKEN, {"now": now, "limit": limit})
    tasks = [_task(row) for row in rows]
    inbox.append(connection, [_fired(task) for task in tasks], now)
    _complete(connection, tasks, now)
    return [task.purchase_id for task in tasks]


def _fired(task: Task) -> Delivery:
    assert task.command.kind == "wake"
    fact = TimerFired(key=task.key, name=task.command.name, hold=task.command.hold)
    return _internal(Origin.TIMER, f"{task.key}/{task.attempt}", fact, task.purchase_id)


_due = (
    (commands.c.status == "planned")
    & (commands.c.kind != "wake")
    & (commands.c.due <= bindparam("now"))
)
_UNFINISHED = dialects.lookup(
    lambda lot: (
        select(commands.c.purchase_id)
        .where(
            or_(_due, commands.c.status == "sending"),
            lot.lacks(commands.c.purchase_id),
            not_(leases.out_of_reach(commands.c.purchase_id)),
        )
        .group_by(commands.c.purchase_id)
        .order_by(func.max(commands.c.status).desc(), func.min(commands.c.due))  # sending first
        .limit(bindparam("limit"))
    )
)


def unfinished(
    connection: Connection, now: datetime, limit: int, owner: str, without: Collection[str] = ()
) -> list[str]:
    """Purchases with a command that somebody was sending, or that is due; the oldest first.

    Without those that another than `owner` works on, and without these.
    """
    rows = _UNFINISHED(connection, without, now=now, limit=limit, owner=owner)
    return [id for (id,) in rows]


def of_purchase(connection: Connection, purchase_id: str) -> list[Task]:
    """All commands of a purchase, in the order in which they were planned."""
    rows = connection.execute(
        select(commands).where(commands.c.purchase_id == purchase_id).order_by(commands.c.seq)
    )
    return [_task(row) for row in rows]
