"""Waiting until a stored call is decided, and `Prefer: wait` (RFC 7240)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from consumer.store import entries, purchases
from consumer.web.calls import Call, json_response, not_found, read
from consumer.web.deps import Deps
from handlers.presentation import view
from schemas.facts import Origin
from schemas.purchase import Purchase, Reason, State

DECISION_SECONDS = 1.0  # usually a few milliseconds: the answer then shows what the call did
LONGEST_WAIT = 30
LOOK_AGAIN = 1.0  # seconds: another process may decide, and the caller may have gone
_PREFERENCE = re.compile(r'\s*wait\s*=\s*"?\s*([0-9]{1,9})\s*"?\s*(?:;|$)', re.IGNORECASE)
_SEPARATOR = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*$)')  # commas outside quotes


def preferred_wait(request: Request) -> int | None:
    """Seconds of `Prefer: wait=N`, at most 30; None if absent or unreadable. The first counts."""
    header = ",".join(request.headers.getlist("prefer"))[:1000]
    for preference in _SEPARATOR.split(header):
        if match := _PREFERENCE.match(preference):
            return min(int(match[1]), LONGEST_WAIT)
    return None


@dataclass(frozen=True, slots=True)
class Stored:
    """A call that is in the inbox. `status` is the answer's if nobody prefers to wait."""

    purchase_id: str
    fact_id: str
    origin: Origin = Origin.SHOP
    status: int = 202


async def answered(deps: Deps, call: Call, stored: Stored) -> Response:
    """The purchase after the call, or as it is when the time is over."""
    wait = preferred_wait(call.request)
    purchase, settled = await _settled(deps, call.request, stored, wait)
    shown = view(purchase, shop=call.shop)
    if wait is None:
        return json_response(shown, stored.status)
    if settled:
        return json_response(shown, 200, {"Preference-Applied": f"wait={wait}"})
    return json_response(shown, 202)


async def _settled(
    deps: Deps, request: Request, stored: Stored, wait: int | None
) -> tuple[Purchase, bool]:
    deadline = deps.clock.monotonic() + (DECISION_SECONDS if wait is None else wait)
    with deps.changes.listening(stored.purchase_id) as changed:
        while True:
            decided, purchase = await read(deps, lambda connection: _look(connection, stored))
            if purchase is None:
                raise not_found()
            settled = decided and (wait is None or not _busy(purchase))
            left = deadline - deps.clock.monotonic()
            if settled or left <= 0 or deps.stopping() or await request.is_disconnected():
                return purchase, settled
            await changed.wait(min(left, LOOK_AGAIN))


def _look(connection: Connection, stored: Stored) -> tuple[bool, Purchase | None]:
    decided = entries.decided(connection, stored.origin, stored.fact_id)
    return decided, purchases.load(connection, stored.purchase_id)


def _busy(purchase: Purchase) -> bool:
    return purchase.state is State.SUBMITTING or (
        purchase.state is State.HELD and purchase.reason is Reason.CHECKING
    )
