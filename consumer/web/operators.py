"""What readers and operators see: timelines and dead letters."""

from __future__ import annotations

import json
import secrets

from starlette.responses import Response

from consumer.store import forgetting, letters
from consumer.store.timeline import timeline
from consumer.web.bodies import validated
from consumer.web.calls import Call, not_found, page_limit, read, write
from consumer.web.deps import Deps
from consumer.web.problems import bad_field
from schemas.requests import ForgetRequest

PAGES = frozenset({"limit", "startingAfter"})


async def story(deps: Deps, call: Call) -> Response:
    """Facts, decisions, commands and outcomes of a purchase, in order."""
    items = await read(deps, lambda connection: timeline(connection, call.id))
    if items is None:
        raise not_found()
    return _json({"data": items})


async def dead_letters(deps: Deps, call: Call) -> Response:
    """Facts that could not be decided and outcomes that could not be delivered, newest first."""
    limit, after = page_limit(call), call.query.get("startingAfter")
    found = await read(deps, lambda connection: letters.dead(connection, limit + 1, after))
    if found is None:
        raise bad_field("startingAfter", "must be the id of a dead letter")
    return _json({"hasMore": len(found) > limit, "data": found[:limit]})


async def redrive(deps: Deps, call: Call) -> Response:
    """Try a dead letter again."""
    now = deps.clock.now()
    if not await write(deps, lambda connection: letters.redrive(connection, call.id, now)):
        raise not_found()
    deps.stored.set()
    return _json({"id": call.id}, 202)


async def forget(deps: Deps, call: Call) -> Response:
    """Take a person's data out; the work is durable and goes on in the background."""
    request = await validated(call.request, ForgetRequest)
    id, now = secrets.token_hex(16), deps.clock.now()
    await write(deps, lambda connection: forgetting.request(connection, request, id, "api", now))
    return _json({"id": id}, 202)


def _json(body: object, status: int = 200) -> Response:
    return Response(json.dumps(body), status, media_type="application/json")
