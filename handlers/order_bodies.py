"""Orders as the platform shows them, read tolerantly."""

from datetime import UTC
from typing import Any

from pydantic import ValidationError

from handlers.paths import present, without
from schemas.base import JsonObject
from schemas.platform import Order


def parsed(documents: Any) -> tuple[Order, ...]:
    """Orders as read; what has no id is no order.

    A part that can't be read is left out and never the order: what we do not see exists all the
    same, and would be ordered again (I5, I6).
    """
    listed = documents if isinstance(documents, list | tuple) else ()
    found = (_readable(document) for document in listed if isinstance(document, dict))
    return tuple(order for order in found if order)


def _readable(document: JsonObject) -> Order | None:
    fields = present(document)
    for name in ("id", "checkoutId", "upstreamId"):
        if type(fields.get(name)) is int:
            fields[name] = str(fields[name])
    try:
        return _in_utc(Order.model_validate(fields))
    except ValidationError as error:
        places = [item["loc"] for item in error.errors(include_input=False, include_url=False)]
    if ("id",) in places:
        return None
    for place in places:
        fields = without(fields, place)
    return _in_utc(Order.model_validate(fields))


def _in_utc(order: Order) -> Order:
    """The platform's times are UTC, also where they do not say so: all can be compared."""
    told = order.updated_time
    if told is None or told.tzinfo is not None:
        return order
    return order.model_copy(update={"updated_time": told.replace(tzinfo=UTC)})
