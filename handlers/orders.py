"""Orders: found, created or told of; what their state means for the purchase (I2, I5)."""

from collections.abc import Iterable
from dataclasses import replace

from handlers import provider, stale
from handlers.aftermath import trouble_read
from handlers.decision import Decision, Moment, ignore
from handlers.matrix import PENDING, Ending, Meaning, ending, meaning
from handlers.moves import change, end, step, with_condition
from handlers.policy import Policy
from schemas.commands import Planned, ReadOrder
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
SOURCE = "PLATFORM §4.1"
PLACED_TEXT = "order.accepted"
OLDER = "order.older_reading"
FORMER = "order.former"  # an order that is over and that the purchase has moved on without


def adopt(
    purchase: Purchase, found: Iterable[Order], moment: Moment, policy: Policy
) -> Decision | None:
    """Orders under our checkouts are ours. A live stranger under the upstream id is not ours."""
    known = {record.id: record.state for record in purchase.orders}
    ours = [o for o in found if o.checkout_id in purchase.checkout_ids]
    older = [o for o in ours if _outdated(purchase, o)]
    if behind := [o for o in older if known[o.id] not in GONE]:
        return _read_itself(purchase, behind[0])
    ours = [o for o in ours if o not in older]
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
        return stranger(purchase, strangers)
    decision = settle(purchase, fresh[0], moment, policy, rule="order.found")
    for order in fresh[1:]:
        more = settle(decision.purchase, order, moment, policy, rule="order.found")
        decision = Decision(
            *(more.purchase, more.rule, more.source, (*decision.commands, *more.commands)),
            evidence=more.evidence,
            alert=more.alert or decision.alert,
        )
    return decision


def _outdated(purchase: Purchase, order: Order) -> bool:
    """Whether it is an older state than the one we know: lists lag. An order that is over waits
    for no payment any more, whatever it says without a newer time."""
    known = next((o for o in purchase.orders if o.id == order.id), None)
    if known is None:
        return False
    told, last = order.updated_time, known.updated
    if known.state in GONE and order.state in PENDING:
        return not (told and last and told > last)
    return bool(told and last and told < last)


def _read_itself(purchase: Purchase, order: Order) -> Decision:
    """The list is behind what we know of a live order: read that order."""
    reading, commands = step(purchase, ReadOrder(order_id=order.id))
    return Decision(reading, "order.list_lags", "PLATFORM §6.2", commands)


def strange(purchase: Purchase, order: Order) -> bool:
    """Whether the order is of a checkout that is none of ours, and nobody has adopted it."""
    ours = order.checkout_id is None or order.checkout_id in purchase.checkout_ids
    return not ours and all(known.id != order.id for known in purchase.orders)


def stranger(purchase: Purchase, strangers: list[Order]) -> Decision:
    """Somebody else's live order under our upstream id: a second one would be a duplicate."""
    if all(order.state in GONE for order in strangers):
        return ignore(purchase, "order.stranger_gone", "I5")
    waiting = end(purchase, State.REVIEW, Reason.DUPLICATE_ORDER, "order.checking")
    seen = {"orders": [order.id for order in strangers]}
    return Decision(*(waiting, "order.stranger", "I5"), evidence=seen, alert="duplicate_order")


def settle(
    purchase: Purchase, order: Order, moment: Moment, policy: Policy, *, rule: str
) -> Decision:
    """Take an order's state over. It moves forward only; an order beats whatever we believed."""
    known = next((o for o in purchase.orders if o.id == order.id), None)
    if _outdated(purchase, order):
        return ignore(purchase, OLDER, "PLATFORM §6.2")
    record = _record(order, known)
    others = tuple(o for o in purchase.orders if o.id != order.id)
    seen = {"order": record.id, "state": record.state, "sessionState": record.session_state}
    purchase = change(
        with_condition(purchase, order.checkout_id or "", Condition.CONSUMED),
        orders=(*others, record),
    )
    rivals = [other for other in others if other.state not in GONE]
    if rivals and record.state not in GONE:
        return _duplicate(purchase, record, rivals)
    if rivals or _former(purchase, record, known):
        if known is None or known.state not in GONE:
            # Nobody else will look at its charges.
            purchase = stale.declined(purchase, record, policy)
        return Decision(purchase, FORMER, "I5", evidence=seen)
    settled = change(
        purchase,
        order=record,
        verdict=None,
        unsettled_since=None,
        permit=None,
        faults=(),
        notice=None,
    )
    decision = _meant(settled, order, record, rule, moment, policy)
    return replace(decision, evidence=seen | {"how": rule} | dict(decision.evidence))


def _former(purchase: Purchase, record: OrderRecord, known: OrderRecord | None) -> bool:
    """Whether the order is over and the purchase has moved on without it."""
    if purchase.order and purchase.order.id == record.id:
        return False  # it is the one that the purchase stands or falls with
    replaced = record.checkout_id not in (None, purchase.current.checkout_id)
    was_over = known is not None and known.state in GONE and purchase.order is None
    return record.state in GONE and (replaced or was_over)


def recorded(purchase: Purchase, order: Order) -> OrderRecord:
    """The order as read, with what we were told of it before."""
    return _record(order, next((o for o in purchase.orders if o.id == order.id), None))


def _record(order: Order, known: OrderRecord | None) -> OrderRecord:
    session = order.payment.session
    return OrderRecord(
        id=order.id,
        checkout_id=order.checkout_id,
        state=order.state,
        fraud_state=order.fraud_state,
        cancel_reason=order.cancel_reason,
        session_state=session.state if session else None,
        trouble=trouble_read(order, known.trouble if known else None),
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


def _meant(
    purchase: Purchase,
    order: Order,
    record: OrderRecord,
    how: str,
    moment: Moment,
    policy: Policy,
) -> Decision:
    """What the order means now that it was read (PLATFORM §4.1, §5.6, §5.7, §5.11)."""
    at_once = how == "submission.created"  # row 10: ask for new payment
    given_up = at_once or purchase.replacing == record.id
    found = meaning(record, page=bool(provider.page(order)), given_up=given_up)
    if purchase.cancel_requested and purchase.state is not State.ACCEPTED:
        return _cancelling(purchase, record)
    if purchase.state is State.ACCEPTED:
        return _after_acceptance(purchase, record)
    waits = found in provider.WAITING | {Meaning.FAILED}
    if purchase.reason is Reason.STALE_ORDER and waits:
        return stale.still_there(purchase, moment, policy)
    if purchase.replacing == record.id and waits:
        return Decision(purchase, "order.being_replaced", "I5")  # its cancel is under way
    match found:
        case Meaning.PLACED:
            done = end(purchase, State.ACCEPTED, record.trouble, PLACED_TEXT)
            return Decision(done, "order.accepted", SOURCE)
        case Meaning.REVIEW:
            waiting = end(purchase, State.PENDING, Reason.FRAUD_REVIEW, "order.processing")
            return provider.looked_at(waiting, "order.in_review", moment, policy)
        case Meaning.BLOCKED:
            lost = end(purchase, State.LOST, Reason.BLOCKED, "order.failed")
            return Decision(lost, "order.ended", SOURCE)
        case Meaning.REFUSED | Meaning.UNPAID | Meaning.CANCELLED:
            return _cancelled(purchase, found, record, policy)
        case Meaning.FAILED:
            return stale.begin(purchase, record, "order.not_paid")
        case Meaning.UNKNOWN:
            return _not_understood(purchase, record)
        case _:
            return provider.waiting(purchase, order, record, found, how, moment, policy)


def _after_acceptance(purchase: Purchase, record: OrderRecord) -> Decision:
    """Only `order` and `fulfil` move, and what went wrong since (§5.11)."""
    if record.trouble is purchase.reason:
        return Decision(purchase, "order.after_acceptance", SOURCE)
    told = end(purchase, State.ACCEPTED, record.trouble, PLACED_TEXT)
    alert = record.trouble.value if record.trouble else None
    return Decision(told, "order.trouble" if alert else "order.trouble_over", SOURCE, alert=alert)


def _not_understood(purchase: Purchase, record: OrderRecord) -> Decision:
    """A state never heard of: a person, after one more look (PLATFORM §4.1, row 12)."""
    odd = end(purchase, State.REVIEW, Reason.UNDECIDED, "order.processing")
    look = Planned(
        key=f"{purchase.id}/order/{record.id}/odd", command=ReadOrder(order_id=record.id)
    )
    first = purchase.reason is not Reason.UNDECIDED
    return Decision(
        *(odd, "order.state_unknown", SOURCE, (look,) if first else ()),
        alert="order_state_unknown" if first else None,
    )


def live_orders(purchase: Purchase) -> list[OrderRecord]:
    """The orders that are neither cancelled nor blocked, as far as we know."""
    return [order for order in purchase.orders if order.state not in GONE]


def _cancelled(purchase: Purchase, found: Meaning, record: OrderRecord, policy: Policy) -> Decision:
    """Who ended it: the bank or a deadline may be recovered from, a person or fraud may not."""
    if found is Meaning.REFUSED:
        lost = end(purchase, State.LOST, Reason.FRAUD, "order.failed")
        return Decision(lost, "order.final", SOURCE)
    if found is Meaning.UNPAID and purchase.state is not State.LOST:  # what is lost stays so
        return stale.recover(purchase, record, policy)
    lost = end(purchase, State.LOST, Reason.CANCELLED, "order.cancelled")
    return Decision(lost, "order.cancelled", SOURCE)


def _cancelling(purchase: Purchase, record: OrderRecord) -> Decision:
    """The shopper had cancelled: take the order back, and promise nothing before it is read."""
    if record.state not in GONE:
        return stale.take_back(purchase, record, "order.take_back")
    fraud = ending(record, given_up=False) is Ending.FRAUD
    reason = Reason.FRAUD if fraud else Reason.CANCELLED
    message = "order.failed" if reason is Reason.FRAUD else "order.cancelled"
    lost = end(purchase, State.LOST, reason, message)
    return Decision(lost, "order.cancelled", SOURCE)
