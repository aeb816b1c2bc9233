"""The vendor's example checkouts and orders, through the rules that decide upon them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from handlers.decide import decide
from handlers.decision import Decision, Moment
from handlers.policy import Policy
from schemas.commands import Permit, ReadCheckout, ReadOrder, Submit
from schemas.facts import CommandEnded
from schemas.money import Money
from schemas.platform import Checkout, Order
from schemas.purchase import Link, Purchase, Reason, State, Submission
from schemas.results import Reading, Succeeded
from tests.contract.files import examples

Json = dict[str, Any]
NOW = datetime(2022, 7, 12, 9, 0, tzinfo=UTC)  # the cards of the examples were valid then
POLICY = Policy()


def read(vendor: Path, kind: str, name: str) -> Json:
    body: Json = json.loads((vendor / "examples" / kind / name).read_bytes())
    return body


def purchase_of(checkout_id: str, **changes: Any) -> Purchase:
    """A purchase that has asked for something, and waits for the answer."""
    stand: Json = {
        "id": "pur_1",
        "upstream_id": "web-1",
        "chain": (Link(checkout_id=checkout_id),),
        "confirmed_at": NOW,
        "created_at": NOW,
        "updated_at": NOW,
        "awaiting": "pur_1/asked",
    }
    return Purchase.model_validate(stand | changes)


def seen(body: Json) -> Decision:
    """What is decided when the checkout reads like this."""
    purchase = purchase_of(body["id"])
    command = ReadCheckout(
        checkout_id=body["id"], checkout_ids=(body["id"],), upstream_id=purchase.upstream_id
    )
    reading = Reading(checkout=body, orders=())
    return decide(purchase, ended(command, reading.model_dump(by_alias=True)), moment(), POLICY)


def ended(command: ReadCheckout | ReadOrder | Submit, body: Json) -> CommandEnded:
    result = Succeeded(status=200, body=body)
    return CommandEnded(key="pur_1/asked", attempt=1, command=command, result=result)


def moment() -> Moment:
    return Moment(now=NOW, at=NOW)


@pytest.mark.parametrize("name", examples("checkouts"))
def test_an_example_checkout_is_held_or_submitted_for_its_sessions_state(
    vendor: Path, name: str
) -> None:
    body = read(vendor, "checkouts", name)
    session = body["payment"]["session"]
    parsed = Checkout.model_validate(body)
    assert parsed.payment.session is not None
    assert parsed.payment.session.state == session["state"] == name.rpartition("-")[0]
    assert parsed.total_amount == body["totalAmount"]
    decision = seen(body)
    purchase = decision.purchase
    assert purchase.total == Money(amount=body["totalAmount"], currency=body["currency"])
    if session["state"] == "requires_source":
        assert (purchase.state, purchase.reason) == (State.HELD, Reason.PAYMENT_REQUIRED)
        assert purchase.next_action is not None
        assert purchase.next_action["sessionId"] == session["id"]
        return
    assert (purchase.state, purchase.reason) == (State.SUBMITTING, None), decision.rule
    assert purchase.permit is not None
    assert purchase.permit.source_id == body["payment"]["sources"][0]["id"]
    assert [command.command.kind for command in decision.commands] == ["submit"]


@pytest.mark.parametrize("name", examples("checkouts"))
def test_an_example_checkout_whose_session_changed_is_not_submitted(
    vendor: Path, name: str
) -> None:
    """The state alone opens the gate: any other one, known or not, keeps it shut (I1)."""
    body = read(vendor, "checkouts", name)
    for state in ("failed", "pending_redirect", "requires_action", "unheard_of", None):
        session = body["payment"]["session"] | {"state": state}
        changed = body | {"payment": body["payment"] | {"session": session}}
        assert seen(changed).purchase.state is not State.SUBMITTING, state


@pytest.mark.parametrize("name", examples("orders"))
def test_an_example_order_settles_the_purchase_that_read_it(vendor: Path, name: str) -> None:
    body = read(vendor, "orders", name)
    parsed = Order.model_validate(body)
    assert (parsed.id, parsed.state) == (body["id"], name.rpartition("-")[0])
    purchase = purchase_of(body["checkoutId"], state=State.PENDING, reason=Reason.PROCESSING)
    command = ReadOrder(order_id=body["id"])
    decision = decide(purchase, ended(command, body), moment(), POLICY)
    accepted(decision.purchase, body)


@pytest.mark.parametrize("name", examples("orders"))
def test_an_example_order_is_what_a_submission_may_be_answered_with(
    vendor: Path, name: str
) -> None:
    body = read(vendor, "orders", name)
    permit = Permit(
        number=1,
        attempt=1,
        checkout_id=body["checkoutId"],
        source_id=None,
        reusable=False,
        version=1,
        epoch=1,
        session_state="requires_confirmation",
        amount_remaining=0.0,
        total=Money(amount=body["totalAmount"], currency=body["currency"]),
        granted_at=NOW,
        not_after=NOW + timedelta(seconds=10),
    )
    sent = Submission(number=1, attempt=1, checkout_id=body["checkoutId"], source_id=None, at=NOW)
    submitting: Json = {"state": State.SUBMITTING, "reason": None, "permit": permit}
    purchase = purchase_of(body["checkoutId"], submissions=(sent,), **submitting)
    accepted(decide(purchase, ended(Submit(permit=permit), body), moment(), POLICY).purchase, body)


def accepted(purchase: Purchase, body: Json) -> None:
    assert (purchase.state, purchase.reason) == (State.ACCEPTED, None)
    order = purchase.order
    assert order is not None
    assert (order.id, order.session_state) == (body["id"], "complete")
    assert [charge.state for charge in order.charges] == ["capturable"]
    assert [(item.id, item.quantity) for item in order.items] == [
        (item["id"], item["quantity"]) for item in body["items"]
    ]
