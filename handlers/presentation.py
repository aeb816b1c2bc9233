"""The purchase as others see it. Shoppers' eyes see less (I8)."""

from datetime import datetime

from handlers.messages import text
from handlers.tables import Action
from schemas.outcomes import (
    ChargeView,
    FullOrderView,
    ItemView,
    Message,
    OrderRefView,
    OrderView,
    Outcome,
    PurchaseView,
    ShopperView,
    SubmissionView,
    TotalView,
)
from schemas.purchase import OrderRecord, Purchase, Reason, State

# For tokens of scope `shop` the three ends look alike, and a review like any processing.
HIDDEN = {
    Reason.FRAUD: Reason.EXHAUSTED,
    Reason.BLOCKED: Reason.EXHAUSTED,
    Reason.FRAUD_REVIEW: Reason.PROCESSING,
}


def quiet_reason(purchase: Purchase) -> str | None:
    """The reason in words that shoppers, logs and metrics may hold."""
    reason = purchase.reason
    return HIDDEN.get(reason, reason).value if reason else None


def view(purchase: Purchase, *, shop: bool) -> PurchaseView:
    """The purchase, for the storefront (`shop`) or for operators and outcomes."""
    reason = purchase.reason.value if purchase.reason else None
    order = purchase.order
    return PurchaseView(
        id=purchase.id,
        upstream_id=purchase.upstream_id,
        submits=purchase.submits,
        state=purchase.state.value,
        reason=quiet_reason(purchase) if shop else reason,
        checkout_id=purchase.current.checkout_id,
        checkout_ids=purchase.checkout_ids,
        order_id=order.id if order else None,
        order=_order(order, shop=shop) if order else None,
        orders=tuple(
            OrderRefView(id=o.id, checkout_id=o.checkout_id, state=_state(o, shop=shop))
            for o in purchase.orders
        ),
        fulfil=fulfil(purchase),
        total=_total(purchase),
        shopper=_shopper(purchase),
        submissions=_submissions(purchase, shop=shop),
        deadline=purchase.deadline if _ends(purchase) else None,
        created_at=purchase.created_at,
        updated_at=purchase.updated_at,
        version=purchase.version,
    )


def _ends(purchase: Purchase) -> bool:
    """Whether the deadline is anybody's but ours: a pending order ends as the platform says."""
    return purchase.state is State.HELD or purchase.reason is Reason.REDIRECT


def fulfil(purchase: Purchase) -> bool:
    """Goods may ship: the purchase is accepted and so is its order, now (PLATFORM §8 #12).

    Not while a capture or a re-authorization has failed (§5.11).
    """
    order = purchase.order
    sound = purchase.state is State.ACCEPTED and purchase.reason is None
    return sound and bool(order and order.state == "accepted")


def _state(order: OrderRecord, *, shop: bool) -> str | None:
    """An order's state; for the storefront a block reads like a cancellation."""
    hidden = {"blocked": "cancelled", "in_review": "pending_payment"}
    return hidden.get(order.state or "", order.state) if shop else order.state


def _order(order: OrderRecord, *, shop: bool) -> OrderView:
    plain = OrderView(
        id=order.id,
        checkout_id=order.checkout_id,
        state=_state(order, shop=shop),
        charges=tuple(ChargeView(id=charge.id, state=charge.state) for charge in order.charges),
        items=tuple(ItemView(id=item.id, metadata=item.metadata) for item in order.items),
    )
    if shop:
        return plain
    return FullOrderView(**dict(plain), fraud_state=order.fraud_state)


def _total(purchase: Purchase) -> TotalView | None:
    total, confirmed = purchase.total, purchase.confirmed
    if total is None:
        return None
    agreed = bool(confirmed and confirmed.same_as(total))
    return TotalView(amount=total.amount, currency=total.currency, confirmed=agreed)


def _shopper(purchase: Purchase) -> ShopperView:
    key = purchase.message
    message = Message(key=key, text=text(key)) if key else None
    return ShopperView(message=message, next_action=purchase.next_action)


def _submissions(purchase: Purchase, *, shop: bool) -> tuple[SubmissionView, ...]:
    return tuple(
        SubmissionView(
            number=entry.number,
            checkout_id=entry.checkout_id,
            at=entry.at,
            status=entry.status,
            # The final remedy would tell what the state hides.
            remedy=Action.NEW_CHECKOUT.value
            if shop and entry.remedy == Action.END.value
            else entry.remedy,
        )
        for entry in purchase.submissions
    )


def outcome(before: Purchase | None, after: Purchase, now: datetime) -> Outcome | None:
    """The outcome to tell, if state, reason, next action or checkout changed."""
    if before is not None and _told(before) == _told(after):
        return None
    return Outcome(
        id=f"{after.id}-{after.version}",
        type=f"order-rescue.purchase.{after.state.value}",
        subject=after.id,
        time=now,
        sequence=str(after.version),
        data=view(after, shop=False),
    )


def _told(purchase: Purchase) -> tuple[object, ...]:
    # The order's own state is told too: `fulfil` depends on it.
    order = purchase.order
    return (
        *(purchase.state, purchase.reason, purchase.next_action),
        *(purchase.current.checkout_id, order.state if order else None),
    )
