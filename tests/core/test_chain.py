"""Which purchase a `POST /v1/purchases` is about (DESIGN, HTTP), and who sees what of it."""

from typing import Any

import pytest

from handlers.chain import Begin, Conflict, Continue, Join, admit
from handlers.messages import text
from handlers.presentation import fulfil, outcome, view
from handlers.refusals import refusal
from schemas.facts import CancelRequested
from schemas.purchase import (
    REASONS,
    Link,
    OrderRecord,
    Purchase,
    Reason,
    State,
    Submission,
)
from schemas.requests import PurchaseRequest
from tests.core.world import QUIET, START, World

CASES = [
    (state, reason) for state, reasons in REASONS.items() for reason in sorted(reasons, key=str)
]


def purchase(
    state: State = State.HELD, reason: Reason | None = Reason.CHECKING, **fields: Any
) -> Purchase:
    base = {
        "id": "pur_1",
        "upstream_id": "web-1",
        "chain": (Link(checkout_id="c1"), Link(checkout_id="c2")),
        "state": state,
        "reason": reason,
        "confirmed_at": START,
        "created_at": START,
        "updated_at": START,
    }
    return Purchase.model_validate(base | fields)


def asked(checkout: str = "c9") -> PurchaseRequest:
    return PurchaseRequest(checkout_id=checkout, upstream_id="web-1")


def test_nothing_known_begins_a_purchase() -> None:
    assert isinstance(admit(asked(), None, None), Begin)


@pytest.mark.parametrize(("state", "reason"), CASES)
def test_the_same_checkout_is_the_same_purchase(state: State, reason: Reason | None) -> None:
    known = purchase(state, reason)
    answer = admit(asked("c2"), known, known)
    assert isinstance(answer, Continue)
    assert answer.purchase == known


@pytest.mark.parametrize(("state", "reason"), CASES)
def test_a_new_checkout_for_a_known_upstream_id(state: State, reason: Reason | None) -> None:
    known = purchase(state, reason)
    expected = {
        State.HELD: Join,
        State.SUBMITTING: Conflict,
        State.UNKNOWN: Conflict,
        State.PENDING: Conflict,
        State.REVIEW: Conflict,
        State.ACCEPTED: Continue,
        State.LOST: Begin,
    }[state]
    assert isinstance(admit(asked(), None, known), expected)


def test_a_checkout_and_an_upstream_id_of_two_purchases_conflict() -> None:
    one, other = purchase(), purchase(id="pur_2")
    answer = admit(asked("c1"), one, other)
    assert isinstance(answer, Conflict)
    assert {p.id for p in answer.purchases} == {"pur_1", "pur_2"}


@pytest.mark.parametrize("state", [State.ACCEPTED])
def test_cancelling_is_refused_once_accepted(state: State) -> None:
    assert refusal(purchase(state, None), CancelRequested()) is not None


@pytest.mark.parametrize("state", [State.SUBMITTING, State.UNKNOWN, State.HELD, State.PENDING])
def test_cancelling_is_recorded_before(state: State) -> None:
    reason = min(REASONS[state], key=str)
    assert refusal(purchase(state, reason), CancelRequested()) is None


@pytest.mark.parametrize(("state", "reason"), CASES)
@pytest.mark.parametrize("order_state", ["accepted", "blocked", "in_review", "cancelled", None])
def test_shops_never_see_fraud_words(
    state: State, reason: Reason | None, order_state: str | None
) -> None:
    order = OrderRecord(
        id="o1",
        checkout_id="c2",
        state=order_state,
        fraud_state="blocked",
        cancel_reason="fraud",
    )
    submission = Submission(
        number=1,
        attempt=1,
        checkout_id="c1",
        source_id="s",
        at=START,
        status=409,
        outcome="rejected",
        remedy="end",
    )
    known = purchase(state, reason, order=order, orders=(order,), submissions=(submission,))
    shown = view(known, shop=True).model_dump_json(by_alias=True, exclude_none=True)
    for word in QUIET:
        assert word not in shown
    assert view(known, shop=False).order is not None


@pytest.mark.parametrize(
    ("state", "reason", "shown"),
    [
        (State.LOST, Reason.FRAUD, "exhausted"),
        (State.LOST, Reason.BLOCKED, "exhausted"),
        (State.PENDING, Reason.FRAUD_REVIEW, "processing"),
        (State.LOST, Reason.CANCELLED, "cancelled"),
    ],
)
def test_shops_read_other_reasons(state: State, reason: Reason, shown: str) -> None:
    assert view(purchase(state, reason), shop=True).reason == shown
    assert view(purchase(state, reason), shop=False).reason == reason


@pytest.mark.parametrize("order_state", ["accepted", "cancelled", "dispute", "fulfilled", None])
def test_goods_ship_only_while_the_order_is_accepted(order_state: str | None) -> None:
    order = OrderRecord(id="o1", checkout_id="c2", state=order_state)
    known = purchase(State.ACCEPTED, None, order=order)
    assert fulfil(known) is (order_state == "accepted")
    for state, reason in CASES:
        if state is not State.ACCEPTED:
            assert not fulfil(purchase(state, reason, order=order))


def test_an_outcome_is_told_for_a_change_of_state_reason_action_or_checkout_only() -> None:
    one = purchase()
    assert outcome(one, one.model_copy(update={"version": 2, "step": 3}), START) is None
    for change in (
        {"state": State.SUBMITTING, "reason": None},
        {"reason": Reason.PAYMENT_REQUIRED},
        {"next_action": {"action": "collect_payment"}},
        {"chain": (*one.chain, Link(checkout_id="c3"))},
    ):
        after = one.model_copy(update=change | {"version": 2})
        told = outcome(one, after, START)
        assert told is not None
        assert told.type == f"order-rescue.purchase.{after.state}"
        assert told.subject == one.id


def test_the_same_text_for_fraud_and_exhausted() -> None:
    texts = set()
    for behaviour, tries in (("fraud", 1), ("declined", 5)):
        world = World()
        world.open()
        world.begin()
        world.run()
        for _ in range(tries):
            world.choose(world.pay(behaviour))
            world.run()
        assert world.purchase.state is State.LOST
        shown = view(world.purchase, shop=True)
        texts.add(shown.shopper.model_dump_json())
    assert len(texts) == 1


def test_texts_hold_no_codes() -> None:
    for key in ("payment.declined", "payment.required", "order.checking", "order.accepted"):
        assert text(key)
        assert "_" not in text(key)
