"""`POST /orders`: what refuses it, and what a 201 looks like (PLATFORM §4)."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from . import charges, checkouts, sessions, settlement, sources
from .errors import Refusal, missing, not_found, session_closed
from .model import Checkout, Json, Order, OrderItem, Session, Source
from .orders import announce
from .totals import Totals
from .world import World

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
STEP_UP = "additional_payment_action_required"


def submit(world: World, live: bool, body: Json, session_id: str | None = None) -> Order:
    """Makes the order, or raises. Only `checkoutId` counts; a 409 is the checkout's end.

    `session_id`: the checkout session, if the platform's own page submits.
    """
    checkout_id = body.get("checkoutId")
    if not isinstance(checkout_id, str) or not checkout_id:
        raise missing("checkoutId")
    checkout = world.checkouts.get(checkout_id)
    if checkout is None or checkout.live != live or checkout.order_id:
        raise not_found("orderId", f"Order {checkout_id} not found")
    if checkout.dead:
        raise session_closed()
    with _conflict_kills(checkout):
        return _submit(world, checkout, session_id)


@contextmanager
def _conflict_kills(checkout: Checkout) -> Iterator[None]:
    """After a 409 the checkout is finished, step-up apart (PLATFORM §4.2)."""
    try:
        yield
    except Refusal as refusal:
        if refusal.status == 409 and refusal.code != STEP_UP:
            checkout.dead = refusal.code
        raise


def _submit(world: World, checkout: Checkout, session_id: str | None) -> Order:
    sums = checkouts.totals(checkout)
    sources.share_out(world, checkout, sums.total)
    if not sessions.ready(checkout, sums.total):
        raise Refusal(400, "order_submit_failed", "Payment session status is invalid.")
    check_data(checkout)
    check_tax(checkout)
    check_customer(world, checkout)
    main = sources.primary(world, checkout)
    for source in sources.attached(world, checkout):
        check_source(checkout, source)
    if main is not None:
        check_step_up(world, checkout, main)
        check_fraud(world, checkout, main)
        if main.state == "chargeable":
            charges.attempt(world, checkout, main)
    order = place(world, checkout, sums)
    order.checkout_session_id = session_id
    settlement.begin(world, order, main)
    return order


def check_data(checkout: Checkout) -> None:
    """PLATFORM §4.3 and §4.5; an incomplete `billTo` with a country is a 409 (§4.2)."""
    fields = checkout.fields
    if not EMAIL.fullmatch(str(fields.get("email") or "")):
        message = (
            "The order could not be created because a required checkout parameter is missing. "
            "Update the checkout information provided before trying again."
        )
        raise Refusal(400, "order_create_failed", message, "email")
    bill_to = fields.get("billTo") or {}
    address = bill_to.get("address") or {}
    if not address.get("country"):
        raise missing("billTo.address.country")
    if checkouts.physical(checkout):
        check_shipping(checkout)
    if not bill_to.get("name") or not all(
        address.get(part) for part in ("line1", "city", "postalCode")
    ):
        message = "The order is missing required details and could not be completed."
        raise Refusal(409, "create-order-failed", message)


def check_shipping(checkout: Checkout) -> None:
    fields = checkout.fields
    ship_to = fields.get("shipTo")
    if not ship_to:
        raise missing("shipTo.address.country")
    if not ship_to.get("name"):
        raise missing("shipping.name")
    places = [item.request.get("shipFrom") or fields.get("shipFrom") for item in checkout.items]
    if not all((place or {}).get("address", {}).get("country") for place in places):
        raise missing("shipFrom.address")
    if not fields.get("shippingChoice"):
        message = "Could not get Shipping Options for order"
        raise Refusal(400, "invalid_shipping_choice", message, "shippingChoice")


def check_tax(checkout: Checkout) -> None:
    """Taiwan asks for more (PLATFORM §4.2)."""
    if checkouts.country(checkout) != "TW":
        return
    if checkout.fields.get("customerType") == "business":
        if not checkout.fields.get("taxIdentifiers"):
            message = "Tax identifiers with types of 'tw' are required."
            raise Refusal(409, "additional_information_required", message, "taxIdentifiers")
    elif not checkout.fields.get("invoiceAttributes"):
        message = "Invoice attribute is required."
        raise Refusal(409, "additional_information_required", message, "invoiceAttributeId")


def check_customer(world: World, checkout: Checkout) -> None:
    """The code for a customer that is not enabled is documented nowhere (PLATFORM §2.8)."""
    customer = world.customers.get(checkout.fields.get("customerId") or "")
    if customer is not None and not customer.enabled:
        raise Refusal(409, "customer_not_enabled", "The customer is not enabled.", "customerId")


def check_source(checkout: Checkout, source: Source) -> None:
    owner = source.customer_id
    if source.reusable and owner and owner != checkout.fields.get("customerId"):
        message = f"Source '{source.id}' is attached to a different customer."
        raise Refusal(409, "source_in_use", message, "sourceId")
    waiting = source.state == "pending_funds" or (
        source.state == "pending_redirect" and not source.redirects_first
    )
    if source.state != "chargeable" and not waiting:
        message = f"Source '{source.id}' is not chargeable."
        raise Refusal(409, "source_not_chargeable", message, "sourceId")


def check_step_up(world: World, checkout: Checkout, source: Source) -> None:
    """SANDBOX-CHOICE of PLATFORM §7.2: the owner's last name `StepUp` asks for SCA."""
    if source.last_name != "StepUp" or checkout.session.id in source.authenticated:
        return
    checkout.session.next_action = {"action": "sca_required", "data": {"sourceId": source.id}}
    raise Refusal(409, STEP_UP, "Additional payment action is required.")


def check_fraud(world: World, checkout: Checkout, source: Source) -> None:
    """SANDBOX-CHOICE of PLATFORM §7.2: the owner's last name `FraudBlock`."""
    if source.last_name != "FraudBlock":
        return
    currency = checkout.fields["currency"]
    code = "order-fraud-failure"
    charges.note(world, checkout.id, None, source, source.amount, currency, "blocked", code)
    if not source.reusable:
        source.state = "consumed"
    raise Refusal(409, code, "The order could not be completed.")


def place(world: World, checkout: Checkout, sums: Totals) -> Order:
    """Consumes the checkout. Item ids differ from the checkout's (PLATFORM §2.9)."""
    shown = checkouts.view(world, checkout)
    moment = world.now()
    items = []
    for item in shown["items"]:
        number = world.new_number()
        items.append(OrderItem(number, item, item["quantity"], "created", {"created": moment}))
    session = checkout.session
    order = Order(
        id=world.new_number(),
        live=checkout.live,
        checkout_id=checkout.id,
        created=moment,
        updated=moment,
        fields=checkouts.common(checkout, sums),
        total=sums.total,
        items=items,
        shares=dict(checkout.shares),
        session=Session(session.id, session.secret, "complete"),
        state="accepted",
        transitions={},
        charge_type=checkout.charge_type,
        listed_from=world.clock.now(),
    )
    checkout.order_id = order.id
    checkout.session = order.session
    world.orders[order.id] = order
    announce(world, order, "order.created")
    return order
