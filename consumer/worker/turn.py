"""A turn: all that happens to a purchase in one transaction. Many purchases share one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from consumer.clock import Clock
from consumer.store import commands, work
from consumer.store.commands import Task
from consumer.store.leases import Lease
from consumer.store.purchases import Unreadable
from consumer.store.work import Step, Work
from consumer.worker.step import buried, step
from handlers.policy import Policy
from schemas.purchase import Purchase
from schemas.results import Result


@dataclass(frozen=True, slots=True)
class Turn:
    """What is to happen: store the answer to a command, take the purchase, decide on its facts.

    `held` is the lease that the turn before ended with, `trace` the trace that it was of. `most`
    facts are decided; if `bury` says why, the first can't be stored and becomes a dead letter.
    """

    purchase_id: str
    held: Lease | None = None
    ended: tuple[Task, Result] | None = None
    trace: str | None = None
    most: int = work.FACTS
    bury: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """What has happened, and what is next: `task`, or another turn if there is `more`."""

    purchase: Purchase
    lease: Lease
    steps: Sequence[Step] = ()
    task: Task | None = None
    more: bool = False
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Turns:
    """Takes the turns of many purchases in one transaction. `lease`: how long one lasts."""

    clock: Clock
    policy: Policy
    owner: str
    sinks: Sequence[str]
    lease: timedelta

    def take(self, connection: Connection, turns: Sequence[Turn]) -> list[Done | Unreadable | None]:
        """What each has done; `None` where another process has the purchase. Raises `Moved`.

        Answers are stored whoever has the purchase by now (I7).
        """
        now = self.clock.now()
        commands.end_all(connection, [turn.ended for turn in turns if turn.ended], now)
        held = {turn.purchase_id: turn.held for turn in turns}
        until = now + self.lease
        taken = work.take_all(connection, held, self.owner, now, until, work.FACTS + 1)
        done = {
            turn.purchase_id: self._decided(turn, found, now)
            if isinstance(found := taken.get(turn.purchase_id), Work)
            else found
            for turn in turns
        }
        decided = [one for one in done.values() if isinstance(one, Done) and one.steps]
        if decided:
            steps = [step for one in decided for step in one.steps]
            work.save_all(connection, steps, self.sinks, now)
            done |= self._with_tasks(connection, done, now)
        return [done[turn.purchase_id] for turn in turns]

    def _decided(self, turn: Turn, taken: Work, now: datetime) -> Done:
        steps: list[Step] = []
        purchase, trace = taken.purchase, turn.trace
        for entry in taken.facts[: turn.most]:
            if turn.bury and not steps:
                one = buried(purchase, entry, now, turn.bury)
            else:
                one = step(purchase, entry, taken.lease.epoch, now, self.policy, trace)
            steps.append(one)
            purchase, trace = one.after, one.trace or trace
        more = len(taken.facts) > len(steps)
        return Done(purchase, taken.lease, steps, taken.task, more, trace)

    def _with_tasks(
        self, connection: Connection, done: Mapping[str, Done | Unreadable | None], now: datetime
    ) -> dict[str, Done]:
        """Those that have decided on all their facts, with what that has planned."""
        idle = {
            id: one
            for id, one in done.items()
            if isinstance(one, Done) and one.steps and not one.more
        }
        tasks = commands.next_due_of(connection, list(idle), now)
        return {id: replace(one, task=tasks.get(id)) for id, one in idle.items()}
