"""Charges: taking the money, or the decline that POST /orders answers with (PLATFORM §4.2)."""

from decimal import Decimal

from . import cards
from .clock import fine_stamp, stamp
from .errors import Refusal, not_found
from .model import Charge, Checkout, Json, Order, Source
from .world import World


def find(world: World, live: bool, charge_id: str) -> Charge:
    charge = world.charges.get(charge_id)
    if charge is None or charge.live != live:
        raise not_found("id", f"Charge '{charge_id}' not found.")
    return charge


def decline_code(world: World, source: Source) -> str | None:
    """Why this source can't be charged now, if so."""
    details = source.details
    if source.type == "creditCard" and cards.expired(
        details["expirationMonth"], details["expirationYear"], world.clock.now()
    ):
        return "card_expired"
    return source.decline


def note(
    world: World,
    checkout_id: str,
    order_id: str | None,
    source: Source,
    amount: Decimal,
    currency: str,
    result: str,
    code: str | None = None,
) -> None:
    """Every attempt to take money goes to the ledger, whatever came of it."""
    world.ledger.charge_attempts.append({
        "at": fine_stamp(world.clock.now()),
        "checkoutId": checkout_id,
        "orderId": order_id,
        "sourceId": source.id,
        "card": source.fingerprint,
        "type": source.type,
        "amount": float(amount),
        "currency": currency,
        "result": result,
        "code": code,
    })  # fmt: skip


def attempt(world: World, checkout: Checkout, source: Source) -> None:
    """Raises the decline of a source that can't be charged; a single-use one is then spent."""
    code = decline_code(world, source)
    if code is None:
        return
    currency = checkout.fields["currency"]
    note(world, checkout.id, None, source, source.amount, currency, "failed", code)
    if not source.reusable:
        source.state = "consumed"
    message = "Failed to charge source." if code == "failed-request" else "The charge was declined."
    raise Refusal(409, code, message)


def authorize(
    world: World, order: Order, source: Source, amount: Decimal, state: str = "capturable"
) -> Charge:
    """Takes what the source carries; a single-use source is then spent."""
    charge = Charge(
        id=world.new_id(),
        live=order.live,
        created=world.now(),
        currency=order.fields["currency"],
        amount=amount,
        state=state,
        order_id=order.id,
        source_id=source.id,
        session_id=order.session.id,
        type=order.charge_type,
    )
    world.charges[charge.id] = charge
    order.charge_ids.append(charge.id)
    note(world, order.checkout_id, order.id, source, charge.amount, charge.currency, state)
    if not source.reusable:
        source.state = "consumed"
    return charge


def view(charge: Charge, inside_order: bool = False) -> Json:
    shown: Json = {
        "id": charge.id,
        "createdTime": stamp(charge.created),
        "currency": charge.currency,
        "amount": float(charge.amount),
        "state": charge.state,
        "captured": charge.state in ("processing", "complete"),
        "refunded": False,
        "sourceId": charge.source_id,
        "type": charge.type,
    }
    if charge.captures:
        shown["captures"] = charge.captures
    if charge.cancels:
        shown["cancels"] = charge.cancels
    if charge.failure_code:
        shown["failureCode"] = charge.failure_code
    if not inside_order:
        shown |= {
            "orderId": charge.order_id,
            "paymentSessionId": charge.session_id,
            "liveMode": charge.live,
        }
    return shown


def capture(world: World, charge: Charge) -> None:
    if charge.state != "capturable":
        return
    works = world.sources[charge.source_id].trouble != "capture"
    charge.state = "complete" if works else "processing"
    _record(world, charge, charge.captures, "capture", works)


def cancel(world: World, charge: Charge) -> None:
    if charge.state not in ("pending", "capturable"):
        return
    works = world.sources[charge.source_id].trouble != "cancel"
    if works:
        charge.state = "cancelled"
    _record(world, charge, charge.cancels, "cancel", works)


def _record(world: World, charge: Charge, records: list[Json], step: str, works: bool) -> None:
    """`failureCode` is nearly always `failed-request` here (PLATFORM §8 #45)."""
    moment = stamp(world.now())
    record: Json = {
        "id": world.new_id(),
        "createdTime": moment,
        "updatedTime": moment,
        "amount": float(charge.amount),
        "state": "complete" if works else "failed",
    }
    if not works:
        record["failureCode"] = "failed-request"
    records.append(record)
    world.emit(f"order.charge.{step}.{record['state']}", charge.live, view(charge))
