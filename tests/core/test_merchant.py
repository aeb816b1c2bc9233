"""The merchant submits: rejections that it reports, its turn, and handing over."""

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from handlers.policy import Policy
from schemas.facts import PlatformEvent, PurchaseRequested
from schemas.purchase import Condition, Reason, State
from schemas.requests import PurchaseRequest
from schemas.results import OutcomeUnknown, Rejected, Succeeded
from tests.core.world import FRAUD, REQUEST, World

HOUR = 3600.0
Where = tuple[State, Reason | None]


def where(world: World) -> Where:
    return world.purchase.state, world.purchase.reason


def rejected(behaviour: str = "insufficient_funds", *, saved: bool = False, **more: Any) -> World:
    """A merchant whose own submission was answered 409, and who reports it."""
    world = World()
    id = world.open()
    world.attach(id, world.pay(behaviour, checkout=id, saved=saved))
    answer = world.merchant_orders(id)
    assert isinstance(answer, Rejected)
    world.begin_rejected(world.reported(id, answer.status, behaviour, **more))
    return world


def reported(status: int, *codes: str, parameter: str | None = None) -> World:
    """A merchant who reports this of a checkout that could become an order."""
    world = World()
    id = world.open()
    world.attach(id, world.pay("good", checkout=id))
    world.begin_rejected(world.reported(id, status, *codes, parameter=parameter))
    return world


def test_a_reported_409_ends_in_a_new_checkout_and_the_merchants_turn() -> None:
    world = rejected()
    assert world.purchase.chain[0].condition is Condition.DEAD
    world.run()
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert len(world.purchase.chain) == 2
    assert world.purchase.submissions[0].by_merchant
    assert world.purchase.submissions[0].remedy == "new_checkout"
    assert world.choose(world.pay("good"))
    world.run()
    assert where(world) == (State.HELD, Reason.READY)
    assert world.purchase.next_action is None
    assert isinstance(world.merchant_orders(), Succeeded)
    world.deliver()
    world.run()
    assert where(world) == (State.ACCEPTED, None)
    assert not world.sent


def test_a_saved_source_that_was_declined_is_known_from_the_reading_and_not_taken_again() -> None:
    world = rejected("insufficient_funds", saved=True)
    world.run()
    [source] = [source for source in world.sources if world.sources[source]["reusable"]]
    assert [(d.source_id, d.again) for d in world.purchase.declined] == [(source, 0)]
    assert world.purchase.submissions[0].source_id == source
    world.choose(source)
    world.run()
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert "call.source_declined_before" in world.rules


def test_the_same_rejection_told_again_changes_nothing() -> None:
    world = rejected()
    again = world.reported("c1", 409, "insufficient_funds")
    assert world.report(again)
    assert world.decisions[-1].rule == "merchant.known"
    world.run()
    assert len(world.purchase.chain) == 2
    assert world.report(again)
    assert world.decisions[-1].rule == "merchant.former_checkout"
    world.run()
    assert len(world.purchase.submissions) == 1
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)


def test_the_merchants_submissions_count_against_the_budget() -> None:
    world = rejected()
    world.run()
    for _ in range(4):
        assert world.choose(world.pay("insufficient_funds"))
        world.run()
        assert where(world) == (State.HELD, Reason.READY)
        id = world.purchase.current.checkout_id
        assert isinstance(world.merchant_orders(), Rejected)
        assert world.report(world.reported(id, 409, "insufficient_funds"))
        world.run()
    assert where(world) == (State.LOST, Reason.EXHAUSTED)
    assert world.purchase.attempts == 5


@pytest.mark.parametrize("code", FRAUD)
def test_a_final_rejection_ends_the_purchase(code: str) -> None:
    world = rejected(code)
    world.run()
    assert where(world) == (State.LOST, Reason.FRAUD)
    assert len(world.checkouts) == 1


def test_a_reported_400_is_mended_by_the_shopper_on_the_same_checkout() -> None:
    world = reported(400, "invalid_parameter", parameter="email")
    world.run()
    assert where(world) == (State.HELD, Reason.CORRECTION_REQUIRED)
    assert world.correct({"email": "other@example.test"})
    world.run()
    assert where(world) == (State.HELD, Reason.READY)
    assert world.purchase.checkout_ids == ("c1",)


def test_a_reported_400_that_we_can_mend_is_the_merchants_turn_at_once() -> None:
    world = World()
    id = world.open(request=REQUEST | {"shipTo": {"address": REQUEST["shipTo"]["address"]}})
    world.attach(id, world.pay("good", checkout=id))
    told = world.reported(id, 400, "missing_parameter", parameter="shipping.name")
    full = told.report.model_copy(update={"create_request": REQUEST})
    world.begin_rejected(told.model_copy(update={"report": full}))
    world.run()
    assert where(world) == (State.HELD, Reason.READY)
    assert world.checkouts[id]["shipTo"]["name"] == REQUEST["shipTo"]["name"]


def test_a_reported_429_is_the_merchants_turn_again_and_counts_once() -> None:
    world = reported(429)
    world.run()
    assert where(world) == (State.HELD, Reason.READY)
    assert world.report(world.reported("c1", 429))
    world.run()
    assert [(s.number, s.attempt) for s in world.purchase.submissions] == [(1, 1), (1, 2)]
    assert where(world) == (State.HELD, Reason.READY)


@pytest.mark.parametrize("status", [401, 403, 405, 406, 415])
def test_the_merchants_own_key_or_client_is_for_a_person(status: int) -> None:
    world = reported(status)
    world.run()
    assert where(world) == (State.REVIEW, Reason.CREDENTIALS)
    assert world.alerts == ["credentials"]
    assert world.decided("resume")
    world.run()
    assert where(world) == (State.HELD, Reason.READY)


@pytest.mark.parametrize("status", [404, 408, 500, 502, 503, 504])
def test_without_an_answer_the_order_is_looked_for_and_taken_over(status: int) -> None:
    world = World()
    id = world.open()
    world.attach(id, world.pay("good", checkout=id))
    world.merchant_orders(id, lag=60.0)
    world.begin_rejected(world.reported(id, status))
    world.run()
    assert where(world) == (State.UNKNOWN, None)
    world.live(121)
    assert where(world) == (State.ACCEPTED, None)


@pytest.mark.parametrize("status", [404, 408, 500, 502, 503, 504])
def test_without_an_answer_and_without_an_order_it_is_the_merchants_turn_after_settling(
    status: int,
) -> None:
    world = reported(status)
    world.live(119)
    assert where(world) == (State.UNKNOWN, None)
    world.live(10)
    assert where(world) == (State.HELD, Reason.READY)
    assert not world.sent
    assert world.purchase.checkout_ids == ("c1",)


def test_a_409_after_silence_waits_for_settling_and_notes_what_was_charged() -> None:
    world = World()
    id = world.open()
    card = world.pay("insufficient_funds", checkout=id, saved=True)
    world.attach(id, card)
    world.merchant_orders(id)
    world.begin_rejected(world.reported(id, 504))
    world.run()
    assert world.report(world.reported(id, 409, "insufficient_funds"))
    world.live(60)
    assert where(world) == (State.UNKNOWN, None)
    world.live(70)
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert [d.source_id for d in world.purchase.declined] == [card]
    assert len(world.purchase.chain) == 2


def test_a_rejection_of_what_became_an_order_is_no_harm() -> None:
    world = World()
    id = world.open()
    world.attach(id, world.pay("good", checkout=id))
    world.begin(submits="merchant")
    world.run()
    world.merchant_orders()
    world.deliver()
    world.run()
    assert world.report(world.reported(id, 404, "not_found", parameter="orderId"))
    assert world.decisions[-1].rule == "merchant.order_exists"
    assert where(world) == (State.ACCEPTED, None)


def test_a_rejection_is_not_believed_where_the_reading_finds_an_order() -> None:
    world = World()
    id = world.open()
    world.attach(id, world.pay("good", checkout=id))
    world.merchant_orders(id)
    world.mail.clear()
    world.begin_rejected(world.reported(id, 409, "declined"))
    world.run()
    assert where(world) == (State.ACCEPTED, None)


def test_a_rejection_of_what_we_submit_is_ignored_visibly() -> None:
    world = World()
    world.open()
    world.begin()
    world.run()
    world.choose(world.pay("good"))
    slot = world.until("submit")
    assert world.report(world.reported("c1", 409, "declined"))
    assert world.decisions[-1].rule == "merchant.ours_submits"
    assert world.purchase.state is State.SUBMITTING
    world.finish(slot)
    assert where(world) == (State.ACCEPTED, None)


def test_a_merchant_who_submits_what_it_had_handed_over_kills_the_checkout_all_the_same() -> None:
    world = World()
    world.open()
    world.begin()
    world.run()
    assert world.report(world.reported("c1", 400, "missing_parameter", parameter="email"))
    assert world.decisions[-1].rule == "merchant.ours_submits"
    assert world.report(world.reported("c1", 409, "declined"))
    world.run()
    assert len(world.purchase.chain) == 2
    assert world.purchase.submits == "service"
    world.choose(world.pay("good"))
    world.run()
    assert where(world) == (State.ACCEPTED, None)


def test_a_rejection_of_a_new_checkout_joins_it_and_confirms_nothing() -> None:
    world = rejected()
    world.run()
    confirmed = world.purchase.confirmed_at
    world.advance(60)
    other = world.open()
    world.attach(other, world.pay("insufficient_funds", checkout=other))
    world.merchant_orders(other)
    assert world.report(world.reported(other, 409, "insufficient_funds"))
    world.run()
    assert world.purchase.checkout_ids[2] == other
    assert len(world.purchase.chain) == 4
    assert world.purchase.confirmed_at == confirmed
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)


def test_a_report_that_comes_late_is_the_merchants_turn_and_old_consent_when_handed_over() -> None:
    world = World()
    id = world.open()
    world.attach(id, world.pay("good", checkout=id))
    told = world.reported(id, 429)
    world.advance(HOUR)
    world.begin_rejected(told)
    world.run()
    assert where(world) == (State.HELD, Reason.READY)
    assert world.purchase.confirmed_at < world.now - world.policy.consent_window


@pytest.mark.parametrize("reason", [Reason.UNDECIDED, Reason.MERGE])
def test_a_rejection_during_a_review_counts_once_a_person_resumes(reason: Reason) -> None:
    world = World()
    id = world.open()
    world.attach(id, world.pay("insufficient_funds", checkout=id))
    world.begin(submits="merchant")
    world.run()
    update = {"state": State.REVIEW, "reason": reason, "awaiting": None, "deadline": None}
    world.purchase = world.purchase.model_copy(update=update)
    world.merchant_orders()
    assert world.report(world.reported(id, 409, "insufficient_funds"))
    assert where(world) == (State.REVIEW, reason)
    assert world.decided("resume")
    world.run()
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert len(world.purchase.chain) == 2
    assert world.purchase.declined


def ready() -> World:
    world = World()
    id = world.open()
    world.attach(id, world.pay("good", checkout=id))
    world.begin(submits="merchant")
    world.run()
    assert where(world) == (State.HELD, Reason.READY)
    return world


def test_an_order_whose_events_were_all_lost_is_found_by_looking() -> None:
    world = ready()
    world.merchant_orders()
    world.mail.clear()
    world.live(HOUR + 60)
    assert where(world) == (State.ACCEPTED, None)


def test_ready_stays_ready_whatever_the_looks_meet_and_expires_at_its_deadline() -> None:
    world = ready()
    world.faults["read_checkout"] = "busy"
    world.live(HOUR + 60)
    world.faults.clear()
    world.live(5 * HOUR)
    assert where(world) == (State.HELD, Reason.READY)
    world.live(timedelta(days=7).total_seconds())
    assert where(world) == (State.LOST, Reason.EXPIRED)
    assert not world.sent


def test_a_change_of_the_checkout_ends_ready() -> None:
    world = ready()
    world.checkouts["c1"]["payment"]["sources"] = []
    world.resettle("c1")
    world.post("checkout.updated", world.checkouts["c1"])
    world.deliver()
    world.run()
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)


def test_only_the_call_with_submits_service_hands_over() -> None:
    world = rejected()
    world.run()
    card = world.pay("good")
    world.choose(card)
    world.run()
    world.agree()
    world.correct({"locale": "fr_FR"})
    world.report(world.reported(world.purchase.current.checkout_id, 429, submits="service"))
    world.run()
    assert where(world) == (State.HELD, Reason.READY)
    assert not world.sent
    current = world.purchase.current.checkout_id
    assert world.request(checkout_id=current, submits="service")
    world.run()
    assert where(world) == (State.ACCEPTED, None)
    assert [sent.checkout_id for sent in world.sent] == [current]


def test_what_was_handed_over_can_be_handed_back_while_it_is_held() -> None:
    world = World()
    world.open()
    world.begin(submits="service")
    world.run()
    assert world.request(checkout_id="c1", submits="merchant")
    world.run()
    world.choose(world.pay("good"))
    world.run()
    assert where(world) == (State.HELD, Reason.READY)
    assert not world.sent


def test_an_unknown_outcome_that_is_handed_over_is_submitted_by_us_after_settling() -> None:
    world = reported(502)
    world.run()
    assert world.request(checkout_id="c1", submits="service")
    world.live(100)
    assert where(world) == (State.UNKNOWN, None)
    world.live(60)
    assert where(world) == (State.ACCEPTED, None)
    assert len(world.sent) == 1


def test_a_report_that_opens_may_hand_over_at_once() -> None:
    world = rejected(submits="service")
    world.run()
    assert world.purchase.submits == "service"
    world.choose(world.pay("good"))
    world.run()
    assert where(world) == (State.ACCEPTED, None)
    assert len(world.sent) == 1


def test_the_merchants_order_in_any_order_with_its_reports_ends_the_same() -> None:
    """A lost answer told as 504, told twice, then the order's own event: one state, one order."""
    ends = set()
    for order in permutations(range(4)):
        world = World()
        id = world.open()
        world.attach(id, world.pay("good", checkout=id))
        world.begin(submits="merchant")
        world.run()
        world.merchant_orders()
        [event] = world.mail
        facts = (
            event,
            world.reported(id, 504),
            world.reported(id, 404, "not_found", parameter="orderId"),
            PurchaseRequested(
                request=PurchaseRequest(checkout_id=id, upstream_id="web-1", submits="merchant")
            ),
        )
        world.mail.clear()
        for index in order:
            world.tell(facts[index])
            world.step()
        world.live(300)
        ends.add((*where(world), len(world.orders), len(world.sent), len(world.checkouts)))
    assert ends == {(State.ACCEPTED, None, 1, 0, 1)}


def test_a_decline_in_any_order_with_its_doubles_ends_the_same() -> None:
    ends = set()
    for order in permutations(range(4)):
        world = World()
        id = world.open()
        card = world.pay("insufficient_funds", checkout=id, saved=True)
        world.attach(id, card)
        world.begin(submits="merchant")
        world.run()
        world.merchant_orders()
        facts: tuple[Any, ...] = (
            world.reported(id, 409, "insufficient_funds"),
            world.reported(id, 409, "insufficient_funds"),
            world.reported(id, 429),
            PlatformEvent(
                event_id="e-u",
                type="checkout.updated",
                object=world.checkouts[id],
                created=world.now,
            ),
        )
        for index in order:
            world.tell(facts[index])
            world.step()
        world.live(300)
        declined = tuple((d.source_id, d.again) for d in world.purchase.declined)
        ends.add((*where(world), len(world.purchase.chain), declined, world.purchase.attempts))
    assert ends == {(State.HELD, Reason.PAYMENT_REQUIRED, 2, ((card, 0),), 1)}


def test_a_merchants_refused_purchase_ends_at_its_deadline() -> None:
    world = rejected()
    world.policy = Policy(hold_deadline=timedelta(hours=2))
    world.live(3 * HOUR)
    assert where(world) == (State.LOST, Reason.EXPIRED)


def test_placing_a_consumed_checkout_again_is_looked_up() -> None:
    world = ready()
    world.merchant_orders()
    world.mail.clear()
    again = world.merchant_orders()
    assert isinstance(again, OutcomeUnknown)
    assert world.report(world.reported("c1", 404, "not_found", parameter="orderId"))
    world.run()
    assert where(world) == (State.ACCEPTED, None)
