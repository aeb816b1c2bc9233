"""The platform's calls that read: one thing, or a list of them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from . import charges, checkouts, customers, orders, sources, webhooks
from .call import Answer, Call
from .errors import invalid, not_found
from .lists import listing, many, tests
from .model import Checkout, Customer, Event, Order, matches

HISTORY = timedelta(days=30)  # PLATFORM §6.6


def get_checkout(call: Call) -> Answer:
    return 200, checkouts.view(call.world, call.checkout())


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


def get_source(call: Call) -> Answer:
    return 200, sources.view(sources.find(call.world, call.live, call.path["id"]))


def get_order(call: Call) -> Answer:
    return 200, orders.view(call.world, call.order())


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


def get_charge(call: Call) -> Answer:
    return 200, charges.view(charges.find(call.world, call.live, call.path["id"]))


def get_customer(call: Call) -> Answer:
    return 200, customers.view(call.world, call.customer())


def list_customers(call: Call) -> Answer:
    wanted = tests(
        call.query,
        exact={"email": _field("email"), "requestToBeForgotten": _forget},
        among={"ids": lambda one: one.id},
        times={"createdTime": lambda one: one.created, "updatedTime": lambda one: one.updated},
        amounts={},
    )
    found = (one for one in reversed(call.world.customers.values()) if one.live == call.live)
    return 200, listing(call.query, found, wanted, lambda one: customers.view(call.world, one))


def get_event(call: Call) -> Answer:
    event = call.world.events.get(call.path["id"])
    oldest = call.world.clock.now() - HISTORY
    if event is None or event.live != call.live or event.created < oldest:
        raise not_found("id", f"Event '{call.path['id']}' not found.")
    return 200, event.body


def list_events(call: Call) -> Answer:
    """30 days of history; `type` may be a wildcard, `types` fewer than 20 names, not both."""
    names = many(call.query, "types")
    if names is not None and "type" in call.query:
        raise invalid("types", "Either type or types, not both.")
    if names is not None and len(names) >= 20:
        raise invalid("types", "Fewer than 20 types may be given.")
    if "createdTime[eq]" in call.query:
        raise invalid("createdTime[eq]", "'eq' is not a comparison.")  # PLATFORM §1.4
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


def get_webhook(call: Call) -> Answer:
    return 200, webhooks.view(webhooks.find(call.world, call.live, call.path["id"]))


def list_webhooks(call: Call) -> Answer:
    found = [one for one in call.world.webhooks.values() if one.live == call.live]
    return 200, [webhooks.view(one) for one in found]


def _field(name: str) -> Callable[[Checkout | Order | Customer], Any]:
    return lambda one: one.fields.get(name)


def _forget(customer: Customer) -> str:
    return "true" if customer.forget else "false"


def _transition(state: str) -> Callable[[Order], Any]:
    return lambda one: one.transitions.get(state)
