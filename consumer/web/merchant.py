"""`POST /v1/events`: the merchant's own events, in the platform's envelope."""

from __future__ import annotations

from starlette.responses import Response

from consumer.store import inbox
from consumer.store.facts import REJECTED
from consumer.store.inbox import Delivery
from consumer.web.bodies import as_model, read, require_json
from consumer.web.calls import Call, write
from consumer.web.deps import Deps
from consumer.web.events import light
from consumer.web.problems import bad_field
from schemas.facts import Origin
from schemas.requests import PurchaseRequest, RejectionReport

SUBMIT_REQUESTED = "purchase.submit_requested"
OBJECTS: dict[str, type[PurchaseRequest] | type[RejectionReport]] = {
    SUBMIT_REQUESTED: PurchaseRequest,
    REJECTED: RejectionReport,
}


async def receive(deps: Deps, call: Call) -> Response:
    """Store the event as it is; 202 for a duplicate too. Problems name `data.object` fields."""
    require_json(call.request)
    raw = await read(call.request)
    event = light(raw)
    model = OBJECTS.get(event.type)
    if model is None:
        call.request.state.result = "unsupported"
        raise bad_field("type", f"must be {' or '.join(OBJECTS)}")
    about = as_model(event.object, model, ("data", "object")).checkout_id
    delivery = Delivery(Origin.MERCHANT, event.id, event.type, "api", raw, about)
    stored = await write(
        deps, lambda connection: inbox.append(connection, [delivery], deps.clock.now())
    )
    call.request.state.result = "stored" if stored else "duplicate"
    deps.router_signal.set()
    return Response(status_code=202)
