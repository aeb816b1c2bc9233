"""Facts that cross: each test is an order of facts that once broke something."""

import copy

import pytest

from handlers.presentation import fulfil
from handlers.saved import listed
from schemas.purchase import Condition, Reason, State
from schemas.results import PlatformProblem, Rejected, Succeeded
from tests.core.test_merchant import rejected, reported
from tests.core.test_redirects import BACK, order, sent_away, source_of
from tests.core.test_regressions import HOUR, chosen, where
from tests.core.world import World

# -- an order of a checkout that is not the current one


def late_order_of_a_former_checkout(behaviour: str) -> World:
    """A merchant's order for the checkout that the storefront has just replaced."""
    world = World()
    first = world.open()
    world.attach(first, world.pay(behaviour, checkout=first))
    world.begin(submits="merchant")
    world.run()
    second = world.open()
    assert world.request(checkoutId=second, submits="merchant")
    world.run()
    assert isinstance(world.merchant_orders(first), Succeeded)
    world.deliver()
    world.run()
    return world


def test_goods_do_not_ship_when_the_order_of_a_former_checkout_is_cancelled() -> None:
    world = late_order_of_a_former_checkout("good")
    assert where(world) == (State.ACCEPTED, None)
    assert fulfil(world.purchase)
    world.move(str(order(world)["id"]), "cancelled")
    world.deliver()
    world.run()
    assert not fulfil(world.purchase)
    assert world.purchase.order
    assert world.purchase.order.state == "cancelled"


def test_a_pending_order_of_a_former_checkout_that_fails_is_not_awaited_for_ever() -> None:
    world = late_order_of_a_former_checkout("redirect")
    assert world.purchase.state is State.PENDING
    world.move(str(order(world)["id"]), "cancelled", "failed")
    world.deliver()
    world.run()
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)


# -- lists and readings that lag


def test_a_list_that_still_shows_the_cancelled_order_as_pending_stops_nothing() -> None:
    world = sent_away()
    before = copy.deepcopy(order(world))
    world.advance(60)
    assert world.call(BACK)
    world.run()
    assert world.call(BACK)
    world.until("read_checkout")
    world.blur = before  # the list lags
    world.step()
    world.blur = {}
    world.run()
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)


def test_an_older_reading_of_a_pending_order_is_not_the_last_look() -> None:
    world = sent_away("funds")
    slot = world.until("read_order", 2 * HOUR)
    old = dict(order(world)) | {"updatedTime": "2024-05-01T00:00:00Z"}
    world.answer(slot, Succeeded(status=200, body=old))
    world.move(str(order(world)["id"]), "accepted", "complete")
    world.live(2 * HOUR)
    assert where(world) == (State.ACCEPTED, None)


# -- a rejection and a new checkout


@pytest.mark.parametrize("status", [400, 409])
def test_what_the_former_checkout_was_refused_for_does_not_end_the_one_that_replaced_it(
    status: int,
) -> None:
    world = reported(status, "invalid_parameter" if status == 400 else "declined")
    [first] = world.sources
    second = world.open()
    world.attach(second, world.pay("good", checkout=second))
    assert world.request(checkoutId=second, submits="merchant")
    world.run()
    assert where(world) == (State.HELD, Reason.READY)
    assert world.purchase.checkout_ids == ("c1", second)
    assert [d.source_id for d in world.purchase.declined] == ([first] if status == 409 else [])


def rejected_unread(code: str = "insufficient_funds") -> tuple[World, str]:
    """A merchant's 409 for a saved source, reported while the platform is busy; the source."""
    world = rejected(code, saved=True)
    world.run("busy", on="read_checkout")
    assert not world.purchase.declined
    return world, next(iter(world.sources))


def test_a_source_declined_on_a_checkout_that_was_replaced_unread_is_not_charged_again() -> None:
    world, source = rejected_unread()
    assert world.request(checkoutId=world.open())
    assert world.choose(source)
    world.live(60)
    assert not world.sent
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert world.purchase.message == "payment.choose_another"
    assert [(d.source_id, d.again) for d in world.purchase.declined] == [(source, 0)]
    assert world.purchase.submissions[0].source_id == source
    assert world.choose(world.pay("good"))
    world.live(60)
    assert where(world) == (State.ACCEPTED, None)


def test_what_the_shopper_may_correct_may_be_chosen_once_more_on_the_next_checkout() -> None:
    world, source = rejected_unread("do_not_honor")
    assert world.request(checkoutId=world.open())
    world.behaviour[source] = "good"
    assert world.choose(source)
    world.live(60)
    assert where(world) == (State.ACCEPTED, None)


def test_another_source_chosen_before_the_declined_one_was_read_stays_chosen() -> None:
    world, _ = rejected_unread()
    assert world.request(checkoutId=world.open())
    assert world.choose(world.pay("good"))
    world.live(60)
    assert where(world) == (State.ACCEPTED, None)


def test_it_is_not_the_merchants_turn_with_a_source_that_nobody_knew_was_declined() -> None:
    world, source = rejected_unread()
    second = world.open()
    world.attach(second, source)
    assert world.request(checkoutId=second, submits="merchant")
    world.live(60)
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert "gate.ready" not in world.rules


def test_each_of_two_rejected_checkouts_is_read_for_the_source_that_it_charged() -> None:
    world, first = rejected_unread()
    second = world.open()
    other = world.pay("lost_stolen_card", checkout=second, saved=True)
    world.attach(second, other)
    assert isinstance(world.merchant_orders(second), Rejected)
    assert world.report(world.reported(second, 409, "lost_stolen_card"))
    world.live(60)
    assert {d.source_id for d in world.purchase.declined} == {first, other}
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)


def test_no_saved_source_is_offered_before_the_declined_one_is_known() -> None:
    world, source = rejected_unread()
    assert world.request(checkoutId=world.open())
    saved = {"id": source, "type": "creditCard", "reusable": True, "state": "chargeable"}
    customer = {"id": "cust-1", "sources": [saved, saved | {"id": "other"}]}
    assert not listed(world.purchase, customer, world.now)
    world.live(60)
    assert [one["id"] for one in listed(world.purchase, customer, world.now)] == ["other"]


def test_silence_about_a_former_checkout_settles_before_the_next_is_submitted() -> None:
    world = World()
    first = world.open()
    world.attach(first, world.pay("good", checkout=first))
    world.begin(submits="merchant")
    world.run()
    second = world.open()
    assert world.request(checkoutId=second, submits="merchant")
    world.run()
    assert world.report(world.reported(first, 504))
    assert world.purchase.state is State.UNKNOWN
    world.attach(second, world.pay("good", checkout=second))
    assert world.request(checkoutId=second, submits="service")
    world.advance(60)
    world.place(first)  # it was processed late
    world.live(300)
    assert where(world) == (State.ACCEPTED, None)
    assert not world.sent


# -- coming back


def test_two_clicks_are_one_return() -> None:
    world = sent_away()
    assert world.call(BACK)
    world.call(BACK)
    world.run()
    assert where(world) == (State.PENDING, Reason.REDIRECT)
    assert not world.planned("cancel_order")


def test_a_page_that_came_late_is_offered_as_often_as_any_other() -> None:
    payment = order(sent_away())["payment"]
    assert isinstance(payment, dict)
    world = chosen("redirect")
    world.blur = {"payment": payment | {"session": payment["session"] | {"nextAction": None}}}
    world.until("refresh_order")
    world.blur = {}
    world.run()
    assert where(world) == (State.PENDING, Reason.REDIRECT)
    assert world.call(BACK)
    world.run()
    assert where(world) == (State.PENDING, Reason.REDIRECT), "its first return in vain"


# -- replacing an order


def test_an_order_that_reads_accepted_after_its_cancel_was_taken_is_read_again() -> None:
    world = sent_away()
    world.call(BACK)
    world.run()
    world.call(BACK)
    slot = world.until("cancel_order")
    world.move(str(order(world)["id"]), "accepted", "complete")  # paid at the last moment
    seen = dict(order(world))
    world.finish(slot)
    assert order(world)["state"] == "cancelled"
    slot = world.until("read_order")
    world.answer(slot, Succeeded(status=200, body=seen))
    assert where(world) == (State.PENDING, Reason.PROCESSING)
    world.run()
    world.live(60)
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)


def test_a_person_who_resumes_after_an_unreadable_order_sets_it_going_again() -> None:
    world = sent_away()
    world.call(BACK)
    world.run()
    world.call(BACK)
    slot = world.until("inspect_order")
    world.answer(slot, Succeeded(status=200, body={"order": "?"}))
    assert where(world) == (State.REVIEW, Reason.UNDECIDED)
    assert world.decided("resume")
    world.live(HOUR)
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)


# -- what nobody handed over


@pytest.mark.parametrize("page", [True, False])
def test_an_observed_order_is_read_and_neither_refreshed_nor_given_up(page: bool) -> None:
    world = World()
    id = world.open()
    world.attach(id, world.pay("redirect", checkout=id))
    world.place(id)
    if not page:
        order(world)["payment"]["session"].pop("nextAction")  # type: ignore[index]
    world.begin_adopted(world.mail.pop(), observed=True)
    world.live(30 * HOUR)
    assert not world.planned("refresh_order")
    assert world.purchase.state is State.PENDING
    assert world.purchase.hold == 1, "nobody is told again and again"
    assert world.request(checkoutId=id)
    world.live(HOUR)
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert order(world)["state"] == "cancelled"


def test_who_paid_between_two_looks_is_found_although_only_a_refresh_shows_it() -> None:
    world = sent_away()
    world.call(BACK)
    world.run()
    world.call(BACK)
    world.until("inspect_order")
    source_of(world)["state"] = "chargeable"
    world.run()
    assert "order.money_on_its_way" in world.rules
    world.live(300)
    assert where(world) == (State.ACCEPTED, None)


def test_silence_that_is_reported_during_a_review_settles_after_it() -> None:
    world = World()
    id = world.open()
    world.attach(id, world.pay("good", checkout=id))
    world.checkouts[id]["customerId"] = "cust-1"
    world.register()["enabled"] = False
    world.begin(submits="merchant")
    world.run()
    assert where(world) == (State.REVIEW, Reason.CUSTOMER_DISABLED)
    assert world.report(world.reported(id, 504))
    assert world.decided("resume")
    assert world.purchase.state is State.UNKNOWN


def test_a_checkout_that_takes_no_source_any_more_is_replaced_and_not_tried_for_ever() -> None:
    """Its order was refused behind our back: every change of it is (PLATFORM §7.2)."""
    world = World()
    world.open()
    world.begin()
    world.run()
    world.choose(world.pay("good"))
    closed = Rejected(status=409, problems=(PlatformProblem(code="session_update_not_allowed"),))
    world.run(closed, on="attach_source")
    assert (world.purchase.state, world.purchase.reason) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert world.purchase.chain[0].condition is Condition.DEAD
    assert len(world.checkouts) == 2
    world.choose(world.pay("good"))
    world.run()
    assert world.purchase.state is State.ACCEPTED
