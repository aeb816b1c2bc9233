"""What we are told of orders, and reading them again because of it (PLATFORM §6.2)."""

from dataclasses import replace

from handlers import orders, provider, stale
from handlers.aftermath import ENDS, TROUBLES, trouble_told
from handlers.decision import Decision, Moment, ignore
from handlers.matrix import Meaning, meaning
from handlers.moves import again, backoff, change, end, later, step, with_link
from handlers.order_bodies import parsed
from handlers.orders import GONE
from handlers.paths import as_id
from handlers.policy import Policy
from schemas.base import JsonObject
from schemas.commands import InspectOrder, Planned, ReadOrder, RefreshOrder
from schemas.facts import CommandEnded, PlatformEvent
from schemas.platform import Order
from schemas.purchase import OrderRecord, Purchase, Reason, State
from schemas.results import Rejected, Succeeded, Unavailable


def on_event(purchase: Purchase, fact: PlatformEvent) -> Decision:
    """An order or charge event: a snapshot, so read the order, unless we know as much.

    Of a few failures only the event itself tells (§5.11): that is noted before the read. One
    that names no order is about the purchase's own; one of a charge that shows the order says
    nothing about the order's own state (§8 #1).
    """
    order_id = event_order_id(fact.type, fact.object) or (
        purchase.order.id if purchase.order else None
    )
    if order_id is None:
        return ignore(purchase, "event.no_order", "PLATFORM §6.1", type=fact.type)
    tells = fact.type in TROUBLES or fact.type in ENDS
    settled = not fact.type.startswith("order.charge.") or fact.object.get("orderId")
    if not tells and settled and _nothing_new(purchase, fact, order_id):
        return ignore(purchase, "event.nothing_new", "PLATFORM §6.2", order=order_id)
    noted = _noted(purchase, fact, order_id) if tells else purchase
    if about := as_id(fact.object.get("checkoutId")):
        noted = with_link(noted, about, ordered=True)
    key = f"{purchase.id}/order/{order_id}/event/{fact.event_id}"
    planned = Planned(key=key, command=ReadOrder(order_id=order_id))
    return Decision(noted, "event.read_order", "PLATFORM §6.2", (planned,))


def _noted(purchase: Purchase, fact: PlatformEvent, order_id: str) -> Purchase:
    """The order with what the event says of it; told when it has been read.

    It may be the first that we hear of our own order, but never of a second one.
    """
    known = next((o for o in purchase.orders if o.id == order_id), None)
    if known is None and orders.live_orders(purchase):
        return purchase
    known = known or OrderRecord(id=order_id, checkout_id=None, state=None)
    trouble = trouble_told(fact.type, known.trouble)
    if trouble is known.trouble:
        return purchase
    told = known.model_copy(update={"trouble": trouble})
    others = tuple(o for o in purchase.orders if o.id != order_id)
    return change(purchase, orders=(*others, told))


def event_order_id(type: str, resource: JsonObject) -> str | None:
    """The order of an event's object, order or charge alike (PLATFORM §6.1, shape detection)."""
    if named := as_id(resource.get("orderId")):
        return named
    shaped = any(name in resource for name in ("items", "checkoutId", "payment"))
    own = shaped or not type.startswith("order.charge.")
    return (as_id(resource.get("id")) or None) if own else None


def _nothing_new(purchase: Purchase, fact: PlatformEvent, order_id: str) -> bool:
    known = next((o for o in purchase.orders if o.id == order_id), None)
    if known is None:
        return False
    if fact.object.get("orderId"):
        told_of = (str(fact.object.get("id")), fact.object.get("state"))
        return any(told_of == (charge.id, charge.state) for charge in known.charges)
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
    """An order was read, refreshed or inspected with its sources."""
    command = fact.command
    assert isinstance(command, ReadOrder | RefreshOrder | InspectOrder)
    match fact.result:
        case Succeeded(body=body) if found := parsed((_order_in(body, command.kind),)):
            if isinstance(command, InspectOrder):
                return _inspected(purchase, found[0], fact, body, moment, policy)
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
            return _unreadable(purchase, fact, command.order_id)


def _order_in(body: JsonObject, kind: str) -> object:
    return body.get("order") if kind == "inspect_order" else body


def _unreadable(purchase: Purchase, fact: CommandEnded, order_id: str) -> Decision:
    """Not an order, or none there: where the purchase waits for it, a person looks."""
    adopted = purchase.reason is Reason.CHECKING and purchase.awaiting is None
    awaited = fact.key == purchase.awaiting or adopted  # there is nothing but this order
    left = end(purchase, State.REVIEW, Reason.UNDECIDED, "order.processing")
    return Decision(
        *(left if awaited else purchase, "order.unreadable", "PLATFORM §6.2"),
        evidence={"order": order_id},
        alert="order_unreadable",
    )


def _settled(
    purchase: Purchase, order: Order, fact: CommandEnded, moment: Moment, policy: Policy
) -> Decision:
    awaited = fact.key == purchase.awaiting
    if awaited and "/cancelled/" in fact.key and order.state not in GONE:
        record = orders.recorded(purchase, order)
        sold = meaning(record, page=False) in (Meaning.PLACED, Meaning.REVIEW)
        # A cancel that was taken shows late; else it was paid meanwhile, and that wins (I5).
        if purchase.cancel_requested or not sold or stale.lags(fact):
            return stale.not_gone(purchase, record, fact, moment, policy)
    if orders.strange(purchase, order) and "/adopt/" not in fact.key:  # a person may adopt any
        return orders.stranger(purchase, [order])
    how = provider.how_read(fact.key)
    decision = orders.settle(purchase, order, moment, policy, rule=how)
    if decision.rule == orders.OLDER and awaited:  # it is what the purchase waits for
        due = later(moment, backoff(policy.look_after, fact.attempt))
        return replace(decision, commands=again(fact, due))
    return decision


def _inspected(
    purchase: Purchase,
    order: Order,
    fact: CommandEnded,
    body: JsonObject,
    moment: Moment,
    policy: Policy,
) -> Decision:
    """The order that is to be replaced, with its sources: await its money, or cancel it."""
    record = orders.recorded(purchase, order)
    over = meaning(record, page=False) not in provider.WAITING | {Meaning.FAILED}
    if over or purchase.replacing != order.id or fact.key != purchase.awaiting:
        return orders.settle(purchase, order, moment, policy, rule="order.inspected")
    if stale.on_the_way(record, stale.readable_sources(body.get("sources"))):
        return stale.await_money(purchase, moment, policy)
    return stale.cancel(purchase, record)


def look_again(purchase: Purchase, order: OrderRecord) -> Decision:
    """Read a pending order without having been told to.

    Where money is on its way from the provider's page, a refresh alone may show it (§5.6).
    """
    paid = purchase.reason is Reason.PROCESSING and order.session_state == "pending_redirect"
    if paid and not purchase.observed:
        return provider.refresh(purchase, order.id, "timer.order", provider.OVERDUE)
    key = f"{purchase.id}/order/{order.id}/look/{purchase.step}"
    reading, commands = step(purchase, ReadOrder(order_id=order.id), key=key)
    return Decision(reading, "timer.order", "PLATFORM §6.2", commands)
