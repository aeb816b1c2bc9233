"""Where a platform event belongs: the identity keys that its object names (PLATFORM §6.1)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from handlers.cloning import MARK
from handlers.order_events import event_order_id
from handlers.paths import as_id, value_at
from schemas.base import JsonObject

Key = tuple[str, str]
# Where events without an id of their own keep one (PLATFORM §6.1).
INNER = ("previousAttributes", "subscription", "invoice")


@dataclass(frozen=True, slots=True)
class Route:
    """The keys to look under, in this order. `wait`: park until one of them is claimed.

    Without an owner of `keys`, every unresolved purchase that has one of the `links`.
    """

    keys: tuple[Key, ...]
    links: tuple[Key, ...] = ()
    purchase_id: str | None = None
    wait: bool = False


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing for us, and why; `odd`: a person should see it among the dead letters."""

    reason: str
    odd: bool = False


def route(type: str, resource: JsonObject) -> Route | Ignored:
    """Orders wait for their purchase; what only concerns a checkout or a source does not, since
    a purchase that is handed over later reads those anyway."""
    if type.startswith("order."):
        return _order(type, resource)
    if type in ("checkout.created", "checkout.updated"):
        mark = str(value_at(resource, f"metadata.{MARK}") or "")
        owner = mark.partition("/")[0] or None
        return Route(_keys(checkout=resource.get("id")), purchase_id=owner)
    if type == "checkout.deleted":
        return Route(_keys(checkout=resource.get("id")))
    if type == "source.chargeable":
        session = _keys(session=resource.get("paymentSessionId"))
        return Route(session, links=_keys(source=resource.get("id")))
    if type == "customer.updated":
        return Route((), links=_keys(customer=resource.get("id")))
    if type == "customer.source.deleted":
        return Route((), links=_keys(source=resource.get("id")))
    return Ignored("unknown_type")


def asks_to_be_forgotten(type: str, resource: JsonObject) -> bool:
    """Whether a customer's event asks for what `POST /v1/forget` does (PLATFORM §2.8)."""
    return type == "customer.updated" and resource.get("requestToBeForgotten") is True


def about(resource: JsonObject, data: JsonObject) -> str:
    """The id of what an event is about: it tells two uses of one event id apart."""
    holders = (resource, *(resource.get(name) or data.get(name) for name in INNER))
    found = (holder.get("id") for holder in holders if isinstance(holder, dict))
    return next((str(id) for id in found if isinstance(id, str | int)), "")


def wrong_mode(live_mode: bool | None, *, live: bool) -> bool:
    """Whether an event is of the other mode than our key (DESIGN, one account in one mode)."""
    return live_mode is not None and live_mode is not live


def stale(created: datetime, now: datetime, most: timedelta, *, redriven: bool) -> bool:
    """Whether a request came too late to open anything; an operator's redrive counts as fresh."""
    return not redriven and created < now - most


def _order(type: str, resource: JsonObject) -> Route | Ignored:
    """A charge names its order, or at least its session; else it must be read to tell."""
    if resource.get("checkoutSessionId"):
        return Ignored("platform_checkout_session")  # the platform's own flow (DESIGN, Router)
    keys = _keys(
        checkout=resource.get("checkoutId"),
        order=event_order_id(type, resource),
        session=resource.get("paymentSessionId"),
        upstream=resource.get("upstreamId"),
    )
    if not keys and type.startswith("order.charge."):
        keys = _keys(charge=resource.get("id"))
    return Route(keys, wait=True) if keys else Ignored("names_no_order", odd=True)


def _keys(**named: Any) -> tuple[Key, ...]:
    """The keys that have a value."""
    texts = ((kind, as_id(value)) for kind, value in named.items())
    return tuple((kind, text) for kind, text in texts if text)
