"""The platform's calls, each from a `Call` to what is answered."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from . import (
    charges,
    checkouts,
    customers,
    fulfillments,
    orders,
    settlement,
    sources,
    submission,
    webhooks,
)
from .errors import Refusal, invalid, not_found
from .fields import parse
from .lists import Query, listing, many, tests
from .model import Checkout, Customer, Event, Json, Order, matches
from .world import World

HISTORY = timedelta(days=30)  # PLATFORM §6.6


@dataclass(slots=True)
class Call:
    """One request, authenticated: `live` is the key's mode. `late` runs after its answer."""

    world: World
    live: bool
    raw: bytes
    query: Query
    path: dict[str, str] = field(default_factory=dict)

    def body(self) -> Json:
        return parse(self.raw)


Answer = tuple[int, Any]  # status and JSON; None is an empty body
Handler = Callable[[Call], Answer]


def create_checkout(call: Call) -> Answer:
    made = checkouts.create(call.world, call.live, call.body())
    return 201, checkouts.view(call.world, made)


def list_checkouts(call: Call) -> Answer:
    world = call.world
    wanted = tests(
        call.query,
        exact={
            name: _field(name)
            for name in (
                "customerId", "email", "currency", "browserIp", "locale", "customerType",
                "applicationId",
            )
        } | {"chargeType": lambda one: one.charge_type},
        among={"ids": lambda one: one.id, "upstreamIds": lambda one: one.upstream_id},
        times={"createdTime": lambda one: one.created, "updatedTime": lambda one: one.updated},
        amounts={"totalAmount": lambda one: checkouts.totals(one).total},
    )  # fmt: skip
    found = (one for one in reversed(world.checkouts.values()) if one.live == call.live)
    return 200, listing(call.query, found, wanted, lambda one: checkouts.view(world, one))


def _field(name: str) -> Callable[[Checkout | Order | Customer], Any]:
    return lambda one: one.fields.get(name)


def _transition(state: str) -> Callable[[Order], Any]:
    return lambda one: one.transitions.get(state)


def get_checkout(call: Call) -> Answer:
    return 200, checkouts.view(call.world, _checkout(call))


def _checkout(call: Call) -> Checkout:
    return checkouts.find(call.world, call.live, call.path["id"])


def update_checkout(call: Call) -> Answer:
    changed = checkouts.update(call.world, _checkout(call), call.body())
    return 200, checkouts.view(call.world, changed)


def delete_checkout(call: Call) -> Answer:
    checkouts.delete(call.world, _checkout(call))
    return 204, None


def attach_source(call: Call) -> Answer:
    checkout = _checkout(call)
    source = sources.find(call.world, call.live, call.path["source"], "sourceId")
    before = checkouts.view(call.world, checkout)
    sources.attach(call.world, checkout, source, checkouts.totals(checkout).total)
    checkouts.touch(call.world, checkout, before)
    return 200, sources.view(source)


def detach_source(call: Call) -> Answer:
    checkout = _checkout(call)
    before = checkouts.view(call.world, checkout)
    sources.detach(call.world, checkout, call.path["source"])
    checkouts.touch(call.world, checkout, before)
    return 204, None


def create_source(call: Call) -> Answer:
    return 201, sources.view(sources.create_credit(call.world, call.live, call.body()))


def get_source(call: Call) -> Answer:
    return 200, sources.view(sources.find(call.world, call.live, call.path["id"]))


def create_order(call: Call) -> Answer:
    made = submission.submit(call.world, call.live, call.body())
    return 201, orders.view(call.world, made)


def list_orders(call: Call) -> Answer:
    """An order shows up here only after the list lag, if one is set."""
    world = call.world
    states = ("pending_payment", "in_review", "accepted", "blocked", "cancelled", "fulfilled",
              "complete", "returned")  # fmt: skip
    wanted = tests(
        call.query,
        exact={
            name: _field(name)
            for name in (
                "customerId", "email", "currency", "browserIp", "locale", "customerType",
                "applicationId",
            )
        } | {
            "checkoutId": lambda one: one.checkout_id,
            "state": lambda one: one.state,
            "fraudState": lambda one: one.fraud_state,
            "chargeType": lambda one: one.charge_type,
        },
        among={"ids": lambda one: one.id, "upstreamIds": lambda one: one.upstream_id},
        times={
            "createdTime": lambda one: one.created,
            "updatedTime": lambda one: one.updated,
            **{state: _transition(state) for state in states},
        },
        amounts={"totalAmount": lambda one: one.total},
    )  # fmt: skip
    lag = timedelta(seconds=world.faults.list_lag)
    visible = world.clock.now() - lag
    found = (
        one
        for one in reversed(world.orders.values())
        if one.live == call.live and (not lag or one.listed_from <= visible)
    )
    return 200, listing(call.query, found, wanted, lambda one: orders.view(world, one))


def _order(call: Call) -> Order:
    return orders.find(call.world, call.live, call.path["id"])


def get_order(call: Call) -> Answer:
    return 200, orders.view(call.world, _order(call))


def update_order(call: Call) -> Answer:
    return 200, orders.view(call.world, orders.update(call.world, _order(call), call.body()))


def refresh_order(call: Call) -> Answer:
    return 200, orders.view(call.world, settlement.refresh(call.world, _order(call)))


def get_charge(call: Call) -> Answer:
    return 200, charges.view(charges.find(call.world, call.live, call.path["id"]))


def create_fulfillment(call: Call) -> Answer:
    return 201, fulfillments.create(call.world, call.live, call.body())


def create_customer(call: Call) -> Answer:
    made = customers.create(call.world, call.live, call.body())
    return 201, customers.view(call.world, made)


def list_customers(call: Call) -> Answer:
    wanted = tests(
        call.query,
        exact={"email": _field("email")},
        among={"ids": lambda one: one.id},
        times={"createdTime": lambda one: one.created, "updatedTime": lambda one: one.updated},
        amounts={},
    )
    found = (one for one in reversed(call.world.customers.values()) if one.live == call.live)
    return 200, listing(call.query, found, wanted, lambda one: customers.view(call.world, one))


def _customer(call: Call) -> Customer:
    return customers.find(call.world, call.live, call.path["id"])


def get_customer(call: Call) -> Answer:
    return 200, customers.view(call.world, _customer(call))


def update_customer(call: Call) -> Answer:
    changed = customers.update(call.world, _customer(call), call.body())
    return 200, customers.view(call.world, changed)


def delete_customer(call: Call) -> Answer:
    customers.delete(call.world, _customer(call))
    return 204, None


def save_source(call: Call) -> Answer:
    customer = _customer(call)
    source = sources.find(call.world, call.live, call.path["source"], "sourceId")
    return 200, sources.view(customers.save(call.world, customer, source))


def remove_source(call: Call) -> Answer:
    customers.remove(call.world, _customer(call), call.path["source"])
    return 204, None


def list_events(call: Call) -> Answer:
    """30 days of history; `type` may be a wildcard, `types` fewer than 20 names, not both."""
    names = many(call.query, "types")
    if names is not None and "type" in call.query:
        raise invalid("types", "Either type or types, not both.")
    if names is not None and len(names) >= 20:
        raise invalid("types", "Fewer than 20 types may be given.")
    pattern = call.query.get("type", ["*"])[-1]
    oldest = call.world.clock.now() - HISTORY

    def wanted_type(event: Event) -> bool:
        return event.type in names if names is not None else matches(pattern, event.type)

    wanted = [wanted_type, *tests(
        call.query, exact={}, among={}, times={"createdTime": lambda one: one.created}, amounts={}
    )]  # fmt: skip
    found = (
        one
        for one in reversed(call.world.events.values())
        if one.live == call.live and one.created >= oldest
    )
    return 200, listing(call.query, found, wanted, lambda one: one.body)


def get_event(call: Call) -> Answer:
    event = call.world.events.get(call.path["id"])
    if event is None or event.live != call.live:
        raise not_found("id", f"Event '{call.path['id']}' not found.")
    return 200, event.body


def list_webhooks(call: Call) -> Answer:
    found = [one for one in call.world.webhooks.values() if one.live == call.live]
    return 200, [webhooks.view(one) for one in found]


def create_webhook(call: Call) -> Answer:
    return 201, webhooks.view(webhooks.create(call.world, call.live, call.body()))


def get_webhook(call: Call) -> Answer:
    return 200, webhooks.view(webhooks.find(call.world, call.live, call.path["id"]))


def update_webhook(call: Call) -> Answer:
    webhook = webhooks.find(call.world, call.live, call.path["id"])
    return 200, webhooks.view(webhooks.update(call.world, webhook, call.body()))


def delete_webhook(call: Call) -> Answer:
    del call.world.webhooks[webhooks.find(call.world, call.live, call.path["id"]).id]
    return 204, None


def no_such_path(call: Call) -> Answer:
    raise Refusal(404, "not_found", "The requested resource was not found.")


CALLS: tuple[tuple[str, str, Handler], ...] = (
    ("POST", "/checkouts", create_checkout),
    ("GET", "/checkouts", list_checkouts),
    ("GET", "/checkouts/{id}", get_checkout),
    ("POST", "/checkouts/{id}", update_checkout),
    ("DELETE", "/checkouts/{id}", delete_checkout),
    ("POST", "/checkouts/{id}/sources/{source}", attach_source),
    ("DELETE", "/checkouts/{id}/sources/{source}", detach_source),
    ("POST", "/sources", create_source),
    ("GET", "/sources/{id}", get_source),
    ("POST", "/orders", create_order),
    ("GET", "/orders", list_orders),
    ("GET", "/orders/{id}", get_order),
    ("POST", "/orders/{id}", update_order),
    ("POST", "/orders/{id}/refresh", refresh_order),
    ("GET", "/charges/{id}", get_charge),
    ("POST", "/fulfillments", create_fulfillment),
    ("POST", "/customers", create_customer),
    ("GET", "/customers", list_customers),
    ("GET", "/customers/{id}", get_customer),
    ("POST", "/customers/{id}", update_customer),
    ("DELETE", "/customers/{id}", delete_customer),
    ("POST", "/customers/{id}/sources/{source}", save_source),
    ("DELETE", "/customers/{id}/sources/{source}", remove_source),
    ("GET", "/events", list_events),
    ("GET", "/events/{id}", get_event),
    ("GET", "/webhooks", list_webhooks),
    ("POST", "/webhooks", create_webhook),
    ("GET", "/webhooks/{id}", get_webhook),
    ("PATCH", "/webhooks/{id}", update_webhook),
    ("DELETE", "/webhooks/{id}", delete_webhook),
)
