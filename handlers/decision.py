"""What a rule returns: the next purchase, what to do, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from schemas.commands import Planned
from schemas.purchase import Purchase


@dataclass(frozen=True, slots=True)
class Moment:
    """When a decision is made and by which holder of the lease; `at` is when the fact came."""

    now: datetime
    at: datetime
    epoch: int = 1


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision. `rule` names no code and no fraud (I8); `evidence` may, it stays inside.

    `alternatives` are what was considered and did not apply. `alert` names what somebody must
    look at.
    """

    purchase: Purchase
    rule: str
    source: str
    commands: tuple[Planned, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    alternatives: tuple[str, ...] = ()
    alert: str | None = None


def ignore(purchase: Purchase, rule: str, source: str, **evidence: Any) -> Decision:
    """Nothing changes, and it shows."""
    return Decision(purchase, rule, source, evidence=evidence)
