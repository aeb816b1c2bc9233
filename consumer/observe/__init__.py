"""What operators see while it runs: logs and metrics, both without secrets and personal data."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from consumer.observe.logs import configure, context, describe, take_over_hooks
from consumer.observe.masking import masked, without_client_secrets
from consumer.observe.metrics import Call, Metrics, quiet

__all__ = [
    "Call",
    "Metrics",
    "calls",
    "configure",
    "context",
    "decision",
    "describe",
    "masked",
    "quiet",
    "take_over_hooks",
    "without_client_secrets",
]


def calls(metrics: Metrics) -> Callable[[Call], None]:
    """What to give the platform client as `observe`: every call is counted and is a line.

    Readings are lines of level debug; the ids of `context` join a line to its command.
    """
    log = structlog.get_logger()

    def watch(call: Call) -> None:
        metrics.platform_call(call)
        write = log.debug if call.method == "GET" and call.outcome == "answered" else log.info
        write(
            "platform call",
            method=call.method,
            route=call.route,
            status=call.status,
            outcome=call.outcome,
            ms=round(call.seconds * 1000, 1),
            waited_ms=round(call.waited * 1000, 1),
            upstream_id=call.upstream_id,
            request_id=call.request_id,
        )

    return watch


def decision(
    metrics: Metrics,
    *,
    purchase_id: str,
    version: int,
    fact: str,
    fact_id: str,
    rule: str,
    state: str,
    reason: str | None,
    seconds: float,
) -> None:
    """The one line of a decision, and its counts. A reason that names fraud reads as shops do."""
    metrics.decision(rule, state, reason, seconds)
    structlog.get_logger().info(
        "decided",
        purchase_id=purchase_id,
        version=version,
        fact=fact,
        fact_id=fact_id,
        rule=rule,
        state=state,
        reason=quiet(reason),
        ms=round(seconds * 1000, 2),
    )
