"""Control calls that make something happen to one resource, by its id."""

from typing import Any

from . import checkouts, customers, low_code, orders, payments, settlement, sources, troubles
from .errors import not_found
from .limiter import is_live
from .model import Json, Order, Source
from .world import World

Answer = tuple[int, Any]


def _order(world: World, order_id: str) -> Order:
    order = world.orders.get(order_id)
    if order is None:
        raise not_found("id", "No such order.")
    return order


def _source(world: World, source_id: str) -> Source:
    source = world.sources.get(source_id)
    if source is None:
        raise not_found("id", "No such source.")
    return source


def settle(world: World, order_id: str, body: Json) -> Answer:
    """`{"state": "accepted", "blocked", "cancelled" or "failed", "cancelReason"?}`"""
    order = _order(world, order_id)
    settlement.settle(world, order, body.get("state", ""), body.get("cancelReason"))
    return 200, orders.view(world, order)


def trouble(world: World, order_id: str, body: Json) -> Answer:
    order = _order(world, order_id)
    troubles.happen(world, order, body)
    return 200, orders.view(world, order)


def source(world: World, source_id: str, body: Json) -> Answer:
    """Sets a source's state, whatever it was: `{"state": "chargeable"}`."""
    found = _source(world, source_id)
    found.state = body.get("state", found.state)
    if found.state == "chargeable":
        world.emit("source.chargeable", found.live, sources.view(found))
    return 200, sources.view(found)


def pay(world: World, source_id: str, body: Json) -> Answer:
    found = _source(world, source_id)
    payments.pay(world, found)
    return 200, sources.view(found)


def expire(world: World, source_id: str, body: Json) -> Answer:
    found = _source(world, source_id)
    payments.expire(world, found)
    return 200, sources.view(found)


def customer(world: World, customer_id: str, body: Json) -> Answer:
    found = world.customers.get(customer_id)
    if found is None:
        raise not_found("id", "No such customer.")
    return 200, customers.view(world, customers.update(world, found, body))


def session(world: World, checkout_id: str, body: Json) -> Answer:
    """Forces a session's state, or with null lets it follow the rules again."""
    checkout = world.checkouts.get(checkout_id)
    if checkout is None:
        raise not_found("id", "No such checkout.")
    before = checkouts.view(world, checkout)
    checkout.session.forced = body.get("state")
    checkouts.touch(world, checkout, before)
    return 200, checkouts.view(world, checkout)


def own_checkout(world: World, _: str, body: Json) -> Answer:
    """A shopper buys on the platform's own page."""
    live = bool(body.get("liveMode", is_live(world.keys[0])))
    return 201, orders.view(world, low_code.buy(world, live, body))
