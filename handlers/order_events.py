"""What we are told of orders, and reading them again because of it (PLATFORM §6.2)."""

from handlers.decision import Decision, Moment, ignore
from handlers.moves import again, backoff, end, later, step
from handlers.orders import GONE, parsed, settle
from handlers.policy import Policy
from schemas.base import JsonObject
from schemas.commands import CancelOrder, Planned, ReadOrder
from schemas.facts import CommandEnded, PlatformEvent
from schemas.platform import Order
from schemas.purchase import Purchase, Reason, State
from schemas.results import Rejected, Succeeded, Unavailable


def on_event(purchase: Purchase, fact: PlatformEvent) -> Decision:
    """An order or charge event: a snapshot, so read the order, unless we know as much."""
    order_id = event_order_id(fact.object)
    if order_id is None:
        return ignore(purchase, "event.no_order", "PLATFORM §6.1", type=fact.type)
    if _nothing_new(purchase, fact, order_id):
        return ignore(purchase, "event.nothing_new", "PLATFORM §6.2", order=order_id)
    key = f"{purchase.id}/order/{order_id}/event/{fact.event_id}"
    planned = Planned(key=key, command=ReadOrder(order_id=order_id))
    return Decision(purchase, "event.read_order", "PLATFORM §6.2", (planned,))


def event_order_id(resource: JsonObject) -> str | None:
    """The order of an event's object, order or charge alike (PLATFORM §6.1, shape detection)."""
    if resource.get("orderId"):
        return str(resource["orderId"])
    shaped = any(name in resource for name in ("items", "checkoutId", "payment"))
    return str(resource["id"]) if shaped and resource.get("id") else None


def _nothing_new(purchase: Purchase, fact: PlatformEvent, order_id: str) -> bool:
    known = next((o for o in purchase.orders if o.id == order_id), None)
    if known is None:
        return False
    if fact.object.get("orderId"):
        told_of = (str(fact.object.get("id")), fact.object.get("state"))
        return told_of in {(charge.id, charge.state) for charge in known.charges}
    told = parsed((fact.object,))
    updated = told[0].updated_time if told else None
    return bool(
        told
        and updated
        and known.updated
        and updated <= known.updated
        and told[0].state == known.state
    )


def on_read(purchase: Purchase, fact: CommandEnded, moment: Moment, policy: Policy) -> Decision:
    """An order was read."""
    assert isinstance(fact.command, ReadOrder)
    match fact.result:
        case Succeeded(body=body) if found := parsed((body,)):
            return _settled(purchase, found[0], fact, moment, policy)
        case Unavailable(retry_after=seconds):
            due = later(moment, seconds or backoff(policy.retry_after, fact.attempt))
            return Decision(purchase, "order.read_later", "PLATFORM §6.2", again(fact, due))
        case Rejected(status=404) if fact.attempt <= len(policy.look_after):
            due = later(moment, backoff(policy.look_after, fact.attempt))
            return Decision(purchase, "order.not_listed_yet", "PLATFORM §6.2", again(fact, due))
        case Rejected(status=status) if status != 404:
            due = later(moment, backoff(policy.retry_after, fact.attempt))
            alert = "credentials" if fact.attempt == 1 else None
            rule = "order.reading_refused"
            return Decision(purchase, rule, "PLATFORM §4.3", again(fact, due), alert=alert)
        case _:
            seen = {"order": fact.command.order_id}
            rule = "order.unreadable"
            return Decision(
                purchase, rule, "PLATFORM §6.2", evidence=seen, alert="order_unreadable"
            )


def _settled(
    purchase: Purchase, order: Order, fact: CommandEnded, moment: Moment, policy: Policy
) -> Decision:
    after_cancel = fact.key == purchase.awaiting and "/cancelled/" in fact.key
    if after_cancel and order.state not in GONE:
        waiting = end(purchase, State.REVIEW, Reason.STALE_ORDER, "order.processing")
        seen = {"order": order.id, "state": order.state}
        return Decision(
            *(waiting, "order.cancel_refused", "I5"), evidence=seen, alert="stale_order"
        )
    return settle(purchase, order, moment, policy, rule="order.read")


def on_cancelled(
    purchase: Purchase, fact: CommandEnded, moment: Moment, policy: Policy
) -> Decision:
    """`POST /fulfillments` was answered. Only a read proves the cancel (PLATFORM §5.6)."""
    assert isinstance(fact.command, CancelOrder)
    if isinstance(fact.result, Unavailable):
        due = later(moment, fact.result.retry_after or backoff(policy.retry_after, fact.attempt))
        return Decision(purchase, "order.cancel_later", "PLATFORM §5.6", again(fact, due))
    command = ReadOrder(order_id=fact.command.order_id)
    key = f"{purchase.id}/order/{command.order_id}/cancelled/{fact.attempt}"
    reading, commands = step(purchase, command, key=key)
    return Decision(reading, "order.read_back", "PLATFORM §5.6", commands)


def look_again(purchase: Purchase, order_id: str) -> Decision:
    """Read a pending order without having been told to."""
    key = f"{purchase.id}/order/{order_id}/look/{purchase.step}"
    reading, commands = step(purchase, ReadOrder(order_id=order_id), key=key)
    return Decision(reading, "timer.order", "PLATFORM §6.2", commands)
