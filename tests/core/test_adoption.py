"""Orders that nobody handed us: what is made of them, and that nothing is changed unclaimed."""

from datetime import timedelta
from itertools import permutations

import pytest

from handlers import fence
from handlers.adoption import NO_ORDER, adopted
from handlers.decision import Decision, Moment
from handlers.policy import Policy
from handlers.presentation import view
from handlers.refusals import refusal
from handlers.routing import Ignored
from schemas.base import JsonObject
from schemas.commands import MUTATIONS, CancelOrder, OpenCheckout, Planned, ReadOrder, RefreshOrder
from schemas.facts import CancelRequested, OperatorDecided, PurchaseRequested, SourceChosen
from schemas.money import Money
from schemas.purchase import Link, Purchase, Reason, State
from schemas.requests import DecisionRequest, PurchaseRequest, SourceRequest
from tests.core.world import START, World

ORDER: JsonObject = {
    "id": "o1",
    "checkoutId": "c1",
    "upstreamId": "web-1",
    "totalAmount": 64.86,
    "currency": "EUR",
}


def made(document: JsonObject, *, observed: bool = True) -> Purchase | Ignored:
    return adopted(document, id="pur_1", ordered=START, now=START, observed=observed)


@pytest.mark.parametrize("observed", [True, False])
def test_an_order_becomes_a_purchase_of_the_merchants(observed: bool) -> None:
    purchase = made(ORDER, observed=observed)
    assert isinstance(purchase, Purchase)
    assert (purchase.submits, purchase.observed) == ("merchant", observed)
    assert (purchase.upstream_id, purchase.checkout_ids) == ("web-1", ("c1",))
    assert purchase.confirmed == Money(amount=64.86, currency="EUR")


def test_without_an_upstream_id_it_is_known_by_its_own() -> None:
    purchase = made({**ORDER, "upstreamId": None, "totalAmount": "odd"})
    assert isinstance(purchase, Purchase)
    assert (purchase.upstream_id, purchase.confirmed) == ("pur_1", None)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({**ORDER, "checkoutSessionId": "cs1"}, "platform_checkout_session"),
        ({**ORDER, "checkoutId": None}, NO_ORDER),
        ({**ORDER, "checkoutId": "c" * 300}, NO_ORDER),
        ({**ORDER, "id": {}}, NO_ORDER),
        ({}, NO_ORDER),
    ],
)
def test_what_is_no_order_of_a_checkout_is_not_adopted(document: JsonObject, reason: str) -> None:
    assert made(document) == Ignored(reason)


def ordered(behaviour: str = "good", *, observed: bool = True) -> World:
    """An order of the merchant's own, adopted by its first event."""
    world = World()
    id = world.open()
    world.attach(id, world.pay(behaviour, checkout=id))
    world.merchant_orders(id)
    world.begin_adopted(world.mail.pop(0), observed=observed)
    world.run()
    return world


@pytest.mark.parametrize("observed", [True, False])
@pytest.mark.parametrize(
    ("behaviour", "end"),
    [
        ("good", (State.ACCEPTED, None)),
        ("watched", (State.PENDING, Reason.FRAUD_REVIEW)),
        ("redirect", (State.PENDING, Reason.REDIRECT)),
        ("funds", (State.PENDING, Reason.FUNDS)),
    ],
)
def test_an_adopted_order_is_settled_by_reading_it(
    behaviour: str, end: tuple[State, Reason | None], observed: bool
) -> None:
    world = ordered(behaviour, observed=observed)
    assert (world.purchase.state, world.purchase.reason) == end
    assert world.purchase.order is not None


def unclaimed(purchase: Purchase, *planned: Planned) -> Decision:
    """What becomes of a decision that waits for the first of these."""
    waiting = purchase.model_copy(update={"awaiting": planned[0].key})
    decision = Decision(waiting, "some.rule", "I5", planned)
    return fence.observed(purchase, decision, Moment(START, START), Policy())


def observed_purchase() -> Purchase:
    purchase = made(ORDER)
    assert isinstance(purchase, Purchase)
    return purchase


REMEDY = Planned(key="k", command=CancelOrder(order_id="o1", lines=()))
READING = Planned(key="r", command=ReadOrder(order_id="o1"))
REFRESH = Planned(key="f", command=RefreshOrder(order_id="o1"))


def test_a_remedy_of_what_is_only_observed_waits_to_be_claimed() -> None:
    held = unclaimed(observed_purchase(), REMEDY, READING, REFRESH)
    assert (held.purchase.state, held.purchase.reason) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert held.purchase.next_action is None
    assert held.purchase.deadline == START + timedelta(days=7)
    kinds = [planned.command.kind for planned in held.commands]
    assert kinds == ["read_order", "refresh_order", "wake", "wake"]  # deadline and first look
    assert held.evidence["left"] == ["cancel_order"]
    again = unclaimed(held.purchase, REMEDY)
    assert (again.purchase.hold, again.purchase.deadline) == (
        *(held.purchase.hold, held.purchase.deadline),
    )


def test_reading_and_refreshing_what_is_observed_is_let_through() -> None:
    purchase = observed_purchase()
    assert unclaimed(purchase, READING, REFRESH).commands == (READING, REFRESH)


def test_what_nobody_waits_for_is_left_undone_and_the_purchase_stays_as_it_is() -> None:
    lost = observed_purchase().model_copy(update={"state": State.LOST, "reason": Reason.EXPIRED})
    decision = Decision(lost, "timer.deadline", "DESIGN, settings", (REMEDY, READING))
    left = fence.observed(lost, decision, Moment(START, START), Policy())
    assert (left.purchase, left.commands) == (lost, (READING,))


def test_a_remedy_of_what_was_handed_over_is_let_through() -> None:
    purchase = observed_purchase().model_copy(update={"observed": False})
    assert unclaimed(purchase, REMEDY).commands == (REMEDY,)


def test_no_mutation_of_an_observed_purchase_is_sent_even_if_it_was_planned() -> None:
    purchase = observed_purchase().model_copy(update={"awaiting": "k", "replacing": "o1"})
    opening = OpenCheckout(request={}, mark="pur_1/1")
    for command in (REMEDY.command, opening):
        assert command.kind in MUTATIONS
        assert fence.void(purchase, "k", command, 1, START)
        claimed = purchase.model_copy(update={"observed": False})
        assert not fence.void(claimed, "k", command, 1, START)


def test_shoppers_calls_wait_for_the_claim_and_an_operators_decision_does_not() -> None:
    purchase = observed_purchase()
    source = SourceChosen(request=SourceRequest(source_id="s"))
    for call in (CancelRequested(), source):
        refused = refusal(purchase, call)
        assert refused is not None
        assert "/v1/purchases" in refused.detail
    review = purchase.model_copy(update={"state": State.REVIEW, "reason": Reason.UNDECIDED})
    decision = OperatorDecided(request=DecisionRequest(decision="stop", note="n"))
    assert refusal(review, decision) is None


def claim(submits: str = "merchant") -> PurchaseRequested:
    body = {"checkoutId": "c1", "upstreamId": "web-1", "submits": submits}
    return PurchaseRequested(request=PurchaseRequest.model_validate(body))


@pytest.mark.parametrize("submits", ["service", "merchant"])
def test_the_storefronts_call_claims_and_the_order_is_read_again(submits: str) -> None:
    world = ordered("redirect")
    world.tell(claim(submits))
    assert not world.purchase.observed
    assert world.purchase.submits == submits
    assert [p.command.kind for p in world.decisions[-1].commands] == ["read_order"]
    world.run()
    assert world.purchase.state is State.PENDING
    assert world.call(CancelRequested())
    world.run()
    assert (world.purchase.state, world.purchase.reason) == (State.LOST, Reason.CANCELLED)


def unpaid(world: World) -> bool:
    return world.purchase.state is State.HELD and world.purchase.reason is Reason.PAYMENT_REQUIRED


def test_a_failed_order_that_is_only_observed_waits_and_is_replaced_once_it_is_claimed() -> None:
    world = ordered("broken")
    assert unpaid(world)
    assert world.purchase.next_action is None
    assert "observed.unclaimed" in world.rules
    [order] = world.orders.values()
    assert order["state"] == "pending_payment"
    world.live(3600)
    assert len(world.checkouts) == 1
    world.tell(claim("merchant"))
    world.live(60)
    assert [order["state"] for order in world.orders.values()] == ["cancelled"]
    assert len(world.purchase.chain) == 2
    assert unpaid(world)
    assert view(world.purchase, shop=True).shopper.next_action is not None
    assert not world.sent


def test_a_failed_order_that_is_adopted_for_remedies_is_replaced_without_a_claim() -> None:
    world = ordered("broken", observed=False)
    world.live(60)
    assert next(iter(world.orders.values()))["state"] == "cancelled"
    assert len(world.purchase.chain) == 2
    assert world.purchase.next_action is not None
    assert world.purchase.submits == "merchant"


def test_a_failed_order_that_succeeds_after_all_is_accepted_unclaimed() -> None:
    world = ordered("broken")
    world.move(world.purchase.orders[0].id, "accepted", "complete")
    world.deliver()
    world.run()
    assert (world.purchase.state, world.purchase.observed) == (State.ACCEPTED, True)


def test_an_unclaimed_failure_expires() -> None:
    world = ordered("broken")
    world.live(timedelta(days=8).total_seconds())
    assert (world.purchase.state, world.purchase.reason) == (State.LOST, Reason.EXPIRED)
    assert len(world.checkouts) == 1


def test_an_unclaimed_failure_that_has_expired_is_not_held_again() -> None:
    world = ordered("broken")
    world.live(timedelta(days=8).total_seconds())
    world.advance(5)
    world.fail_charge(world.purchase.orders[0].id)
    world.deliver(-1)
    world.run()
    assert (world.purchase.state, world.purchase.reason) == (State.LOST, Reason.EXPIRED)
    assert world.purchase.orders[0].charges[0].state == "failed"


def test_a_new_checkout_of_the_storefront_claims_too() -> None:
    world = ordered("broken")
    world.purchase = unclaimed(world.purchase, REMEDY).purchase
    other = world.open()
    world.tell(PurchaseRequested(request=PurchaseRequest(checkout_id=other, upstream_id="web-1")))
    assert not world.purchase.observed
    assert world.purchase.current.checkout_id == other


def test_a_reported_rejection_of_a_new_checkout_claims_too() -> None:
    world = ordered("broken")
    held = unclaimed(world.purchase, REMEDY).purchase
    gone = held.orders[0].model_copy(update={"state": "cancelled"})
    world.purchase = held.model_copy(update={"orders": (gone,)})
    world.orders[gone.id]["state"] = "cancelled"
    other = world.open()
    world.attach(other, world.pay("declined", checkout=other))
    world.merchant_orders(other)
    assert world.report(world.reported(other, 409, "declined"))
    assert not world.purchase.observed
    world.run()
    assert (world.purchase.state, world.purchase.reason) == (
        *(State.HELD, Reason.PAYMENT_REQUIRED),
    )
    assert world.purchase.next_action is not None
    assert len(world.purchase.chain) == 3


@pytest.mark.parametrize("observed", [True, False])
def test_claims_reports_and_the_orders_events_in_any_order_end_the_same(observed: bool) -> None:
    ends = set()
    for order in permutations(range(4)):
        world = World()
        id = world.open()
        world.attach(id, world.pay("watched", checkout=id))
        world.merchant_orders(id)
        first = world.mail.pop(0)
        world.begin_adopted(first, observed=observed)
        world.move(next(iter(world.orders)), "accepted")
        facts = (
            first,
            world.mail.pop(0),
            claim("merchant"),
            world.reported(id, 404, "not_found", parameter="orderId"),
        )
        for index in order:
            world.tell(facts[index])
            world.step()
        world.run()
        purchase = world.purchase
        assert not purchase.observed
        books = (len(world.orders), len(world.checkouts), len(world.sent))
        ends.add((purchase.state, purchase.reason, *books))
    assert ends == {(State.ACCEPTED, None, 1, 1, 0)}


def test_an_adopted_order_that_vanishes_is_for_a_person() -> None:
    world = World()
    id = world.open()
    world.attach(id, world.pay("good", checkout=id))
    world.merchant_orders(id)
    event = world.mail.pop(0)
    world.begin_adopted(event, observed=True)
    world.orders.clear()
    world.live(300)
    assert (world.purchase.state, world.purchase.reason) == (State.REVIEW, Reason.UNDECIDED)
    assert world.alerts == ["order_unreadable"]


def test_an_adopted_chain_is_the_orders_checkout_alone() -> None:
    assert observed_purchase().chain == (Link(checkout_id="c1"),)
