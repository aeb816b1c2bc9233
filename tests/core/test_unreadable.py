"""Answers with nulls and wrong types: what can't be read is never taken for what is not there."""

from datetime import UTC, datetime
from typing import Any

import pytest

from handlers.decide import decide
from handlers.decision import Moment
from handlers.order_bodies import parsed
from handlers.policy import Policy
from schemas.base import JsonObject
from schemas.commands import FindOrders, UpdateCheckout
from schemas.facts import CheckoutCorrected, CommandEnded
from schemas.purchase import Link, Purchase, Reason, State
from schemas.requests import CorrectionsRequest
from schemas.results import Succeeded
from schemas.wire import Envelope
from tests.core.test_gate import ready
from tests.core.world import START

ORDER: JsonObject = {
    "id": "o1",
    "checkoutId": "c1",
    "upstreamId": "web-1",
    "state": "accepted",
    "updatedTime": "2026-01-01T00:00:00Z",
    "items": [{"id": "i1", "quantity": 1, "metadata": {"line": "1"}}],
    "payment": {"charges": [{"id": "ch1"}], "session": {"id": "s1", "state": "complete"}},
}
ODD: list[JsonObject] = [
    {"items": None},
    {"items": "x"},
    {"items": [{"id": "i1", "metadata": None}]},
    {"items": [{"quantity": 1}]},
    {"items": [{"id": "i1", "quantity": 1.5}]},
    {"payment": None},
    {"payment": []},
    {"payment": {"sources": None, "charges": None, "session": None}},
    {"payment": {"charges": [{"state": "x"}, {"state": "y"}], "sources": 7}},
    {"payment": {"session": {"nextAction": {"action": "x", "data": None}}}},
    {"updatedTime": "x"},
    {"totalAmount": "x"},
    {"liveMode": "perhaps"},
    {"upstreamId": 5},
]


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_an_order_is_seen_whatever_else_of_it_can_not_be_read(odd: JsonObject) -> None:
    found = parsed([ORDER | odd])
    assert [(o.id, o.checkout_id, o.state) for o in found] == [("o1", "c1", "accepted")]


def test_what_can_be_read_beside_the_unreadable_is_kept() -> None:
    odd = {"payment": {"charges": [{"state": "x"}], "session": {"state": "pending_funds"}}}
    (order,) = parsed([ORDER | odd])
    assert order.payment.session
    assert order.payment.session.state == "pending_funds"
    assert order.items[0].id == "i1"


@pytest.mark.parametrize("odd", [{"id": None}, {"id": {}}, {"id": []}], ids=str)
def test_what_has_no_id_is_no_order(odd: JsonObject) -> None:
    assert parsed([ORDER | odd, None, 7]) == ()


def test_numbers_as_ids_are_ids() -> None:
    (order,) = parsed([ORDER | {"id": 7, "checkoutId": 8}])
    assert (order.id, order.checkout_id) == ("7", "8")


def test_times_without_a_zone_are_utc() -> None:
    (order,) = parsed([ORDER | {"updatedTime": "2026-01-01T00:00:00"}])
    assert order.updated_time == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("odd", [None, [], "x", 7], ids=str)
def test_an_event_is_one_whatever_its_previous_attributes_are(odd: object) -> None:
    data = {"object": {"id": "o1"}, "previousAttributes": odd}
    body = {"id": "e1", "type": "order.created", "createdTime": "2026-01-01T00:00:00Z"}
    event = Envelope.model_validate(body | {"data": data})
    assert (event.data.object, event.data.previous_attributes) == ({"id": "o1"}, {})


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_a_cancel_is_not_promised_while_an_unreadable_order_exists(odd: JsonObject) -> None:
    command = FindOrders(checkout_ids=("c1",), upstream_id="web-1")
    purchase = Purchase(
        id="pur_1",
        upstream_id="web-1",
        submits="service",
        chain=(Link(checkout_id="c1"),),
        state=State.UNKNOWN,
        confirmed_at=START,
        created_at=START,
        updated_at=START,
        unsettled_since=START,
        looked_at=datetime(2030, 1, 1, tzinfo=UTC),
        cancel_requested=True,
        awaiting="look",
    )
    body: dict[str, Any] = {"orders": [ORDER | odd]}
    result = Succeeded(status=200, body=body)
    fact = CommandEnded(key="look", attempt=1, command=command, result=result)
    decision = decide(purchase, fact, Moment(now=START, at=START, epoch=1), Policy())
    assert decision.purchase.state is not State.LOST
    assert [order.id for order in decision.purchase.orders] == ["o1"]


@pytest.mark.parametrize("name", ["items", "metadata", "customerId", "shippingDiscount"])
def test_a_null_in_a_checkout_says_no_more_than_nothing(name: str) -> None:
    world = ready()
    world.checkouts["c1"][name] = None
    world.begin()
    world.run()
    assert world.purchase.state is State.ACCEPTED


def test_another_checkout_than_asked_for_is_not_submitted() -> None:
    world = ready()
    world.checkouts["c1"]["id"] = "c-of-another-shopper"
    world.begin()
    world.run()
    assert not world.sent
    assert world.purchase.reason is Reason.UNDECIDED
    assert world.alerts == ["not_understood"]


def test_a_correction_of_another_type_replaces_the_value() -> None:
    world = ready()
    world.checkouts["c1"]["payment"]["session"]["state"] = "requires_source"
    world.begin()
    world.run()
    request = CorrectionsRequest(checkout={"email": {"a": 1}})
    assert world.call(CheckoutCorrected(request=request))
    world.run()
    updates = [s.command for s in world.slots.values() if isinstance(s.command, UpdateCheckout)]
    assert [update.changes for update in updates] == [{"email": {"a": 1}}]
