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
    """Why this source can't be charged now, if so, by its own data."""
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
    session_id = world.checkouts[checkout_id].session.id
    world.ledger.charge_attempts.append({
        "at": fine_stamp(world.clock.now()),
        "checkoutId": checkout_id,
        "orderId": order_id,
        "sourceId": source.id,
        "card": source.fingerprint,
        "type": source.type,
        "saved": source.reusable,
        "authenticated": session_id in source.authenticated,
        "amount": float(amount),
        "currency": currency,
        "result": result,
        "code": code,
    })  # fmt: skip


def _not_authenticated(world: World, checkout: Checkout, source: Source) -> str | None:
    """A saved source, for every session anew (PLATFORM §5.5), if the setting says so."""
    asked = world.settings.saved_sources == "authenticated" and source.reusable
    shopper = checkout.charge_type == "customer_initiated"
    if asked and shopper and checkout.session.id not in source.authenticated:
        return "authentication_required"
    return None


def attempt(world: World, checkout: Checkout, source: Source) -> None:
    """Raises the decline of a source that can't be charged; a single-use one is then spent."""
    code = decline_code(world, source) or _not_authenticated(world, checkout, source)
    if code is None:
        return
    currency = checkout.fields["currency"]
    note(world, checkout.id, None, source, source.amount, currency, "failed", code)
    if not source.reusable:
        source.state = "consumed"
    message = "Failed to charge source." if code == "failed-request" else "The charge was declined."
    raise Refusal(409, code, message)


def authorize(
    world: World,
    order: Order,
    source: Source,
    amount: Decimal,
    state: str = "capturable",
    code: str | None = None,
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
        failure_code=code,
    )
    world.charges[charge.id] = charge
    order.charge_ids.append(charge.id)
    note(world, order.checkout_id, order.id, source, charge.amount, charge.currency, state, code)
    if not source.reusable and source.state == "chargeable":
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
        shown["captures"] = [dict(one) for one in charge.captures]
    if charge.cancels:
        shown["cancels"] = [dict(one) for one in charge.cancels]
    if charge.failure_code:
        shown["failureCode"] = charge.failure_code
    if not inside_order:
        shown |= {
            "orderId": charge.order_id,
            "paymentSessionId": charge.session_id,
            "liveMode": charge.live,
        }
    return shown


def capture(world: World, charge: Charge) -> bool:
    """Whether the money is there now. Some cards stay pending, or fail later (PLATFORM §7.1)."""
    if charge.state != "capturable":
        return False
    trouble = world.sources[charge.source_id].trouble
    if trouble in ("capture_later", "capture_never"):
        charge.state = "processing"
        record(world, charge, charge.captures, "capture", "pending")
        if trouble == "capture_later" and world.later is not None:
            seconds = world.clock.scaled(world.settings.settlement_seconds)
            world.later(seconds, lambda: _fail_capture(world, charge))
        return False
    works = trouble != "capture"
    charge.state = "complete" if works else "processing"
    record(world, charge, charge.captures, "capture", "complete" if works else "failed")
    return works


def _fail_capture(world: World, charge: Charge) -> None:
    if world.charges.get(charge.id) is not charge:
        return
    last = charge.captures[-1]
    last |= {"state": "failed", "failureCode": "failed-request", "updatedTime": stamp(world.now())}
    world.emit("order.charge.capture.failed", charge.live, view(charge))


def cancel(world: World, charge: Charge) -> None:
    if charge.state not in ("pending", "capturable"):
        return
    works = world.sources[charge.source_id].trouble != "cancel"
    if works:
        charge.state = "cancelled"
    record(world, charge, charge.cancels, "cancel", "complete" if works else "failed")


def record(world: World, charge: Charge, records: list[Json], step: str, state: str) -> None:
    """`failureCode` is nearly always `failed-request` here (PLATFORM §8 #45)."""
    moment = stamp(world.now())
    entry: Json = {
        "id": world.new_id(),
        "createdTime": moment,
        "updatedTime": moment,
        "amount": float(charge.amount),
        "state": state,
    }
    if state == "failed":
        entry["failureCode"] = "failed-request"
    records.append(entry)
    world.emit(f"order.charge.{step}.{state}", charge.live, view(charge))
