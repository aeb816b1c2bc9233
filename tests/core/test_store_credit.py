"""PLATFORM §3.5 and §2.14: store credit follows the shopper to the next checkout, once."""

from datetime import timedelta
from typing import Any

import pytest

from handlers.policy import Policy
from schemas.facts import CancelRequested
from schemas.results import Rejected, Succeeded
from tests.core.world import REQUEST, World, rejected


def with_credit(*amounts: float, card: str | None = "insufficient_funds", **fields: Any) -> World:
    """Credits and a card on the first checkout, handed over and submitted."""
    world = World()
    world.open()
    for amount in amounts:
        world.give(amount)
    if card:
        world.attach("c1", world.pay(card, checkout="c1", saved=bool(fields.pop("saved", False))))
    world.begin(**fields)
    world.run()
    return world


def current(world: World) -> str:
    return world.purchase.current.checkout_id


def sequence(world: World, checkout_id: str) -> list[str]:
    """The types of what was attached to a checkout, in order."""
    planned = [c for c in world.planned("attach_source") if c.checkout_id == checkout_id]
    return [world.sources[c.source_id]["type"] for c in planned]


# 1. Single-use primary: create and attach all credits first, primary last


def test_single_use_primary_all_credits_come_first_and_it_comes_last() -> None:
    world = with_credit(20.0, 10.0)
    assert world.purchase.reason == "payment_incomplete"
    assert world.purchase.message == "payment.declined"
    assert world.credits_on(current(world)) == [20.0, 10.0]
    world.choose(world.pay("good"))
    world.run()
    assert world.purchase.state == "accepted"
    assert sequence(world, current(world)) == ["customerCredit", "customerCredit", "creditCard"]


def test_the_credits_are_made_for_the_new_session_with_their_own_data() -> None:
    world = with_credit(20.0)
    made = world.planned("create_credit")[0]
    session = world.checkouts[current(world)]["payment"]["session"]["id"]
    assert (made.session_id, made.amount, made.upstream_id) == (session, 20.0, "line-20.0")
    assert made.owner["lastName"] == "Probe"


def test_a_primary_chosen_before_the_credits_are_there_waits_for_them() -> None:
    world = with_credit(20.0)
    world.choose(world.pay("insufficient_funds"))
    world.until("open_checkout")
    world.step()  # the third checkout is open, nothing is on it
    world.choose(world.pay("good"))
    world.run()
    assert sequence(world, current(world)) == ["customerCredit", "creditCard"]
    assert world.purchase.state == "accepted"


def test_after_a_single_use_primary_a_credit_goes_visibly() -> None:
    world = with_credit(20.0)
    world.choose(world.pay("insufficient_funds"))
    world.until("create_credit")
    world.attach(current(world), world.pay("good"))  # the front end's page was faster
    world.request(checkout_id=current(world))  # and the storefront says so
    world.run()
    assert not world.credits_on(current(world))
    assert "credit.after_primary" in world.rules
    assert len(world.sent) == 2  # nothing is charged in full without the shopper's word
    assert (world.purchase.reason, world.purchase.message) == (
        "payment_incomplete",
        "payment.declined",
    )
    world.request(checkout_id=current(world))
    world.run()
    assert world.purchase.state == "accepted"


# 2. Saved (reusable) primary: any order


def test_saved_primary_credits_may_come_after_it() -> None:
    world = with_credit(20.0)
    world.choose(world.pay("insufficient_funds"))
    world.until("create_credit")
    world.attach(current(world), world.pay("good", saved=True))
    world.run()
    assert world.credits_on(current(world)) == [20.0]
    assert world.purchase.state == "accepted"


# 3. Credit only


def test_credit_only_the_order_is_placed_without_a_primary() -> None:
    world = with_credit(50.0, 14.86, card=None)
    assert world.purchase.state == "accepted"
    assert world.sent[0].source_id is None


def test_credit_only_that_is_short_waits_for_the_rest() -> None:
    world = with_credit(50.0, card=None)
    assert (world.purchase.state, world.purchase.reason) == ("held", "payment_incomplete")
    assert not world.sent


@pytest.mark.parametrize("billed", [True, False])
def test_credit_only_the_last_owner_or_the_bill_to_is_billed(billed: bool) -> None:
    world = World()
    request = {k: v for k, v in REQUEST.items() if k != "billTo"}
    world.open(request=request)
    world.give(64.86)
    if not billed:
        world.checkouts["c1"]["payment"]["sources"][0]["owner"] = {"firstName": "Ada"}
    world.begin(create=False)
    world.run()
    assert (world.purchase.state == "accepted") is billed
    assert ("gate.billing_incomplete" in world.rules) is not billed


def test_credit_only_after_corrected_data_it_is_ordered_on_the_replacement() -> None:
    world = World()
    world.open()
    world.give(64.86)
    world.begin()
    world.run(rejected(409, "create-order-failed"), on="submit")
    assert world.purchase.state == "accepted"
    assert world.credits_on(current(world)) == [64.86]
    assert len(world.purchase.chain) == 2


def test_credit_only_that_was_refused_is_not_tried_again_by_itself() -> None:
    world = World()
    world.open()
    world.give(64.86)
    world.begin()
    world.run(rejected(409, "failed-request"), on="submit")
    world.live(3600)
    assert len(world.sent) == 1
    assert world.purchase.reason == "payment_required"
    world.choose(world.pay("good"))
    world.run()
    assert world.purchase.state == "accepted"


# Never doubled


@pytest.mark.parametrize("kind", ["create_credit", "attach_source"])
@pytest.mark.parametrize("fault", ["lost", "cut", "late", "stalled", "died", "busy"])
def test_a_lost_answer_neither_doubles_nor_loses_a_credit(kind: str, fault: str) -> None:
    world = World()
    world.open()
    world.give(20.0)
    world.attach("c1", world.pay("insufficient_funds", checkout="c1"))
    world.begin()
    world.run(fault, on=kind)
    world.live(600)
    assert world.credits_on(current(world)) == [20.0]
    world.choose(world.pay("good"))
    world.live(60)
    assert world.purchase.state == "accepted"


def test_a_credit_that_the_storefront_made_itself_is_not_made_again() -> None:
    world = with_credit(20.0)
    world.choose(world.pay("insufficient_funds"))
    world.until("create_credit")
    world.given[current(world)] = 0.0
    world.give(20.0, current(world))
    world.request(checkout_id=current(world))
    world.run()
    assert world.credits_on(current(world)) == [20.0]


def test_another_credit_of_the_storefront_takes_the_place_of_ours() -> None:
    world = with_credit(20.0, 10.0)
    world.choose(world.pay("insufficient_funds"))
    world.until("create_credit")
    world.given[current(world)] = 0.0
    world.give(25.0, current(world))
    world.request(checkout_id=current(world))
    world.run()
    assert world.credits_on(current(world)) == [25.0]


def test_a_credit_that_the_storefront_took_away_stays_away() -> None:
    world = with_credit(20.0, card=None)
    id = world.checkouts["c1"]["payment"]["sources"][0]["id"]
    world.detach("c1", id)
    world.choose(world.pay("insufficient_funds"))
    world.run()
    assert world.purchase.credits == ()
    assert not world.planned("create_credit")


def test_the_storefronts_next_checkout_has_the_credits_that_are_on_it() -> None:
    world = with_credit(20.0, card=None)
    other = world.open()
    world.request(checkout_id=other)
    world.run()
    assert world.purchase.credits == ()
    assert not world.planned("create_credit")


# Refusals


def test_a_total_that_shrank_caps_the_credit() -> None:
    world = World()
    world.open()
    world.give(60.0)
    world.attach("c1", world.pay("insufficient_funds", checkout="c1"))
    world.begin()
    world.extra_total = -24.86
    world.run()
    assert world.credits_on(current(world)) == [40.0]


def test_a_total_that_shrank_under_our_hands_caps_the_credit() -> None:
    world = with_credit(60.0)
    world.choose(world.pay("insufficient_funds"))
    slot = world.until("create_credit")
    world.finish(slot)
    world.checkouts[current(world)]["totalAmount"] = 40.0
    world.resettle(current(world))
    world.run()
    assert world.credits_on(current(world)) == [40.0]
    assert "credit.cap" in world.rules


@pytest.mark.parametrize(
    "answer",
    [
        rejected(409, "session_update_not_allowed"),
        rejected(409, "session_source_amount_too_large"),
        rejected(400, "unheard-of", "x"),
    ],
)
@pytest.mark.parametrize("kind", ["create_credit", "attach_source"])
def test_a_refused_credit_goes_visibly_and_the_shopper_is_asked(
    kind: str, answer: Rejected
) -> None:
    world = World()
    world.open()
    world.give(20.0)
    world.attach("c1", world.pay("create-order-failed", checkout="c1"))
    world.begin()
    world.faults[kind] = answer
    world.run()
    assert world.rules & {"credit.refused", "credit.too_large"}
    assert world.purchase.reason == "payment_required"
    del world.faults[kind]
    world.choose(world.pay("good"))
    world.run()
    assert world.purchase.state == "accepted"
    assert world.credits_on(current(world)) == []


# Holds released


@pytest.mark.parametrize("how", ["cancelled", "expired", "stopped"])
def test_a_lost_purchase_gives_back_what_is_on_its_open_checkout(how: str) -> None:
    world = World(policy=Policy(hold_deadline=timedelta(hours=1)))
    world.open()
    credit = world.give(20.0)
    world.begin()
    world.run()
    match how:
        case "cancelled":
            world.call(CancelRequested())
        case "expired":
            world.live(7200)
        case _:
            world.purchase = world.purchase.model_copy(
                update={"state": "review", "reason": "undecided"}
            )
            world.decided("stop")
    world.run()
    assert (world.purchase.state, world.purchase.reason) == ("lost", how)
    assert world.sources[credit]["state"] == "cancelled"
    assert world.credits_on("c1") == []


@pytest.mark.parametrize("fault", ["lost", "cut", "stalled", "died", "busy"])
def test_a_release_is_repeated_until_it_is_known(fault: str) -> None:
    world = with_credit(20.0, card=None)
    world.call(CancelRequested())
    world.run(fault, on="detach_source")
    world.live(60)
    assert world.credits_on("c1") == []


def test_a_credit_attached_after_the_end_is_given_back() -> None:
    world = with_credit(20.0)
    world.choose(world.pay("insufficient_funds"))
    world.until("create_credit")
    world.step()
    slot = world.until("attach_source")
    answer = world.send(slot)
    world.call(CancelRequested())
    world.answer(slot, answer)
    world.run()
    assert world.credits_on(current(world)) == []


def test_nothing_of_a_dead_checkout_is_touched() -> None:
    world = with_credit(20.0, card="order-fraud-failure")
    world.live(60)
    assert world.purchase.state == "lost"
    assert not world.planned("detach_source")


def test_nothing_is_touched_after_a_409_that_a_cancel_overtook() -> None:
    world = World()
    world.open()
    world.give(20.0)
    world.attach("c1", world.pay("insufficient_funds", checkout="c1"))
    world.begin()
    world.run("stalled", on="submit")
    for answer in world.stragglers:
        world.tell(answer)
    world.call(CancelRequested())
    world.live(3600)
    assert (world.purchase.state, world.purchase.reason) == ("lost", "cancelled")
    assert not world.planned("detach_source")


def test_nothing_is_given_back_after_an_order() -> None:
    world = with_credit(20.0, card="good")
    assert world.purchase.state == "accepted"
    world.move(next(iter(world.orders)), "cancelled")
    world.deliver(-1)
    world.live(60)
    assert not world.planned("detach_source")


def test_nothing_is_given_back_where_a_late_order_is_possible() -> None:
    world = World()
    world.open()
    world.give(20.0)
    world.attach("c1", world.pay("good", checkout="c1"))
    world.begin()
    world.run("died", on="submit")
    world.call(CancelRequested())
    world.live(3600)
    assert (world.purchase.state, world.purchase.reason) == ("lost", "cancelled")
    assert not world.planned("detach_source")


def test_a_checkout_that_we_replaced_gives_its_credits_back() -> None:
    world = with_credit(20.0, card=None)
    world.correct({"items": [{"skuId": "k", "quantity": 1}]})
    world.run()
    assert world.credits_on("c1") == []
    assert world.credits_on(current(world)) == [20.0]


def test_credit_of_a_checkout_of_which_an_order_was_told_is_not_given_back_unread() -> None:
    world = World()
    world.open()
    world.give(64.86)
    world.begin(submits="merchant")
    world.run()
    assert isinstance(world.merchant_orders("c1"), Succeeded)
    world.deliver()  # the order is to be read now, and before that
    world.tell(CancelRequested())
    world.run(rejected(401), on="read_order")
    assert "detach_source" not in {slot.command.kind for slot in world.slots.values()}
