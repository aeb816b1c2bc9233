"""What the service tells its operators: a line and the counts of each decision."""

import structlog

from consumer.clock import Clock
from consumer.observe import Metrics
from consumer.observe import decision as observe_decision
from consumer.store.commands import Task
from consumer.store.inbox import Entry, Status
from handlers.decision import Decision
from schemas.purchase import Purchase, State
from schemas.results import Result

ALERT_AGAIN = 600.0  # seconds in which one kind of alert is logged once; all are counted


class Watch:
    """Counts and logs; an alert of one kind is one line, however many purchases it hits."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._alerted: dict[str, float] = {}
        self._log = structlog.get_logger("order_rescue")

    def decided(
        self, before: Purchase, after: Purchase, entry: Entry, decision: Decision, seconds: float
    ) -> None:
        """A decision was stored."""
        observe_decision(
            self._metrics,
            purchase_id=after.id,
            version=after.version,
            fact=entry.type,
            fact_id=entry.id,
            rule=decision.rule,
            state=after.state.value,
            reason=after.reason.value if after.reason else None,
            seconds=seconds,
        )
        if after.state is State.ACCEPTED and before.state is not State.ACCEPTED:
            self._metrics.accepted((after.updated_at - after.confirmed_at).total_seconds())
        if decision.alert:
            self.alert(decision.alert, after.id)

    def alert(self, kind: str, purchase_id: str) -> None:
        """Somebody must look."""
        self._metrics.alert(kind)
        now = self._clock.monotonic()
        if now - self._alerted.get(kind, -ALERT_AGAIN) >= ALERT_AGAIN:
            self._alerted[kind] = now
            self._log.error("alert", kind=kind, purchase_id=purchase_id)

    def buried(self, entry: Entry, reason: str) -> None:
        """A fact became a dead letter."""
        self._metrics.dead_letter(entry.origin.value)
        self._log.error("dead letter", fact=entry.type, fact_id=entry.id, reason=reason)

    def performed(self, task: Task, result: Result) -> None:
        """A command has a result."""
        self._log.info(
            "performed",
            purchase_id=task.purchase_id,
            command=task.command.kind,
            upstream_id=f"{task.key}/{task.attempt}",
            outcome=result.outcome,
            status=getattr(result, "status", None),
        )

    def routed(self, status: Status, reason: str) -> None:
        """An event was routed, parked, ignored or buried."""
        if status == "ignored":
            self._metrics.ignored(reason)
        elif status == "dead":
            self._metrics.dead_letter("platform")
            self._log.error("dead letter", reason=reason)

    def not_caught_up(self) -> None:
        """The platform's list of events could not be read; it is tried again."""
        self._metrics.alert("not_caught_up")

    def forgot(self, purchases: int, facts: int) -> None:
        """A person was forgotten; who is not said."""
        self._log.info("forgotten", purchases=purchases, facts=facts)

    def delivered(self, sink: str, result: str) -> None:
        """An attempt to deliver an outcome ended."""
        self._metrics.outcome(sink, result)
        if result == "dead":
            self._metrics.dead_letter("outcome")
            self._log.error("dead letter", reason="an outcome could not be delivered")
