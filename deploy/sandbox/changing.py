"""The platform's calls that make, change or remove something."""

from . import (
    checkouts,
    customers,
    fulfillments,
    orders,
    settlement,
    sources,
    submission,
    webhooks,
)
from .call import Answer, Call


def create_checkout(call: Call) -> Answer:
    made = checkouts.create(call.world, call.live, call.body())
    return 201, checkouts.view(call.world, made)


def update_checkout(call: Call) -> Answer:
    changed = checkouts.update(call.world, call.checkout(), call.body())
    return 200, checkouts.view(call.world, changed)


def delete_checkout(call: Call) -> Answer:
    checkouts.delete(call.world, call.checkout())
    return 204, None


def attach_source(call: Call) -> Answer:
    checkout = call.checkout()
    source = sources.find(call.world, call.live, call.path["source"], "sourceId")
    before = checkouts.view(call.world, checkout)
    sources.attach(call.world, checkout, source, checkouts.totals(checkout).total)
    checkouts.touch(call.world, checkout, before)
    return 200, sources.view(source)


def detach_source(call: Call) -> Answer:
    checkout = call.checkout()
    before = checkouts.view(call.world, checkout)
    sources.detach(call.world, checkout, call.path["source"])
    checkouts.touch(call.world, checkout, before)
    return 204, None


def create_source(call: Call) -> Answer:
    return 201, sources.view(sources.create_credit(call.world, call.live, call.body()))


def create_order(call: Call) -> Answer:
    made = submission.submit(call.world, call.live, call.body())
    return 201, orders.view(call.world, made)


def update_order(call: Call) -> Answer:
    return 200, orders.view(call.world, orders.update(call.world, call.order(), call.body()))


def refresh_order(call: Call) -> Answer:
    return 200, orders.view(call.world, settlement.refresh(call.world, call.order()))


def create_fulfillment(call: Call) -> Answer:
    return 201, fulfillments.create(call.world, call.live, call.body())


def create_customer(call: Call) -> Answer:
    made = customers.create(call.world, call.live, call.body())
    return 201, customers.view(call.world, made)


def update_customer(call: Call) -> Answer:
    changed = customers.update(call.world, call.customer(), call.body())
    return 200, customers.view(call.world, changed)


def delete_customer(call: Call) -> Answer:
    customers.delete(call.world, call.customer())
    return 204, None


def save_source(call: Call) -> Answer:
    customer = call.customer()
    source = sources.find(call.world, call.live, call.path["source"], "sourceId")
    return 200, sources.view(customers.save(call.world, customer, source))


def remove_source(call: Call) -> Answer:
    customers.remove(call.world, call.customer(), call.path["source"])
    return 204, None


def create_webhook(call: Call) -> Answer:
    return 201, webhooks.view(webhooks.create(call.world, call.live, call.body()))


def update_webhook(call: Call) -> Answer:
    webhook = webhooks.find(call.world, call.live, call.path["id"])
    return 200, webhooks.view(webhooks.update(call.world, webhook, call.body()))


def delete_webhook(call: Call) -> Answer:
    del call.world.webhooks[webhooks.find(call.world, call.live, call.path["id"]).id]
    return 204, None
