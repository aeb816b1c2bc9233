"""What a call carries for support, and what it leaves for logs and metrics."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from consumer.errors import PlatformError, Rejected, Unavailable
from consumer.platform.address import forwarded_for
from consumer.platform.answers import Answer
from consumer.platform.wire import visible


@dataclass(frozen=True, slots=True)
class Call:
    """One exchange, for logs and metrics. `route` holds no ids, nothing holds bodies or keys.

    `outcome` is answered, rejected, unavailable, unknown or cancelled; `seconds` excludes
    `waited`, the seconds spent waiting for rate budget. A reading's repeats are calls of their
    own under the same `upstream_id`.
    """

    method: str
    route: str
    status: int | None
    outcome: str
    seconds: float
    waited: float
    upstream_id: str
    request_id: str | None


def ignore(call: Call) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Headers:
    """The troubleshooting headers of one call (PLATFORM §1.2); none makes it idempotent.

    `forwarded` is the shopper's IP address. What can't be a header is left out or cleaned: it
    must not stand in an order's way.
    """

    upstream_id: str
    session_id: str | None = None
    forwarded: str | None = None

    def named(self) -> dict[str, str]:
        """The headers to send, by name."""
        named = {
            "upstream-id": visible(self.upstream_id),
            "upstream-session-id": visible(self.session_id or ""),
            "forwarded": forwarded_for(self.forwarded) or "",
        }
        return {name: value for name, value in named.items() if value}


def call(
    request: httpx.Request, verdict: Answer | PlatformError | None, seconds: float, waited: float
) -> Call:
    """Describe an exchange; `verdict` is None when the caller was cancelled."""
    return Call(
        method=request.method,
        route=request.extensions["route"],
        status=None if verdict is None else verdict.status,
        outcome=_outcome(verdict),
        seconds=seconds,
        waited=waited,
        upstream_id=request.headers["upstream-id"],
        request_id=None if verdict is None else verdict.request_id,
    )


def _outcome(verdict: Answer | PlatformError | None) -> str:
    match verdict:
        case None:
            return "cancelled"
        case Answer():
            return "answered"
        case Rejected():
            return "rejected"
        case Unavailable():
            return "unavailable"
        case _:
            return "unknown"
