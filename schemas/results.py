"""What became of a command. The classes are those of `consumer.errors`, as data."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from schemas.base import JsonObject, Strict

_MOST_PROBLEMS = 50
_LONGEST_TEXT = 2000


class PlatformProblem(Strict):
    """One error of the platform's envelope (PLATFORM §2.12); any part may be missing."""

    code: str | None = None
    parameter: str | None = None
    message: str | None = None


def listed_problems(envelope: Any) -> tuple[PlatformProblem, ...]:
    """The problems that an error envelope lists; empty for any other shape (PLATFORM §2.12).

    Accepts one without `type`, `description` for `message`, one error in the place of a list,
    missing parts. A part of another type than text counts as missing.
    """
    entries = envelope.get("errors") if isinstance(envelope, dict) else None
    if isinstance(entries, dict):
        entries = [entries]
    if not isinstance(entries, list):
        return ()
    found = (_problem(entry) for entry in entries[:_MOST_PROBLEMS] if isinstance(entry, dict))
    return tuple(problem for problem in found if problem != PlatformProblem())


def _problem(entry: JsonObject) -> PlatformProblem:
    return PlatformProblem(
        code=_text(entry.get("code")),
        parameter=_text(entry.get("parameter")),
        message=_text(entry.get("message")) or _text(entry.get("description")),
    )


def _text(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    return value.replace("\x00", "").strip()[:_LONGEST_TEXT] or None


class Succeeded(Strict):
    """The platform did it. `body` is its answer without client secrets."""

    outcome: Literal["succeeded"] = "succeeded"
    status: int
    body: JsonObject = Field(default_factory=dict)
    request_id: str | None = None


class Rejected(Strict):
    """The platform said no. Do not repeat as is."""

    outcome: Literal["rejected"] = "rejected"
    status: int
    problems: tuple[PlatformProblem, ...] = ()
    request_id: str | None = None

    @property
    def first(self) -> PlatformProblem:
        """The first problem named, or an empty one."""
        return self.problems[0] if self.problems else PlatformProblem()


class Unavailable(Strict):
    """Not processed. Repeat later, after `retry_after` seconds when the platform said so."""

    outcome: Literal["unavailable"] = "unavailable"
    status: int | None = None
    retry_after: float | None = None


class OutcomeUnknown(Strict):
    """May have been processed. Look before repeating."""

    outcome: Literal["unknown"] = "unknown"
    status: int | None = None
    problems: tuple[PlatformProblem, ...] = ()
    request_id: str | None = None


class Abandoned(Strict):
    """Was being sent when its worker died or lost the lease; `sent_by` bounds when it was sent."""

    outcome: Literal["abandoned"] = "abandoned"
    sent_by: datetime


class NeverSent(Strict):
    """Was planned, and is known not to have been sent: its permit or lease was void."""

    outcome: Literal["never_sent"] = "never_sent"


Result = Annotated[
    Succeeded | Rejected | Unavailable | OutcomeUnknown | Abandoned | NeverSent,
    Field(discriminator="outcome"),
]


class Reading(Strict):
    """The answer of `read_checkout`. `checkout` is `None` when the platform has no such id."""

    checkout: JsonObject | None
    orders: tuple[JsonObject, ...]
    source: JsonObject | None = None
    wanted: JsonObject | None = None
    customer: JsonObject | None = None
