"""Two purchases turn out to be one (DESIGN, Router), and `replaces` (DESIGN, HTTP)."""

from typing import Any, Literal

import pytest

from handlers.chain import Begin, Conflict, Continue, Join, admit, merge
from handlers.decide import decide
from handlers.decision import Decision, Moment
from handlers.policy import Policy
from schemas.facts import KeyTaken, KeyWanted, Merge
from schemas.purchase import OrderRecord, Purchase, Reason, State
from schemas.requests import PurchaseRequest
from tests.core.test_chain import purchase
from tests.core.world import START, World

OBSERVED = purchase(observed=True, orders=(OrderRecord(id="o1", checkout_id="c1", state="x"),))
UNTOUCHED = purchase()
ORDER = OrderRecord(id="o2", checkout_id="c2", state="accepted")
SUBMITTED = purchase(State.PENDING, Reason.PROCESSING, orders=(ORDER,))
ACCEPTED = purchase(State.ACCEPTED, None, orders=(ORDER,), order=ORDER)
SEEN_ACCEPTED = purchase(State.ACCEPTED, None, orders=(ORDER,), order=ORDER, observed=True)
LOST = purchase(State.LOST, Reason.EXPIRED)
LOST_ORDER = purchase(State.LOST, Reason.CANCELLED, orders=(ORDER,))


@pytest.mark.parametrize(
    ("newcomer", "owner", "expected"),
    [
        (UNTOUCHED, UNTOUCHED, ("yield", "stay")),
        (UNTOUCHED, SUBMITTED, ("yield", "stay")),
        (SUBMITTED, UNTOUCHED, ("stay", "yield")),
        (SUBMITTED, SUBMITTED, ("person", "person")),
        (UNTOUCHED, OBSERVED, ("stay", "yield")),
        (OBSERVED, UNTOUCHED, ("yield", "stay")),
        (OBSERVED, OBSERVED, ("yield", "stay")),
        (SUBMITTED, OBSERVED, ("stay", "yield")),
        (UNTOUCHED, ACCEPTED, ("yield", "stay")),
        (UNTOUCHED, SEEN_ACCEPTED, ("yield", "stay")),
        (SUBMITTED, SEEN_ACCEPTED, ("person", "person")),
        (SUBMITTED, ACCEPTED, ("person", "person")),
        (UNTOUCHED, LOST, ("stay", "none")),
        (UNTOUCHED, LOST_ORDER, ("yield", "stay")),
        (LOST, SUBMITTED, ("none", "none")),
        (ACCEPTED, SUBMITTED, ("none", "none")),
    ],
)
def test_the_one_without_a_submission_yields_and_two_submitted_ones_go_to_a_person(
    newcomer: Purchase, owner: Purchase, expected: tuple[str, str]
) -> None:
    assert merge(newcomer, owner, order=False) == expected


def test_two_accepted_purchases_of_one_order_both_go_to_a_person() -> None:
    assert merge(ACCEPTED, ACCEPTED, order=True) == ("person", "person")


def told(known: Purchase, merged: Merge, *, key: str = "upstream/web-1", **more: Any) -> Decision:
    """Both sides decide alike; the newcomer's decision."""
    moment = Moment(START, START)
    taken = KeyTaken(key=key, owner="pur_9", merge=merged, **more)
    wanted = KeyWanted(key=key, by="pur_9", merge=merged, **more)
    one, other = (decide(known, fact, moment, Policy()) for fact in (taken, wanted))
    assert one == other
    return one


def test_who_yields_is_superseded_and_nothing_of_it_goes_on() -> None:
    decision = told(purchase(awaiting="k", wanted_source="s"), "yield")
    after = decision.purchase
    assert (after.state, after.reason) == (State.LOST, Reason.SUPERSEDED)
    assert (after.awaiting, after.wanted_source, decision.commands) == (None, None, ())


def test_who_got_an_order_before_it_could_yield_goes_to_a_person() -> None:
    decision = told(SUBMITTED, "yield")
    assert (decision.purchase.state, decision.alert) == (State.REVIEW, "merge")


def test_who_stays_reads_the_orders_that_came_with_the_others_keys() -> None:
    decision = told(SUBMITTED, "stay", orders=("o1", "o2"))
    assert [p.command.model_dump()["order_id"] for p in decision.commands] == ["o1"]
    assert decision.purchase == SUBMITTED


def test_two_submitted_ones_go_to_a_person_who_has_a_way_out() -> None:
    decision = told(SUBMITTED, "person")
    assert (decision.purchase.state, decision.purchase.reason) == (State.REVIEW, Reason.MERGE)
    assert decision.alert == "merge"


def test_what_is_lost_or_accepted_is_left_alone() -> None:
    assert told(LOST, "yield").rule == "chain.ended"
    assert told(LOST, "person").rule == "chain.ended"
    assert told(ACCEPTED, "yield").rule == "chain.ended"
    assert told(UNTOUCHED, "none").rule == "chain.ended"


@pytest.mark.parametrize(
    ("decision", "end"),
    [("resume", State.ACCEPTED), ("adopt_order", State.ACCEPTED), ("stop", State.LOST)],
)
def test_a_person_has_a_way_out_of_two_that_were_submitted(
    decision: Literal["resume", "adopt_order", "stop"], end: State
) -> None:
    world = World()
    world.open()
    world.begin()
    world.run()
    world.choose(world.pay("watched"))
    world.run()
    world.tell(KeyWanted(key="upstream/web-1", by="pur_2", merge="person"))
    assert (world.purchase.state, world.purchase.reason) == (State.REVIEW, Reason.MERGE)
    [order] = world.orders
    world.move(order, "accepted")
    world.mail.clear()
    assert world.decided(decision, order if decision == "adopt_order" else None)
    world.run()
    assert world.purchase.state is end


def replacing(**fields: Any) -> PurchaseRequest:
    return PurchaseRequest.model_validate({"checkoutId": "c9", "replaces": "c1"} | fields)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (UNTOUCHED, Join),
        (ACCEPTED, Continue),
        (LOST, Begin),
        (SUBMITTED, Conflict),
        (purchase(State.SUBMITTING, None), Conflict),
        (purchase(State.UNKNOWN, None), Conflict),
        (purchase(State.REVIEW, Reason.MERGE), Conflict),
    ],
)
def test_what_a_checkout_replaces_is_followed_like_a_known_upstream_id(
    known: Purchase, expected: type
) -> None:
    assert isinstance(admit(replacing(), None, None, known), expected)
    assert isinstance(admit(replacing(), None, known, known), expected)


def test_replacing_another_purchase_than_the_checkouts_own_is_a_conflict_naming_both() -> None:
    other = purchase(id="pur_2")
    for answer, names in (
        (admit(replacing(), other, None, UNTOUCHED), "checkoutId and replaces"),
        (admit(replacing(), None, other, UNTOUCHED), "upstreamId and replaces"),
    ):
        assert isinstance(answer, Conflict)
        assert {known.id for known in answer.purchases} == {"pur_1", "pur_2"}
        assert names in answer.detail


def test_replacing_the_purchase_that_it_is_in_already_is_the_same_purchase() -> None:
    assert isinstance(admit(replacing(checkoutId="c1"), UNTOUCHED, None, UNTOUCHED), Continue)
