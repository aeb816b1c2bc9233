"""PLATFORM §5.11: in review, blocked, cancelled, charge failed, and what fails after acceptance."""

import pytest

from handlers.presentation import view
from schemas.base import JsonObject
from schemas.purchase import Reason, State
from tests.core.test_regressions import HOUR, chosen, where
from tests.core.world import World


def accepted() -> World:
    world = chosen()
    world.run()
    assert where(world) == (State.ACCEPTED, None)
    world.mail.clear()
    world.advance(60)
    return world


def order(world: World) -> JsonObject:
    return next(iter(world.orders.values()))


def told(world: World, type: str, body: JsonObject) -> None:
    world.post(type, body)
    world.deliver(-1)
    world.run()


# -- in review, blocked


def test_in_review_ends_with_accepted_and_nothing_is_done_meanwhile() -> None:
    world = chosen("watched")
    world.run()
    world.live(HOUR)
    assert where(world) == (State.PENDING, Reason.FRAUD_REVIEW)
    assert view(world.purchase, shop=True).reason == "processing"
    world.move(order(world)["id"], "accepted")
    world.deliver(-1)
    world.run()
    assert where(world) == (State.ACCEPTED, None)
    assert len(world.sent) == 1


def test_review_closed_by_itself_decides_nothing() -> None:
    world = chosen("watched")
    world.run()
    told(world, "order.review_closed", order(world))
    assert where(world) == (State.PENDING, Reason.FRAUD_REVIEW)


def test_blocked_after_a_review_is_final_and_offers_no_recovery() -> None:
    world = chosen("watched")
    world.run()
    world.move(order(world)["id"], "blocked")
    world.deliver(-1)
    world.run()
    assert where(world) == (State.LOST, Reason.BLOCKED)
    assert world.purchase.next_action is None
    world.live(HOUR)
    assert len(world.checkouts) == 1


@pytest.mark.parametrize("reason", ["fraud", "Fraud", "suspected_fraud"])
def test_every_word_for_fraud_is_one(reason: str) -> None:
    world = chosen("funds")
    world.run()
    order(world)["cancelReason"] = reason
    world.move(order(world)["id"], "cancelled", "failed")
    world.deliver(-1)
    world.run()
    assert where(world) == (State.LOST, Reason.FRAUD)


# -- cancelled


def test_a_cancellation_by_somebody_is_the_end_and_not_a_failure() -> None:
    world = chosen("watched")
    world.run()
    world.move(order(world)["id"], "cancelled")
    world.deliver(-1)
    world.run()
    assert where(world) == (State.LOST, Reason.CANCELLED)
    assert len(world.checkouts) == 1


def test_a_cancellation_for_fraud_is_never_offered_recovery() -> None:
    world = chosen("funds")
    world.run()
    order(world)["cancelReason"] = "fraud"
    world.move(order(world)["id"], "cancelled", "failed")
    world.deliver(-1)
    world.run()
    assert where(world) == (State.LOST, Reason.FRAUD)
    assert view(world.purchase, shop=True).reason == "exhausted"
    assert len(world.checkouts) == 1


def test_a_cancellation_after_acceptance_stops_fulfilment_and_nothing_else() -> None:
    world = accepted()
    world.move(order(world)["id"], "cancelled")
    world.deliver(-1)
    world.run()
    shown = view(world.purchase, shop=False)
    assert (shown.state, shown.fulfil) == ("accepted", False)
    assert shown.order is not None
    assert shown.order.state == "cancelled"


# -- a charge that fails later


@pytest.mark.parametrize("shape", ["charge", "order"])
@pytest.mark.parametrize("behaviour", ["slow", "funds", "redirect"])
def test_a_failed_charge_is_settled_by_reading_the_order_whatever_its_event_looks_like(
    behaviour: str, shape: str
) -> None:
    world = chosen(behaviour)
    world.run()
    world.mail.clear()  # in the very second in which the order was read
    world.fail_charge(order(world)["id"], shape=shape)
    world.deliver()
    world.run()
    assert order(world)["state"] == "cancelled", "the stale order must not be paid any more"
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert len(world.purchase.chain) == 2


def test_a_failed_charge_whose_event_was_lost_is_found_by_looking() -> None:
    world = chosen("slow")
    world.run()
    world.fail_charge(order(world)["id"])
    world.mail.clear()
    world.live(world.policy.pending_look.total_seconds() + 60)
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)


@pytest.mark.parametrize("code", ["fraud", "suspected_fraud", "fraud_block"])
def test_a_charge_that_failed_for_fraud_leads_to_no_other_try(code: str) -> None:
    world = chosen("slow")
    world.run()
    world.advance(5)
    world.fail_charge(order(world)["id"], code)
    world.deliver(-1)
    world.run()
    assert where(world) == (State.LOST, Reason.FRAUD)
    assert len(world.checkouts) == 1


def test_a_source_whose_charge_failed_for_good_is_not_charged_again() -> None:
    world = chosen("slow")
    world.run()
    world.advance(5)
    source = world.sent[-1].source_id or ""
    world.sources[source]["reusable"] = True
    world.fail_charge(order(world)["id"], "lost_stolen_card")
    world.deliver(-1)
    world.run()
    world.sources[source]["state"] = "chargeable"
    world.choose(source)
    world.run()
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert len(world.sent) == 1


def test_an_event_after_the_replacement_changes_nothing() -> None:
    world = chosen("slow")
    world.run()
    world.advance(5)
    world.fail_charge(order(world)["id"])
    world.deliver(-1)
    world.run()
    before = where(world)
    for event in [*world.mail, *world.old_mail]:
        world.tell(event)
        world.run()
    assert where(world) == before
    assert len(world.checkouts) == 2


# -- after acceptance


TROUBLES = {
    "order.charge.capture.failed": Reason.CAPTURE_FAILED,
    "order.charge.reauth.failed": Reason.REAUTHORIZATION_FAILED,
    "order.dispute": Reason.DISPUTED,
    "order.chargeback": Reason.CHARGEBACK,
}


@pytest.mark.parametrize("shape", ["charge", "order"])
@pytest.mark.parametrize("type", TROUBLES)
def test_what_fails_after_acceptance_is_told_and_stops_fulfilment(type: str, shape: str) -> None:
    world = accepted()
    if type == "order.dispute":
        order(world)["state"] = "dispute"
    order(world)["updatedTime"] = world.now.isoformat()
    charge = order(world)["payment"]["charges"][0] | {"orderId": order(world)["id"]}
    if type == "order.charge.capture.failed":
        order(world)["payment"]["charges"][0]["captures"] = [{"state": "failed"}]
    told(world, type, charge if shape == "charge" else order(world))
    assert where(world) == (State.ACCEPTED, TROUBLES[type])
    assert not view(world.purchase, shop=False).fulfil
    assert world.alerts == [TROUBLES[type].value]
    assert len(world.checkouts) == 1
    assert not world.planned("cancel_order")


def test_of_a_failed_reauthorization_only_the_event_tells() -> None:
    """The order stays accepted and its charge capturable (PLATFORM §6.1)."""
    world = accepted()
    told(world, "order.charge.reauth.failed", order(world))
    assert where(world) == (State.ACCEPTED, Reason.REAUTHORIZATION_FAILED)
    told(world, "order.updated", order(world))
    assert where(world) == (State.ACCEPTED, Reason.REAUTHORIZATION_FAILED), "no read takes it back"


def test_a_capture_that_works_at_last_ends_the_trouble() -> None:
    world = accepted()
    charge = order(world)["payment"]["charges"][0]
    charge["captures"] = [{"state": "failed"}]
    told(world, "order.charge.capture.failed", charge | {"orderId": order(world)["id"]})
    assert where(world) == (State.ACCEPTED, Reason.CAPTURE_FAILED)
    world.advance(60)
    charge["captures"].append({"state": "complete"})
    charge["state"] = "complete"
    order(world)["updatedTime"] = world.now.isoformat()
    told(world, "order.charge.capture.complete", charge | {"orderId": order(world)["id"]})
    assert where(world) == (State.ACCEPTED, None)
    assert view(world.purchase, shop=False).fulfil


def test_a_resolved_dispute_is_over() -> None:
    world = accepted()
    world.move(order(world)["id"], "dispute")
    world.deliver(-1)
    world.run()
    assert where(world) == (State.ACCEPTED, Reason.DISPUTED)
    world.advance(60)
    world.move(order(world)["id"], "accepted")
    told(world, "order.dispute.resolved", order(world))
    assert where(world) == (State.ACCEPTED, None)


def test_a_chargeback_is_never_over() -> None:
    world = accepted()
    told(world, "order.chargeback", order(world))
    told(world, "order.dispute.resolved", order(world))
    assert where(world) == (State.ACCEPTED, Reason.CHARGEBACK)


def test_trouble_that_is_told_before_our_own_answer_is_not_lost() -> None:
    world = chosen()
    slot = world.until("submit")
    answer = world.send(slot)
    told(world, "order.charge.reauth.failed", order(world))
    world.answer(slot, answer)
    world.run()
    assert where(world) == (State.ACCEPTED, Reason.REAUTHORIZATION_FAILED)


ODD: list[JsonObject] = [
    {},
    {"id": 7},
    {"id": "o", "items": "none", "payment": 3},
    {"id": "x", "orderId": {"a": 1}, "state": ["failed"]},
    {"id": "x", "orderId": "nobody", "amount": "much"},
]


@pytest.mark.parametrize("type", ["order.charge.failed", "order.dispute", "order.levitated"])
@pytest.mark.parametrize("odd", ODD, ids=str)
def test_an_event_of_another_shape_is_settled_by_reading_or_shows(
    odd: JsonObject, type: str
) -> None:
    world = chosen("slow")
    world.run()
    told(world, type, odd)
    world.live(HOUR)
    assert where(world) == (State.PENDING, Reason.PROCESSING)
