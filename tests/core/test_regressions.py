"""Lives that once went wrong: submissions, their answers and their orders (I1-I6, I9, I12)."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

import pytest

from handlers.decision import Moment
from handlers.order_events import event_order_id
from handlers.routing import Ignored, route, wrong_mode
from schemas.facts import CancelRequested, PurchaseRequested
from schemas.money import Money
from schemas.purchase import Condition, Reason, State
from schemas.requests import PurchaseRequest
from schemas.results import NeverSent, OutcomeUnknown, Rejected, Result, Succeeded
from tests.core.world import START, World, rejected

TOTAL = Money(amount=64.86, currency="EUR")
HOUR = 3600.0


def chosen(behaviour: str = "good", *, saved: bool = False, **fields: Any) -> World:
    """A purchase whose shopper has just chosen a source that behaves so."""
    world = World()
    world.open()
    world.begin(**fields)
    world.run()
    assert world.choose(world.pay(behaviour, saved=saved))
    return world


def where(world: World) -> tuple[State, Reason | None]:
    return world.purchase.state, world.purchase.reason


# 1
@pytest.mark.parametrize("decision", ["resume", "no_order"])
@pytest.mark.parametrize("when", ["submitting", "unknown"])
def test_a_cancelled_purchase_whose_key_was_refused_is_never_submitted_again(
    when: str, decision: Literal["resume", "no_order"]
) -> None:
    world = chosen()
    if when == "submitting":
        slot = world.until("submit")
        answer = world.send(slot, rejected(401))
        assert world.call(CancelRequested())
        world.answer(slot, answer)
    else:
        world.run("lost", on="submit")
        assert world.call(CancelRequested())
        world.run(rejected(401), on="find_orders")
        world.finish(world.until("find_orders"), rejected(401))
    world.live(HOUR)
    assert where(world) == (State.REVIEW, Reason.CREDENTIALS)
    assert world.decided(decision)
    world.live(HOUR)
    assert where(world) == (State.LOST, Reason.CANCELLED)
    assert len(world.sent) == 1


# 3
def test_a_409_holds_when_the_search_for_its_proof_ends_with_a_person() -> None:
    world = chosen("insufficient_funds")
    world.run("lost", on="submit")
    world.finish(world.until("submit"))
    world.finish(world.until("find_orders"), rejected(401))
    assert where(world) == (State.REVIEW, Reason.CREDENTIALS)
    assert world.decided("no_order")
    world.live(HOUR)
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert world.purchase.chain[0].condition is Condition.DEAD
    world.choose(world.pay("good"))
    world.live(60)
    assert where(world) == (State.ACCEPTED, None)
    assert [sent.checkout_id for sent in world.sent] == ["c1", "c1", world.purchase.checkout_ids[1]]


# 4
@pytest.mark.parametrize("behaviour", ["do_not_honor", "failed-request", "invalid_security_code"])
@pytest.mark.parametrize("spoilt", ["never sent", "busy", "lost", "died"])
def test_only_a_second_409_spends_the_one_more_use_of_a_source(behaviour: str, spoilt: str) -> None:
    world = chosen(behaviour, saved=True)
    card = world.sources["src2"]["id"]
    world.live(60)
    assert world.strikes[card] == 1
    assert world.choose(card)
    slot = world.until("submit")
    if spoilt == "never sent":
        world.answer(slot, NeverSent())
    else:
        world.finish(slot, spoilt)
    world.live(900)
    assert world.strikes[card] == 2, "\n".join(world.story)
    sent = len(world.sent)
    world.choose(card)
    world.live(HOUR)
    assert len(world.sent) == sent


def test_an_attempt_that_was_not_processed_leaves_the_shopper_the_choice() -> None:
    world = chosen("do_not_honor", saved=True)
    card = world.sources["src2"]["id"]
    world.live(60)
    assert world.choose(card)
    world.run("busy", on="submit")
    assert world.choose(card)
    world.behaviour[card] = "good"
    world.live(60)
    assert where(world) == (State.ACCEPTED, None)


# 7
@pytest.mark.parametrize("before", ["held", "unknown"])
def test_no_reading_passes_the_gate_that_is_older_than_a_told_change(before: str) -> None:
    world = chosen(confirmed_total=TOTAL)
    if before == "unknown":
        world.run("lost", on="submit")
    else:
        world.finish(world.until("attach_source"))
    sent = len(world.sent)
    slot = world.until("read_checkout")
    reading = world.send(slot)
    world.checkouts["c1"]["totalAmount"] = 70.0
    world.resettle("c1")
    world.post("checkout.updated", world.checkouts["c1"])
    world.deliver(-1)
    assert world.purchase.state == before
    world.answer(slot, reading)
    assert world.purchase.state is not State.SUBMITTING
    world.live(HOUR)
    assert len(world.sent) == sent
    if before == "held":
        assert where(world) == (State.HELD, Reason.CONFIRMATION_REQUIRED)


@pytest.mark.parametrize("before", ["held", "unknown"])
def test_after_a_told_change_that_changes_nothing_the_next_reading_passes(before: str) -> None:
    world = chosen()
    if before == "unknown":
        world.run("lost", on="submit")
    slot = world.until("read_checkout")
    reading = world.send(slot)
    world.post("checkout.updated", world.checkouts["c1"])
    world.deliver(-1)
    world.answer(slot, reading)
    world.live(HOUR)
    assert where(world) == (State.ACCEPTED, None)
    assert len(world.orders) == 1


# 8
def second_attempt() -> tuple[World, Callable[[Result], None], str]:
    """Attempt 1 got no answer in time, attempt 2 is in flight, and the 409 of attempt 1 came."""
    world = chosen("insufficient_funds", saved=True)
    world.run("stalled", on="submit")
    card = world.purchase.submissions[0].source_id
    assert card
    slot = world.until("submit")
    assert isinstance(world.send(slot, OutcomeUnknown()), OutcomeUnknown)
    before = world.purchase
    decision = world.tell(world.stragglers.pop())
    assert not decision.commands
    assert (world.purchase.state, world.purchase.awaiting) == ("submitting", before.awaiting)
    return world, lambda result: world.answer(slot, result), card


def test_a_late_409_does_not_hide_that_the_next_attempt_is_unknown() -> None:
    world, answer, _ = second_attempt()
    answer(OutcomeUnknown(status=504))
    assert world.purchase.state is State.UNKNOWN
    assert world.due()
    opened = len(world.planned("open_checkout"))
    world.live(world.policy.settle.total_seconds() - 5)
    assert len(world.planned("open_checkout")) == opened == 0
    world.live(HOUR)
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert len(world.purchase.chain) == 2
    assert len(world.sent) == 2


def test_a_late_409_does_not_hide_that_the_next_attempt_became_the_order() -> None:
    world, answer, card = second_attempt()
    world.behaviour[card] = "good"
    placed = world.place("c1")
    assert isinstance(placed, Succeeded)
    answer(placed)
    assert where(world) == (State.ACCEPTED, None)
    world.live(HOUR)
    assert not world.planned("open_checkout")


def test_a_late_409_of_a_former_checkout_changes_nothing_for_the_one_in_flight() -> None:
    world = chosen("insufficient_funds", saved=True)
    world.run("stalled", on="submit")
    world.live(world.policy.settle.total_seconds() - 5)
    world.finish(world.until("find_orders"), rejected(401))
    assert world.decided("no_order")
    other = world.open()
    assert world.request(checkout_id=other)
    world.run()
    assert world.choose(world.pay("good"))
    slot = world.until("submit")
    assert world.purchase.current.checkout_id == other
    answer = world.send(slot)
    before = world.purchase
    world.tell(world.stragglers.pop())
    kept = ("state", "reason", "awaiting", "permit", "verdict", "faults", "notice", "next_action")
    assert {n: getattr(world.purchase, n) for n in kept} == {n: getattr(before, n) for n in kept}
    assert world.purchase.chain[1:] == before.chain[1:]
    world.answer(slot, answer)
    assert where(world) == (State.ACCEPTED, None)
    world.live(HOUR)
    assert not world.planned("open_checkout")


# 14
def test_consent_counts_from_when_the_event_was_made() -> None:
    world = World()
    world.open()
    world.begin()
    world.run()
    world.advance(HOUR)
    world.attach("c1", world.pay("good"))
    request = PurchaseRequest(checkout_id="c1", upstream_id="web-1", confirmed_total=TOTAL)
    world.tell(PurchaseRequested(request=request, confirmed_at=START + timedelta(seconds=1)))
    world.live(60)
    assert where(world) == (State.HELD, Reason.CONFIRMATION_REQUIRED)
    assert not world.sent


@pytest.mark.parametrize("ahead", [0.0, 60.0, 86_400.0])
def test_consent_never_counts_from_after_it_was_received(ahead: float) -> None:
    world = World()
    world.open()
    world.begin()
    world.advance(60)
    request = PurchaseRequest(checkout_id="c1", upstream_id="web-1")
    told = world.now + timedelta(seconds=ahead)
    world.tell(PurchaseRequested(request=request, confirmed_at=told))
    assert world.purchase.confirmed_at == Moment(world.now, world.now).at


@pytest.mark.parametrize("live", [True, False])
def test_an_event_of_the_other_mode_is_not_for_us(live: bool) -> None:
    assert wrong_mode(not live, live=live)
    assert not wrong_mode(live, live=live)
    assert not wrong_mode(None, live=live)


@pytest.mark.parametrize("odd", [{"id": "o"}, ["o"], True, 1.5, "x" * 256, 10**300, "", None])
def test_what_can_be_no_id_names_no_order(odd: object) -> None:
    assert event_order_id("order.created", {"orderId": odd, "id": odd, "items": []}) is None
    found = route("order.created", {"id": odd, "checkoutId": odd, "items": []})
    assert found == Ignored("names_no_order", odd=True)
    assert event_order_id("order.created", {"orderId": 7}) == "7"


# 17
def test_a_checkout_that_came_during_a_submission_joins_when_it_was_refused() -> None:
    world = chosen("do_not_honor")
    slot = world.until("submit")
    answer = world.send(slot)
    assert isinstance(answer, Rejected)
    other = world.open()
    world.attach(other, world.pay("good", checkout=other))
    request = PurchaseRequest(checkout_id=other, upstream_id="web-1")
    world.tell(PurchaseRequested(request=request))
    assert world.purchase.state is State.SUBMITTING
    world.answer(slot, answer)
    world.live(60)
    assert where(world) == (State.ACCEPTED, None)
    assert [sent.checkout_id for sent in world.sent] == ["c1", other]


def test_a_checkout_that_came_during_a_submission_is_forgotten_when_that_became_the_order() -> None:
    world = chosen("good")
    slot = world.until("submit")
    answer = world.send(slot)
    other = world.open()
    request = PurchaseRequest(checkout_id=other, upstream_id="web-1")
    world.tell(PurchaseRequested(request=request))
    world.answer(slot, answer)
    world.live(60)
    assert where(world) == (State.ACCEPTED, None)
    assert world.purchase.checkout_ids == ("c1",)


# 25
def test_an_unknown_outcome_is_not_repeated_once_the_merchant_submits() -> None:
    world = chosen()
    world.run("lost", on="submit")
    assert world.request(checkout_id="c1", submits="merchant")
    world.live(2 * HOUR)
    assert world.purchase.state is State.UNKNOWN
    assert len(world.sent) == 1
    placed = world.place("c1")
    assert isinstance(placed, Succeeded)
    world.live(HOUR)
    assert where(world) == (State.ACCEPTED, None)


# 26
def test_giving_up_on_an_unknown_outcome_is_told_once() -> None:
    world = chosen()
    world.faults["submit"] = "lost"
    world.live(24 * HOUR)
    assert world.purchase.state is State.UNKNOWN
    assert world.alerts == ["unknown_given_up"]
    assert len(world.sent) == 1 + world.policy.max_repeats


@pytest.mark.parametrize(
    "first", [rejected(401), rejected(400, "order_submit_failed"), rejected(422, "x")], ids=str
)
@pytest.mark.parametrize("late", [True, False])
def test_a_409_counts_whatever_another_attempt_at_the_checkout_was_told(
    first: Rejected, late: bool
) -> None:
    world = chosen("insufficient_funds", saved=True)
    slot = world.until("submit")
    world.finish(slot, "stalled")
    straggler = world.stragglers.pop().model_copy(update={"result": first})
    slot = world.until("submit")
    answer = world.send(slot)
    if not late:
        world.tell(straggler)
    world.answer(slot, answer)
    if late:
        world.tell(straggler)
    world.live(HOUR)
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert world.purchase.chain[0].condition is Condition.DEAD
