"""What the ledger holds of a request that touches a checkout, written when it arrives."""

from . import checkouts, sessions
from .clock import fine_stamp
from .model import Checkout, Json
from .wire import Request
from .world import World


def arrival(world: World, request: Request) -> Json | None:
    """The submission's entry, to be completed with its answer; None for other requests."""
    checkout_id = request.checkout_id()
    checkout = world.checkouts.get(checkout_id or "")
    changes = request.submits or (
        request.segments[0] == "checkouts"
        and (request.method == "POST" or len(request.segments) == 4)
    )
    if checkout is not None and checkout.dead and changes:
        world.ledger.dead_touches.append({
            "at": fine_stamp(world.clock.now()),
            "method": request.method,
            "path": request.path,
            "checkoutId": checkout_id,
            "requestId": request.id,
            "told": checkout.dead_told,
        })  # fmt: skip
    if not request.submits:
        return None
    note: Json = {
        "at": fine_stamp(world.clock.now()),
        "checkoutId": checkout_id,
        "upstreamId": checkout.upstream_id if checkout else None,
        **session_facts(checkout),
        "requestId": request.id,
        "status": None,
        "code": None,
        "fault": None,
        "told": False,
        "committed": None,
        "orderId": None,
    }
    world.ledger.submissions.append(note)
    return note


def session_facts(checkout: Checkout | None) -> Json:
    if checkout is None:
        return {
            "sessionState": None, "amountRemaining": None, "ready": False, "dead": False,
            "consumed": False,
        }  # fmt: skip
    total = checkouts.totals(checkout).total
    return {
        "sessionState": sessions.state(checkout, total),
        "amountRemaining": float(sessions.remaining(checkout, total)),
        "ready": sessions.ready(checkout, total),
        "dead": checkout.dead is not None,
        "consumed": checkout.order_id is not None,
    }
