"""Orders: found, created or told of; what their state means for the purchase (I2, I5)."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC
from typing import Any

from pydantic import ValidationError

from handlers.decision import Decision, Moment, ignore
from handlers.moves import change, end, enter, step, wake, with_condition
from handlers.paths import present, without
from handlers.policy import Policy
from handlers.redirects import allowed
from schemas.base import JsonObject
from schemas.commands import CancelOrder, Line
from schemas.platform import Order
from schemas.purchase import (
    ChargeState,
    Condition,
    ItemRef,
    OrderRecord,
    Purchase,
    Reason,
    State,
)

GONE = frozenset({"cancelled", "blocked"})  # only these prove that an order is not live (I5)
PLACED = frozenset({"accepted", "fulfilled", "complete", "returned", "dispute"})
# PLATFORM §4.1: what a pending order waits for, by the state of its session.
PENDING = {"pending_redirect": Reason.REDIRECT, "pending_funds": Reason.FUNDS}
PENDING_MESSAGES = {
    Reason.REDIRECT: "payment.redirect",
    Reason.FUNDS: "payment.instructions",
    Reason.PROCESSING: "order.processing",
    Reason.FRAUD_REVIEW: "order.processing",
}


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


def adopt(
    purchase: Purchase, found: Iterable[Order], moment: Moment, policy: Policy
) -> Decision | None:
    """Orders under our checkouts are ours. A live stranger under the upstream id is not ours."""
    known = {record.id: record.state for record in purchase.orders}
    ours = [o for o in found if o.checkout_id in purchase.checkout_ids]
    strangers = [
        o
        for o in found
        if o.checkout_id not in purchase.checkout_ids
        and o.upstream_id == purchase.upstream_id
        and o.id not in known
        and o.state not in GONE
    ]
    fresh = [o for o in ours if o.state not in GONE or known.get(o.id) not in GONE]
    fresh.sort(key=lambda o: o.state not in GONE)  # first those that are no rivals any more
    if not fresh and not strangers:
        return None
    if not fresh:
        return _stranger(purchase, strangers)
    decision = settle(purchase, fresh[0], moment, policy, rule="order.found")
    for order in fresh[1:]:
        more = settle(decision.purchase, order, moment, policy, rule="order.found")
        decision = Decision(
            *(more.purchase, more.rule, more.source, (*decision.commands, *more.commands)),
            evidence=more.evidence,
            alert=more.alert or decision.alert,
        )
    return decision


def _stranger(purchase: Purchase, strangers: list[Order]) -> Decision:
    """Somebody else's live order under our upstream id: a second one would be a duplicate."""
    waiting = end(purchase, State.REVIEW, Reason.DUPLICATE_ORDER, "order.checking")
    seen = {"orders": [order.id for order in strangers]}
    return Decision(*(waiting, "order.stranger", "I5"), evidence=seen, alert="duplicate_order")


def settle(
    purchase: Purchase, order: Order, moment: Moment, policy: Policy, *, rule: str
) -> Decision:
    """Take an order's state over. It moves forward only; an order beats whatever we believed."""
    known = next((o for o in purchase.orders if o.id == order.id), None)
    if known and known.updated and order.updated_time and order.updated_time < known.updated:
        return ignore(purchase, "order.older_reading", "PLATFORM §6.2")
    record = _record(order)
    others = tuple(o for o in purchase.orders if o.id != order.id)
    seen = {"order": record.id, "state": record.state, "sessionState": record.session_state}
    purchase = change(
        with_condition(purchase, order.checkout_id or "", Condition.CONSUMED),
        orders=(*others, record),
    )
    rivals = [other for other in others if other.state not in GONE]
    if rivals and record.state not in GONE:
        return _duplicate(purchase, record, rivals)
    if rivals:
        return Decision(purchase, "order.former", "I5", evidence=seen)
    settled = change(
        purchase,
        order=record,
        verdict=None,
        unsettled_since=None,
        permit=None,
        faults=(),
        notice=None,
    )
    decision = _by_state(settled, record, order, moment, policy)
    return Decision(
        *(decision.purchase, decision.rule, "PLATFORM §4.1", decision.commands),
        evidence=seen | {"how": rule},
        alert=decision.alert,
    )


def _record(order: Order) -> OrderRecord:
    session = order.payment.session
    return OrderRecord(
        id=order.id,
        checkout_id=order.checkout_id,
        state=order.state,
        fraud_state=order.fraud_state,
        cancel_reason=order.cancel_reason,
        session_state=session.state if session else None,
        updated=order.updated_time,
        source_id=next((s.id for s in order.payment.sources if s.type != "customerCredit"), None),
        charges=tuple(
            ChargeState(id=c.id, state=c.state, source_id=c.source_id, failure_code=c.failure_code)
            for c in order.payment.charges
        ),
        items=tuple(
            ItemRef(id=item.id, quantity=item.quantity, metadata=item.metadata)
            for item in order.items
        ),
    )


def _duplicate(purchase: Purchase, record: OrderRecord, rivals: list[OrderRecord]) -> Decision:
    waiting = end(purchase, State.REVIEW, Reason.DUPLICATE_ORDER, "order.checking")
    seen = {"orders": [record.id, *(rival.id for rival in rivals)]}
    alert = None if purchase.reason is Reason.DUPLICATE_ORDER else "duplicate_order"
    return Decision(waiting, "order.duplicate", "I5", evidence=seen, alert=alert)


def _by_state(
    purchase: Purchase, record: OrderRecord, order: Order, moment: Moment, policy: Policy
) -> Decision:
    """The rows of PLATFORM §4.1."""
    if purchase.cancel_requested and purchase.state is not State.ACCEPTED:
        return _cancelling(purchase, record)
    if purchase.state is State.ACCEPTED:
        return Decision(purchase, "order.after_acceptance", "")  # only `order` and `fulfil` move
    match record.state:
        case state if state in PLACED:
            done = end(purchase, State.ACCEPTED, None, "order.accepted")
            return Decision(done, "order.accepted", "")
        case "in_review":
            waiting = _pending(purchase, Reason.FRAUD_REVIEW, "order.in_review")
            return _looked_at_later(waiting, moment, policy)
        case "pending_payment":
            waiting = _awaiting_payment(purchase, record, order, policy)
            return _looked_at_later(waiting, moment, policy)
        case "blocked":
            lost = end(purchase, State.LOST, Reason.BLOCKED, "order.failed")
            return Decision(lost, "order.ended", "")
        case "cancelled":
            return _cancelled(purchase, record)
        case _:
            odd = end(purchase, State.REVIEW, Reason.UNDECIDED, "order.processing")
            return Decision(odd, "order.state_unknown", "", alert="order_state_unknown")


def _looked_at_later(decision: Decision, moment: Moment, policy: Policy) -> Decision:
    """A pending order is looked at now and then: the event that ends the wait may be lost."""
    if decision.purchase.state is not State.PENDING:
        return decision
    waiting, commands = wake(decision.purchase, "order", moment.now + policy.pending_look)
    return replace(decision, purchase=waiting, commands=(*decision.commands, *commands))


def live_orders(purchase: Purchase) -> list[OrderRecord]:
    """The orders that are neither cancelled nor blocked, as far as we know."""
    return [order for order in purchase.orders if order.state not in GONE]


def _pending(
    purchase: Purchase, reason: Reason, rule: str, next_action: JsonObject | None = None
) -> Decision:
    waiting = end(purchase, State.PENDING, reason, PENDING_MESSAGES[reason])
    return Decision(change(waiting, next_action=next_action), rule, "")


def _awaiting_payment(
    purchase: Purchase, record: OrderRecord, order: Order, policy: Policy
) -> Decision:
    reason = PENDING.get(record.session_state or "", Reason.PROCESSING)
    session = order.payment.session
    data = session.next_action.data if session and session.next_action else {}
    if reason is Reason.REDIRECT and (url := data.get("redirectUrl")):
        if not allowed(str(url), policy):
            waiting = end(purchase, State.REVIEW, Reason.UNDECIDED, "order.processing")
            return Decision(waiting, "order.redirect_refused", "", alert="redirect_refused")
        return _pending(
            *(purchase, reason, "order.redirect"), {"action": "redirect", "redirectUrl": url}
        )
    if reason is Reason.FUNDS and (source := data.get("sourceId")):
        action = {"action": "show_payment_instructions", "sourceId": source}
        return _pending(purchase, reason, "order.funds", action)
    return _pending(purchase, reason, f"order.{reason.value}")


def _cancelled(purchase: Purchase, record: OrderRecord) -> Decision:
    reason = Reason.FRAUD if record.cancel_reason == "fraud" else Reason.CANCELLED
    message = "order.failed" if reason is Reason.FRAUD else "order.cancelled"
    return Decision(end(purchase, State.LOST, reason, message), "order.cancelled", "")


def _cancelling(purchase: Purchase, record: OrderRecord) -> Decision:
    """The shopper had cancelled: take the order back, and promise nothing before it is read."""
    if record.state in GONE:
        return _cancelled(purchase, record)
    return take_back(purchase, record, "order.take_back")


def take_back(purchase: Purchase, record: OrderRecord, rule: str) -> Decision:
    """Cancel all of an order (PLATFORM §5.6)."""
    waiting = enter(purchase, State.PENDING, Reason.PROCESSING, message="order.processing")
    lines = tuple(Line(item_id=i.id, quantity=i.quantity or 1) for i in record.items)
    command = CancelOrder(order_id=record.id, lines=lines)
    waiting, commands = step(waiting, command, key=f"{purchase.id}/order/{record.id}/cancel")
    return Decision(waiting, rule, "PLATFORM §5.6", commands)
