"""What an answer means (DESIGN I6): done, rejected, not processed, or nobody knows.

HTTP status first, then code, then parameter; the envelope's `type` decides nothing
(PLATFORM §2.12).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from consumer.errors import OutcomeUnknown, PlatformError, Rejected, Unavailable
from consumer.platform.envelope import is_envelope, json_object, problems
from schemas.results import PlatformProblem


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx. `body` is None for 204; `seconds` is the whole call, waiting for budget excluded."""

    status: int
    body: dict[str, Any] | None
    request_id: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back over the wire. `raw` is None when the body was over the size limit."""

    status: int
    content_type: str
    raw: bytes | None
    request_id: str | None = None
    retry_after: float | None = None


def judge_mutation(reply: Reply, *, submission: bool, seconds: float) -> Answer | PlatformError:
    """Classify the answer to anything but a GET. `submission` says that it was `POST /orders`."""
    status, found = reply.status, _problems(reply)
    if 200 <= status < 300:
        answer = _readable(reply, seconds)
        return answer or _unknown(reply, found, "an unreadable answer")
    if status == 429:
        return _unavailable(reply, found, "too many requests")
    if status == 408 or not 400 <= status < 500:
        return _unknown(reply, found, "no definite answer")
    if submission and status == 404 and any(p.parameter == "orderId" for p in found):
        # The checkout may have been consumed by our own earlier request (PLATFORM §4.3).
        return _unknown(reply, found, "a 404 that names an order")
    if not _from_platform(reply):
        return _unknown(reply, found, "not the platform's answer")
    return Rejected(status=status, errors=found, request_id=reply.request_id)


def judge_reading(reply: Reply, *, seconds: float) -> Answer | PlatformError:
    """Classify the answer to a GET: a reading changes nothing, so it is never unknown."""
    status, found = reply.status, _problems(reply)
    if 200 <= status < 300:
        answer = _readable(reply, seconds)
        return answer or _unavailable(reply, found, "an unreadable answer")
    if 400 <= status < 500 and status not in (408, 429):
        # A proxy's own 404 must not be taken for "there is no such order".
        if _from_platform(reply):
            return Rejected(status=status, errors=found, request_id=reply.request_id)
        return _unavailable(reply, found, "not the platform's answer")
    return _unavailable(reply, found, "too many requests" if status == 429 else "no answer")


def _readable(reply: Reply, seconds: float) -> Answer | None:
    if reply.status == 204 and not reply.raw:
        return Answer(reply.status, None, reply.request_id, seconds)
    media_type = reply.content_type.partition(";")[0].strip().lower()
    if media_type and media_type != "application/json" and not media_type.endswith("+json"):
        return None
    body = json_object(reply.raw) if reply.raw else None
    return None if body is None else Answer(reply.status, body, reply.request_id, seconds)


def _problems(reply: Reply) -> tuple[PlatformProblem, ...]:
    return problems(reply.raw) if reply.raw and reply.status >= 400 else ()


def _from_platform(reply: Reply) -> bool:
    return reply.request_id is not None or is_envelope(reply.raw or b"")


def _unavailable(reply: Reply, found: tuple[PlatformProblem, ...], reason: str) -> Unavailable:
    return Unavailable(
        retry_after=reply.retry_after,
        status=reply.status,
        errors=found,
        request_id=reply.request_id,
        reason=reason,
    )


def _unknown(reply: Reply, found: tuple[PlatformProblem, ...], reason: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        status=reply.status, errors=found, request_id=reply.request_id, reason=reason
    )
