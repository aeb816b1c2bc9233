"""`POST /v1/events`: the merchant's own events, in the platform's envelope."""

from __future__ import annotations

from starlette.responses import Response

from consumer.events import OURS, checkout_of, light
from consumer.observe import tracing
from consumer.store import inbox
from consumer.store.inbox import Delivery
from consumer.web.bodies import read, require_json
from consumer.web.calls import Call, write
from consumer.web.deps import Deps
from consumer.web.problems import bad_field
from schemas.facts import Origin


async def receive(deps: Deps, call: Call) -> Response:
    """Store the event as it is; 202 for a duplicate too. Problems name `data.object` fields."""
    require_json(call.request)
    raw = await read(call.request)
    event = light(raw)
    if event.type not in OURS:
        call.request.state.result = "unsupported"
        raise bad_field("type", f"must be {' or '.join(OURS)}")
    about = checkout_of(event)
    delivery = Delivery(
        Origin.MERCHANT,
        event.id,
        event.type,
        "api",
        raw,
        about,
        trace=tracing.received(call.request.headers),
    )
    stored = await write(
        deps, lambda connection: inbox.append(connection, [delivery], deps.clock.now())
    )
    call.request.state.result = "stored" if stored else "duplicate"
    deps.arrived.set()
    return Response(status_code=202)
