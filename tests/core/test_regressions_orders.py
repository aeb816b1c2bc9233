"""Lives that once went wrong: orders found, read, doubled or another purchase's (I2, I5, I6)."""

from typing import Literal

import pytest

from handlers.chain import upstream_id
from handlers.presentation import view
from handlers.refusals import refusal
from schemas.base import JsonObject
from schemas.facts import CancelRequested, KeyTaken
from schemas.purchase import Link, OrderRecord, Purchase, Reason, State
from schemas.requests import PurchaseRequest
from tests.core.test_regressions import HOUR, chosen, where
from tests.core.world import START, World, rejected

# 2
NULLS: list[JsonObject] = [
    {"payment": None},
    {"payment": {"sources": None, "charges": None, "session": {"state": "complete"}}},
    {"payment": {"session": {"state": "complete", "nextAction": {"action": "x", "data": None}}}},
    {"items": None},
    {"items": [{"id": "i1", "quantity": 2, "metadata": None}]},
    {"items": [{"id": "i1", "quantity": 1.5}]},
    {"id": 7, "upstreamId": 5},
]


@pytest.mark.parametrize("fault", [None, "cut", "late"])
@pytest.mark.parametrize("nulls", NULLS, ids=str)
def test_an_order_with_nulls_is_the_order(nulls: JsonObject, fault: str | None) -> None:
    world = chosen()
    world.blur = nulls
    world.run(fault, on="submit")
    world.live(HOUR)
    assert where(world) == (State.ACCEPTED, None)
    assert len(world.sent) == 1


@pytest.mark.parametrize("nulls", [n for n in NULLS if "id" not in n], ids=str)
def test_a_pending_order_that_is_read_with_nulls_is_settled(nulls: JsonObject) -> None:
    world = chosen("funds")
    world.run()
    assert where(world) == (State.PENDING, Reason.FUNDS)
    world.blur = nulls
    world.advance(60)
    world.move(next(iter(world.orders)), "accepted", "complete")
    world.deliver(-1)
    world.run()
    assert where(world) == (State.ACCEPTED, None)


@pytest.mark.parametrize("nulls", NULLS, ids=str)
def test_a_cancel_is_not_promised_while_an_order_with_nulls_lives(nulls: JsonObject) -> None:
    world = chosen()
    world.blur = nulls
    world.run("late", on="submit")
    assert world.call(CancelRequested())
    world.live(HOUR)
    [order] = world.orders.values()
    assert world.purchase.state is not State.LOST or order["state"] == "cancelled"
    assert world.purchase.orders


# 9
@pytest.mark.parametrize("status", [401, 403])
def test_an_order_that_could_not_be_read_for_a_fault_of_ours_is_read_later(status: int) -> None:
    world = chosen("funds")
    world.run()
    world.advance(60)
    world.move(next(iter(world.orders)), "accepted", "complete")
    world.deliver(-1)
    world.run(rejected(status), on="read_order")
    assert world.alerts == ["credentials"]
    assert where(world) == (State.PENDING, Reason.FUNDS)
    world.live(900)
    assert where(world) == (State.ACCEPTED, None)


@pytest.mark.parametrize("behaviour", ["funds", "slow", "watched"])
def test_a_pending_purchase_is_looked_at_again_without_any_event(behaviour: str) -> None:
    world = chosen(behaviour)
    world.run()
    assert world.purchase.state is State.PENDING
    world.live(world.policy.pending_look.total_seconds() * 2.5)
    assert world.purchase.state is State.PENDING
    world.move(next(iter(world.orders)), "accepted", "complete")
    world.mail.clear()
    world.live(world.policy.pending_look.total_seconds() + 60)
    assert where(world) == (State.ACCEPTED, None)


# 10
def test_the_create_requests_upstream_id_counts_when_the_body_has_none() -> None:
    own: JsonObject = {"upstreamId": "web-9"}
    assert upstream_id(PurchaseRequest(checkout_id="c1", create_request=own)) == "web-9"
    both = PurchaseRequest(checkout_id="c1", upstream_id="web-1", create_request=own)
    assert upstream_id(both) == "web-1"
    assert upstream_id(PurchaseRequest(checkout_id="c1", create_request={"upstreamId": 5})) is None
    assert upstream_id(PurchaseRequest(checkout_id="c1")) is None


def test_an_upstream_id_that_only_the_reading_tells_is_looked_up_before_the_gate_passes() -> None:
    world = World()
    world.open()
    world.checkouts["c1"]["upstreamId"] = "web-7"
    world.attach("c1", world.pay("good", checkout="c1"))
    world.begin(upstreamId=None)
    world.run()
    assert where(world) == (State.ACCEPTED, None)
    asked = [command.upstream_id for command in world.planned("read_checkout")]
    assert asked[-1] == "web-7"


def test_a_live_order_under_an_upstream_id_that_only_the_reading_tells_is_seen() -> None:
    world = World()
    world.open()
    world.checkouts["c1"]["upstreamId"] = "web-7"
    world.attach("c1", world.pay("good", checkout="c1"))
    world.orders["o-else"] = {
        "id": "o-else",
        "checkoutId": "c-else",
        "upstreamId": "web-7",
        "state": "accepted",
    }
    world.listed_at["o-else"] = START
    world.begin(upstreamId=None)
    world.run()
    assert where(world) == (State.REVIEW, Reason.DUPLICATE_ORDER)
    assert not world.sent


# 11
@pytest.mark.parametrize("state", [State.REVIEW, State.PENDING, State.UNKNOWN])
def test_a_cancel_is_refused_while_there_are_two_live_orders(state: State) -> None:
    orders = tuple(OrderRecord(id=id, checkout_id="c1", state="in_review") for id in ("o1", "o2"))
    reasons = {State.REVIEW: Reason.DUPLICATE_ORDER, State.PENDING: Reason.FRAUD_REVIEW}
    purchase = Purchase(
        id="pur_1",
        upstream_id="web-1",
        chain=(Link(checkout_id="c1"),),
        state=state,
        reason=reasons.get(state),
        orders=orders,
        order=orders[0],
        confirmed_at=START,
        created_at=START,
        updated_at=START,
    )
    assert refusal(purchase, CancelRequested()) is not None


# 12
def duplicated() -> World:
    """Two orders of one checkout: a person must decide."""
    world = chosen()
    world.run()
    world.orders["o-late"] = next(iter(world.orders.values())) | {"id": "o-late"}
    world.listed_at["o-late"] = START
    world.post("order.accepted", world.orders["o-late"])
    world.deliver(-1)
    world.run()
    assert where(world) == (State.REVIEW, Reason.DUPLICATE_ORDER)
    return world


@pytest.mark.parametrize("decision", ["resume", "adopt_order"])
def test_a_duplicate_whose_loser_was_cancelled_unseen_is_accepted_after_a_persons_look(
    decision: Literal["resume", "adopt_order"],
) -> None:
    world = duplicated()
    winner = next(iter(world.orders))
    world.advance(60)
    world.orders["o-late"] |= {"state": "cancelled", "updatedTime": world.now.isoformat()}
    assert world.decided(decision, winner if decision == "adopt_order" else None)
    world.live(HOUR)
    assert where(world) == (State.ACCEPTED, None)
    assert world.purchase.order
    assert world.purchase.order.id == winner
    assert view(world.purchase, shop=False).fulfil


@pytest.mark.parametrize("decision", ["resume", "adopt_order"])
def test_a_duplicate_whose_orders_both_live_stays_with_a_person(
    decision: Literal["resume", "adopt_order"],
) -> None:
    world = duplicated()
    assert world.decided(decision, "o-late" if decision == "adopt_order" else None)
    world.live(HOUR)
    assert where(world) == (State.REVIEW, Reason.DUPLICATE_ORDER)


# 27
@pytest.mark.parametrize("state", [State.ACCEPTED, State.REVIEW])
def test_an_order_of_another_purchase_is_for_a_person(state: State) -> None:
    world = chosen()
    if state is State.REVIEW:
        world.run(rejected(401), on="submit")
    world.run()
    assert world.purchase.state is state
    world.orders["o-else"] = {
        "id": "o-else",
        "checkoutId": "c-else",
        "upstreamId": "web-else",
        "state": "accepted",
    }
    if state is State.REVIEW:
        assert world.decided("adopt_order", "o-else")
        world.run()
    world.tell(KeyTaken(key="order/o-else", owner="pur_2"))
    assert where(world) == (State.REVIEW, Reason.MERGE)
    assert world.alerts[-1] == "merge"
    assert not view(world.purchase, shop=False).fulfil


def test_a_late_409_that_comes_while_a_person_is_asked_ends_the_checkout_all_the_same() -> None:
    world = World()
    world.open()
    world.begin()
    world.run()
    world.choose(world.pay("insufficient_funds"))
    world.run("stalled", on="submit")
    slot = next(s for s in world.slots.values() if s.status == "planned")
    if slot.command.kind != "find_orders":
        slot = world.until("find_orders")
    world.finish(slot, rejected(401))
    assert world.purchase.state is State.REVIEW
    [late] = world.stragglers
    world.tell(late)
    assert world.purchase.state is State.REVIEW
    assert world.decided("resume")
    world.live(300)
    assert len(world.purchase.chain) == 2


@pytest.mark.parametrize("state", ["accepted", "cancelled"])
def test_an_order_of_a_strange_checkout_is_no_order_of_ours_whoever_tells(state: str) -> None:
    """Found by a list or told by an event: a live one is for a person, one that is over is not."""
    world = World()
    world.open()
    world.begin()
    world.run()
    body = {"id": "o-else", "checkoutId": "c-else", "upstreamId": "web-1", "items": []}
    world.orders["o-else"] = body | {"state": state, "updatedTime": START.isoformat()}
    world.listed_at["o-else"] = world.now
    world.post(f"order.{state}", world.orders["o-else"])
    world.deliver(-1)
    world.run()
    held = (State.HELD, Reason.PAYMENT_REQUIRED)
    review = (State.REVIEW, Reason.DUPLICATE_ORDER)
    assert where(world) == (review if state == "accepted" else held)
    assert world.purchase.orders == ()
