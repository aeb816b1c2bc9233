"""PLATFORM §5.6 and §5.7: the provider's page, transfers, and the order that must go first (I5)."""

from datetime import timedelta

import pytest

from handlers.policy import Policy
from handlers.presentation import view
from handlers.provider import page
from handlers.redirects import allowed
from handlers.refusals import refusal
from schemas.facts import CancelRequested, ShopperReturned
from schemas.platform import Order
from schemas.purchase import Condition, Reason, State
from schemas.results import OutcomeUnknown, Succeeded
from tests.core.test_regressions import HOUR, chosen, where
from tests.core.world import World, rejected

BACK = ShopperReturned()


def sent_away(behaviour: str = "redirect") -> World:
    """A purchase whose order waits for the shopper to pay elsewhere."""
    world = chosen(behaviour)
    world.run()
    assert world.purchase.state is State.PENDING
    return world


def order(world: World) -> dict[str, object]:
    return next(iter(world.orders.values()))


def source_of(world: World) -> dict[str, object]:
    return world.sources[world.sent[-1].source_id or ""]


def back(world: World) -> None:
    assert world.call(BACK)
    world.run()


# -- submit, then redirect


def test_an_approved_redirect_is_accepted_when_the_shopper_is_back() -> None:
    world = sent_away()
    source_of(world)["state"] = "chargeable"
    back(world)
    assert where(world) == (State.ACCEPTED, None)
    assert not world.planned("cancel_order")


def test_the_return_is_refreshed_and_not_just_read() -> None:
    world = sent_away()
    back(world)
    assert [p.command.kind for d in world.decisions for p in d.commands].count("refresh_order") == 1


def test_a_shopper_who_comes_back_unpaid_may_open_the_same_page_again() -> None:
    world = sent_away()
    first = world.purchase.next_action
    deadline = world.purchase.deadline
    back(world)
    assert where(world) == (State.PENDING, Reason.REDIRECT)
    assert world.purchase.next_action == first
    assert world.purchase.deadline == deadline, "the time for it does not begin anew"
    source_of(world)["state"] = "chargeable"
    back(world)
    assert where(world) == (State.ACCEPTED, None)


def test_a_second_return_in_vain_cancels_the_order_and_asks_for_another_payment() -> None:
    world = sent_away()
    back(world)
    back(world)
    assert order(world)["state"] == "cancelled"
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert [link.condition for link in world.purchase.chain] == [Condition.CONSUMED, Condition.OPEN]
    assert world.choose(world.pay("good"))
    world.run()
    assert where(world) == (State.ACCEPTED, None)
    assert {o["state"] for o in world.orders.values()} == {"cancelled", "accepted"}


def test_an_abandoned_redirect_is_refreshed_when_its_time_is_over_then_replaced() -> None:
    world = sent_away()
    world.live(world.policy.redirect_wait.total_seconds() + 60)
    assert {"timer.redirect", "order.abandoned", "order.cancel_stale"} <= world.rules
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)


def test_a_shopper_who_paid_and_never_came_back_is_found_when_the_time_is_over() -> None:
    world = sent_away()
    source_of(world)["state"] = "chargeable"
    world.live(world.policy.redirect_wait.total_seconds() + 60)
    assert where(world) == (State.ACCEPTED, None)


def test_a_source_that_failed_at_the_provider_is_unrecoverable_at_once() -> None:
    world = sent_away()
    source_of(world)["state"] = "failed"
    back(world)
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert order(world)["state"] == "cancelled"


@pytest.mark.parametrize("session", ["pending", "pending_funds"])
def test_pending_after_the_return_is_recoverable_and_waits(session: str) -> None:
    world = sent_away()
    world.orders[str(order(world)["id"])]["payment"]["session"]["state"] = session
    back(world)
    assert world.purchase.state is State.PENDING
    assert not world.planned("cancel_order")


def test_the_platforms_own_event_may_come_before_the_shopper() -> None:
    world = sent_away()
    world.move(str(order(world)["id"]), "accepted", "complete")
    world.deliver(-1)
    world.run()
    assert where(world) == (State.ACCEPTED, None)
    assert refusal(world.purchase, BACK) is None
    back(world)
    assert where(world) == (State.ACCEPTED, None)


def test_a_return_of_somebody_who_was_sent_nowhere_is_refused() -> None:
    world = World()
    world.open()
    world.begin()
    world.run()
    assert refusal(world.purchase, BACK) is not None


def test_a_page_that_the_settings_do_not_allow_is_not_shown_to_the_shopper() -> None:
    world = chosen("redirect")
    world.policy = Policy(redirect_hosts=("pay.example.test",))
    world.run()
    assert where(world) == (State.REVIEW, Reason.UNDECIDED)
    assert world.purchase.next_action is None
    assert "redirect_refused" in world.alerts


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example\\@pay.example.test/",
        "https://evil.example\\.pay.example.test/",
        "https://pay.example.test\\@evil.example/",
        "https://pay.example.test@evil.example/",
        "https://someone@pay.example.test/",
        "https://pay.example.test.evil.example/",
        "https://pay.example.test./",
        "https://pay.example.test:x/",
        "https://pay.example.test/\n/x",
        "https:\\\\pay.example.test/",
        "https:///pay.example.test",
        "//pay.example.test/",
        "http://pay.example.test/",
        "javascript://pay.example.test/%0aalert(1)",
        "data:text/html,x",
        "https://[pay.example.test",
        "https://xn--py-8ka.example.test/",
        "",
    ],
)
def test_a_url_that_a_browser_may_read_otherwise_is_not_allowed(url: str) -> None:
    hosts = ("pay.example.test",)
    assert not allowed(url, Policy(redirect_hosts=hosts))
    assert not allowed(url, Policy(redirect_hosts=hosts, loopback=True))
    assert allowed("https://PAY.example.test:8443/a?b=c\\d@e", Policy(redirect_hosts=hosts))


def test_http_is_for_loopback_alone() -> None:
    local = Policy(loopback=True)
    assert allowed("http://127.0.0.1:9090/x", local)
    assert allowed("http://[::1]:9090/x", local)
    assert not allowed("http://evil.example\\@127.0.0.1/", local)
    assert not allowed("http://127.0.0.1/", Policy())


@pytest.mark.parametrize("odd", [7, True, {"href": "x"}, ["x"], ""], ids=str)
def test_a_page_that_is_no_text_is_none(odd: object) -> None:
    action = {"action": "redirect", "data": {"redirectUrl": odd, "sourceId": odd}}
    session = {"id": "s1", "state": "pending_redirect", "nextAction": action}
    assert page(Order.model_validate({"id": "o1", "payment": {"session": session}})) is None


# -- replacing an order that can't be recovered (I5)


def test_an_order_whose_money_is_on_its_way_is_awaited_and_not_cancelled() -> None:
    world = sent_away()
    back(world)
    assert world.call(BACK)
    slot = world.until("inspect_order")
    source_of(world)["state"] = "chargeable"  # paid in this very moment
    world.finish(slot)
    assert where(world) == (State.PENDING, Reason.PROCESSING)
    assert "order.money_on_its_way" in world.rules
    world.move(str(order(world)["id"]), "accepted", "complete")
    world.mail.clear()
    world.live(world.policy.money_look.total_seconds() + 5)
    assert where(world) == (State.ACCEPTED, None)
    assert len(world.purchase.chain) == 1


def test_a_refused_cancel_is_for_a_person() -> None:
    world = sent_away()
    world.cancels = "refused"
    back(world)
    back(world)
    assert where(world) == (State.REVIEW, Reason.STALE_ORDER)
    assert world.alerts == ["stale_order"]
    assert len(world.purchase.chain) == 1
    world.live(HOUR)
    assert len(world.checkouts) == 1


def test_a_cancel_that_is_taken_without_effect_is_read_again_and_then_for_a_person() -> None:
    world = sent_away()
    world.cancels = "ignored"
    back(world)
    back(world)
    world.live(60)
    assert where(world) == (State.REVIEW, Reason.STALE_ORDER)
    assert "order.not_cancelled_yet" in world.rules


def test_a_cancel_without_an_answer_is_read_back_and_made_again() -> None:
    world = sent_away()
    back(world)
    world.call(BACK)
    world.run("lost", on="cancel_order")
    assert "order.cancel_again" in world.rules
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)


def test_a_refused_cancel_of_an_order_that_was_paid_meanwhile_is_success() -> None:
    world = sent_away()
    world.cancels = "refused"
    back(world)
    world.call(BACK)
    slot = world.until("cancel_order")
    answer = world.send(slot)
    world.move(str(order(world)["id"]), "accepted", "complete")
    world.answer(slot, answer)
    world.run()
    assert where(world) == (State.ACCEPTED, None)


def test_the_news_that_it_was_paid_keeps_the_cancel_from_being_sent() -> None:
    world = sent_away()
    back(world)
    world.call(BACK)
    slot = world.until("cancel_order")
    world.move(str(order(world)["id"]), "accepted", "complete")
    world.deliver(-1)
    world.finish(next(s for s in world.slots.values() if s.command.kind == "read_order"))
    assert where(world) == (State.ACCEPTED, None)
    assert world.send(slot).outcome == "never_sent"


def test_a_late_accepted_beats_the_replacement() -> None:
    world = sent_away()
    back(world)
    back(world)
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    world.move(str(order(world)["id"]), "accepted", "complete")
    world.deliver(-1)
    world.run()
    assert where(world) == (State.ACCEPTED, None)
    assert world.purchase.order is not None
    assert world.purchase.order.id == order(world)["id"]


def test_a_second_order_is_seen_and_neither_is_fulfilled() -> None:
    """Beyond every promise: the platform revives an order that it showed as cancelled."""
    world = sent_away()
    back(world)
    back(world)
    world.choose(world.pay("good"))
    slot = world.until("submit")
    world.finish(slot)
    assert where(world) == (State.ACCEPTED, None)
    first = world.orders[str(order(world)["id"])]
    first["state"], first["updatedTime"] = "accepted", world.now.isoformat()
    world.post("order.accepted", first)
    world.deliver(-1)
    world.run()
    assert where(world) == (State.REVIEW, Reason.DUPLICATE_ORDER)


def test_another_total_on_the_replacement_is_confirmed_first() -> None:
    world = sent_away()
    world.extra_total = 3.0
    back(world)
    back(world)
    world.choose(world.pay("good"))
    world.run()
    assert where(world) == (State.HELD, Reason.CONFIRMATION_REQUIRED)
    assert len(world.sent) == 1


def test_a_shopper_who_cancels_at_the_provider_takes_the_order_back() -> None:
    world = sent_away()
    world.call(CancelRequested())
    world.run()
    assert where(world) == (State.LOST, Reason.CANCELLED)
    assert order(world)["state"] == "cancelled"
    assert len(world.checkouts) == 1


def test_the_last_of_the_attempts_is_cancelled_too_and_then_it_is_over() -> None:
    world = chosen("redirect")
    world.policy = Policy(max_submissions=1)
    world.run()
    back(world)
    back(world)
    assert order(world)["state"] == "cancelled"
    assert where(world) == (State.LOST, Reason.EXHAUSTED)


@pytest.mark.parametrize("kind", ["refresh_order", "inspect_order", "read_order"])
def test_a_busy_platform_only_makes_it_later(kind: str) -> None:
    world = sent_away()
    back(world)
    world.call(BACK)
    world.run("busy", on=kind)
    world.live(60)
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)


def test_an_unreadable_answer_to_the_refresh_leaves_it_to_a_person() -> None:
    world = sent_away()
    world.call(BACK)
    world.run(OutcomeUnknown(status=200), on="refresh_order")
    assert where(world) == (State.REVIEW, Reason.UNDECIDED)


# -- redirect, then submit: the PayPal family


def paypal(world: World) -> str:
    id = world.pay("good")
    world.sources[id] |= {"type": "payPal", "flow": "redirect", "state": "pending_redirect"}
    return id


def test_paypal_is_not_submitted_before_its_source_is_chargeable() -> None:
    world = World()
    world.open()
    world.begin()
    world.run()
    id = paypal(world)
    assert world.choose(id)
    world.run()
    assert where(world) == (State.HELD, Reason.PAYMENT_INCOMPLETE)
    assert not world.sent
    world.sources[id]["state"] = "chargeable"
    world.post("source.chargeable", world.sources[id])
    world.deliver(-1)
    world.run()
    assert where(world) == (State.ACCEPTED, None)


def test_paypal_goes_on_when_the_shopper_is_back_though_the_event_was_lost() -> None:
    world = World()
    world.open()
    world.begin()
    world.run()
    id = paypal(world)
    world.choose(id)
    world.run()
    world.sources[id]["state"] = "chargeable"
    back(world)
    assert where(world) == (State.ACCEPTED, None)


# -- transfers (§5.7)


def test_a_transfer_that_arrives_is_accepted() -> None:
    world = sent_away("funds")
    assert where(world) == (State.PENDING, Reason.FUNDS)
    world.move(str(order(world)["id"]), "accepted", "complete")
    world.deliver(-1)
    world.run()
    assert where(world) == (State.ACCEPTED, None)


@pytest.mark.parametrize("told", [("cancelled",), ("charge", "cancelled"), ("cancelled", "charge")])
def test_an_expired_transfer_gets_a_new_checkout_in_whatever_order_it_is_told(
    told: tuple[str, ...],
) -> None:
    world = sent_away("funds")
    id = str(order(world)["id"])
    for event in told:
        if event == "charge":
            world.post("order.charge.failed", {"id": "ch9", "orderId": id, "state": "failed"})
        elif world.orders[id]["state"] != "cancelled":
            world.move(id, "cancelled", "failed")
    while world.mail:
        world.deliver()
        world.run()
    world.live(HOUR)
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert len(world.purchase.chain) == 2
    assert len(world.checkouts) == 2, "the second event must not open a third"


def test_a_transfer_whose_expiry_nobody_told_is_found_by_looking() -> None:
    world = sent_away("funds")
    world.move(str(order(world)["id"]), "cancelled", "failed")
    world.mail.clear()
    world.live(world.policy.pending_look.total_seconds() + 60)
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)


def test_a_transfer_is_never_given_up_by_our_own_clock() -> None:
    world = sent_away("funds")
    world.live(timedelta(days=6).total_seconds())
    assert where(world) == (State.PENDING, Reason.FUNDS)
    assert not world.planned("cancel_order")


# -- what §5.6 says of the time after the return


def test_after_the_refresh_in_review_is_success_and_waits() -> None:
    world = sent_away()
    source_of(world)["state"] = "chargeable"
    assert world.call(BACK)
    slot = world.until("refresh_order")
    answer = world.send(slot)
    assert isinstance(answer, Succeeded)
    body = answer.body | {"state": "in_review", "fraudState": "review_opened"}
    world.orders[str(order(world)["id"])] |= body
    world.answer(slot, answer.model_copy(update={"body": body}))
    assert where(world) == (State.PENDING, Reason.FRAUD_REVIEW)
    assert not world.planned("cancel_order")


@pytest.mark.parametrize("session", ["pending", "pending_funds", "pending_redirect"])
def test_after_the_return_only_accepted_is_fulfilled(session: str) -> None:
    """One page says that fulfilment may begin at once; that is wrong (PLATFORM §8 #12)."""
    world = sent_away()
    world.orders[str(order(world)["id"])]["payment"]["session"]["state"] = session
    back(world)
    assert not view(world.purchase, shop=False).fulfil
    world.move(str(order(world)["id"]), "accepted", "complete")
    world.deliver(-1)
    world.run()
    assert view(world.purchase, shop=False).fulfil


@pytest.mark.parametrize("code", ["order_cancelled", "item_cancelled"])
def test_a_cancel_refused_because_it_is_done_is_read_until_it_shows(code: str) -> None:
    world = sent_away()
    back(world)
    assert world.call(BACK)
    slot = world.until("cancel_order")
    world.answer(slot, rejected(409, code, "orderId"))
    world.run()
    assert where(world) == (State.PENDING, Reason.PROCESSING), "one read that lags proves nothing"
    world.move(str(order(world)["id"]), "cancelled", "failed")
    world.live(60)
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)


def test_a_cancel_refused_because_the_order_was_sold_is_for_a_person_unless_it_is_read_so() -> None:
    world = sent_away()
    back(world)
    assert world.call(BACK)
    slot = world.until("cancel_order")
    world.answer(slot, rejected(409, "order_complete", "orderId"))
    world.run()
    assert where(world) == (State.REVIEW, Reason.STALE_ORDER)


def test_what_a_person_has_is_looked_at_daily_and_a_late_accepted_wins() -> None:
    world = sent_away()
    world.cancels = "refused"
    back(world)
    back(world)
    assert where(world) == (State.REVIEW, Reason.STALE_ORDER)
    world.live(3 * 86400)
    assert where(world) == (State.REVIEW, Reason.STALE_ORDER)
    world.move(str(order(world)["id"]), "accepted", "complete")
    world.mail.clear()
    world.live(world.policy.review_look.total_seconds() + 60)
    assert where(world) == (State.ACCEPTED, None)


def test_somebody_is_told_of_a_transfer_that_waits_for_weeks() -> None:
    world = sent_away("funds")
    world.live(timedelta(days=20).total_seconds())
    assert where(world) == (State.PENDING, Reason.FUNDS)
    assert world.alerts == ["pending_too_long"]
    assert view(world.purchase, shop=False).deadline is None, "nothing ends by our clock"


def test_money_on_its_way_is_looked_at_more_and_more_rarely() -> None:
    world = sent_away()
    back(world)
    assert world.call(BACK)
    slot = world.until("inspect_order")
    world.orders[str(order(world)["id"])]["payment"]["session"]["state"] = "complete"
    world.finish(slot)
    before = len(world.decisions)
    world.live(24 * HOUR)
    assert where(world) == (State.PENDING, Reason.PROCESSING)
    assert len(world.decisions) - before < 120


def test_paypal_is_not_even_attached_before_the_shopper_is_back() -> None:
    world = World()
    world.open()
    world.begin()
    world.run()
    assert world.choose(paypal(world))
    world.run()
    assert world.purchase.message == "payment.redirect"
    assert not world.planned("attach_source")
