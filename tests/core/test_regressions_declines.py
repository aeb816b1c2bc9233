"""Declines that were nearly forgotten: what was declined once is known from then on (I9)."""

import pytest

from handlers.policy import Policy
from schemas.facts import KeyTaken, KeyWanted, Merge
from schemas.purchase import Condition, Declined, Reason, State
from schemas.results import PlatformProblem, Rejected, Succeeded
from tests.core.test_regressions import HOUR, chosen, where
from tests.core.test_step_up import submitted
from tests.core.world import STEP_UP, World


def declined(world: World) -> dict[str, int]:
    return {entry.source_id: entry.again for entry in world.purchase.declined}


# -- reports that come after the checkout was replaced


def two_checkouts(behaviour: str = "insufficient_funds") -> tuple[World, str, str]:
    """A merchant's checkout with a saved source, and the one that took its place."""
    world = World()
    first = world.open()
    source = world.pay(behaviour, checkout=first, saved=True)
    world.attach(first, source)
    world.begin(submits="merchant")
    world.run()
    assert isinstance(world.merchant_orders(first), Rejected)
    second = world.open()
    assert world.request(checkoutId=second, submits="merchant")
    world.run()
    return world, source, second


def ready_twice() -> tuple[World, str, str, str]:
    """A merchant's two checkouts, both ready; the second has a saved source, which is returned."""
    world = World()
    first = world.open()
    world.attach(first, world.pay("slow", checkout=first))
    world.begin(submits="merchant")
    world.run()
    second = world.open()
    source = world.pay("insufficient_funds", checkout=second, saved=True)
    world.attach(second, source)
    assert world.request(checkoutId=second, submits="merchant")
    world.run()
    return world, first, second, source


def assert_known_after_its_charge_failed(world: World, source: str) -> None:
    """The only order comes to nothing, and the shopper is asked; this source stays declined."""
    [order] = world.orders
    world.advance(5)
    world.fail_charge(order, "declined")
    world.deliver(-1)
    world.run()
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert declined(world)[source] == 0


@pytest.mark.parametrize("attached", ["before", "after"])
def test_a_409_told_after_the_checkout_was_replaced_still_tells_of_its_source(
    attached: str,
) -> None:
    world, source, second = two_checkouts()
    if attached == "before":
        world.attach(second, source)
        assert world.request(checkoutId=second, submits="merchant")
        world.run()
        assert where(world) == (State.HELD, Reason.READY)
    assert world.report(world.reported("c1", 409, "insufficient_funds"))
    world.run()
    assert declined(world) == {source: 0}
    assert world.purchase.chain[0].condition is Condition.DEAD
    assert world.choose(source)
    world.run()
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert world.purchase.attempts == 1


def test_a_reading_under_way_when_the_409_is_told_decides_nothing() -> None:
    world, source, second = two_checkouts()
    world.attach(second, source)
    assert world.request(checkoutId=second, submits="service")
    slot = world.until("read_checkout")
    answer = world.send(slot)
    assert world.report(world.reported("c1", 409, "insufficient_funds"))
    world.answer(slot, answer)
    world.run()
    assert not world.sent
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)


def test_a_409_told_twice_counts_once() -> None:
    world, source, _ = two_checkouts("do_not_honor")
    for _ in range(2):
        assert world.report(world.reported("c1", 409, "do_not_honor"))
        world.run()
    assert declined(world) == {source: 1}
    assert world.purchase.attempts == 1


def test_a_409_told_while_another_checkout_has_the_order_is_remembered() -> None:
    world, source, second = two_checkouts()
    assert world.request(checkoutId=second, submits="service")
    world.run()
    assert world.choose(world.pay("slow"))
    world.run()
    assert where(world) == (State.PENDING, Reason.PROCESSING)
    assert world.report(world.reported("c1", 409, "insufficient_funds"))
    assert where(world) == (State.PENDING, Reason.PROCESSING)
    assert_known_after_its_charge_failed(world, source)


def test_a_409_of_a_checkout_that_is_current_while_a_former_one_has_the_order_is_remembered() -> (
    None
):
    world, first, second, source = ready_twice()
    assert isinstance(world.merchant_orders(first), Succeeded)
    world.deliver()
    world.run()
    assert where(world) == (State.PENDING, Reason.PROCESSING)
    assert isinstance(world.place(second), Rejected)
    assert world.report(world.reported(second, 409, "insufficient_funds"))
    assert_known_after_its_charge_failed(world, source)
    assert len(world.purchase.chain) == 3


def test_an_order_of_a_former_checkout_does_not_hide_what_the_current_one_was_refused_for() -> None:
    world, first, second, source = ready_twice()
    assert isinstance(world.place(second), Rejected)
    assert world.report(world.reported(second, 409, "insufficient_funds"))
    world.place(first)
    world.run()
    assert where(world) == (State.PENDING, Reason.PROCESSING)
    assert_known_after_its_charge_failed(world, source)


def test_a_409_told_after_the_closed_session_was_noticed_still_tells_of_its_source() -> None:
    world = World()
    first = world.open()
    source = world.pay("insufficient_funds", checkout=first, saved=True)
    world.attach(first, source)
    world.begin(submits="merchant")
    world.run()
    assert isinstance(world.merchant_orders(first), Rejected)
    assert world.choose(world.pay("good"))
    closed = Rejected(status=409, problems=(PlatformProblem(code="session_update_not_allowed"),))
    world.run(closed, on="attach_source")
    assert len(world.purchase.chain) == 2
    assert world.report(world.reported(first, 409, "insufficient_funds"))
    world.run()
    assert declined(world) == {source: 0}


# -- our own submissions, answered late


def given_up(behaviour: str = "insufficient_funds") -> tuple[World, str]:
    """A submission whose 409 comes after a person said that there is no order."""
    world = chosen(behaviour, saved=True)
    world.run("stalled", on="submit")
    assert world.purchase.state is State.UNKNOWN
    assert world.decided("no_order")
    return world, world.sent[0].source_id or ""


def test_a_409_that_comes_after_a_person_gave_the_submission_up_ends_the_checkout() -> None:
    world, source = given_up()
    [late] = world.stragglers
    world.tell(late)
    world.run()
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert len(world.sent) == 1
    assert len(world.purchase.chain) == 2
    assert declined(world) == {source: 0}


def test_a_409_that_comes_after_the_checkout_was_replaced_still_tells_of_its_source() -> None:
    world, source = given_up()
    assert world.request(checkoutId=world.open())
    [late] = world.stragglers
    world.tell(late)
    assert world.choose(source)
    world.run()
    assert len(world.sent) == 1
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)


# -- orders whose charge fails later


def test_a_former_checkouts_order_that_was_not_paid_tells_of_its_source() -> None:
    world = World()
    first = world.open()
    source = world.pay("slow", checkout=first, saved=True)
    world.attach(first, source)
    world.begin(submits="merchant")
    world.run()
    second = world.open()
    assert isinstance(world.merchant_orders(first), Succeeded)
    [order] = world.orders
    world.fail_charge(order, "lost_stolen_card")
    world.move(order, "cancelled", "failed")
    world.mail.clear()
    assert world.request(checkoutId=second)
    world.run()
    assert declined(world) == {source: 0}
    world.choose(source)
    world.run()
    assert not world.sent


def test_once_more_is_once_more_also_where_the_charges_fail_later() -> None:
    world = chosen("slow", saved=True)
    for number in (1, 2):
        world.run()
        assert len(world.sent) == number
        source = world.sent[-1].source_id or ""
        world.advance(5)
        world.fail_charge(list(world.orders)[-1], "do_not_honor")
        world.deliver(-1)
        world.run()
        assert declined(world) == {source: 2 - number}
        world.choose(source)
    world.run()
    assert len(world.sent) == 2
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)


def test_a_correction_outlives_an_order_that_was_there_already_and_is_not_paid() -> None:
    world = World()
    first = world.open()
    world.attach(first, world.pay("slow", checkout=first))
    world.begin(submits="merchant")
    world.run()
    assert isinstance(world.merchant_orders(first), Succeeded)
    assert world.correct({"email": "other@example.test"})
    world.run()
    assert where(world) == (State.PENDING, Reason.PROCESSING)
    [order] = world.orders
    world.advance(5)
    world.fail_charge(order, "declined")
    world.deliver(-1)
    world.run()
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    current = world.checkouts[world.purchase.current.checkout_id]
    assert current["email"] == "other@example.test"


# -- two purchases that turn out to be one


@pytest.mark.parametrize("merged", ["stay", "person"])
def test_who_takes_over_takes_over_what_was_declined(merged: Merge) -> None:
    for known, expected in (((), 0), ((Declined(source_id="s1", again=1),), 0)):
        world = World()
        world.open()
        world.begin()
        world.run()
        world.purchase = world.purchase.model_copy(update={"declined": known})
        more = (Declined(source_id="s1", again=expected), Declined(source_id="s2", again=1))
        world.tell(KeyTaken(key="upstream/web-1", owner="pur_2", merge=merged, declined=more))
        assert declined(world) == {"s1": 0, "s2": 1}
        world.tell(KeyWanted(key="upstream/web-1", by="pur_2", merge=merged, declined=more[1:]))
        assert declined(world) == {"s1": 0, "s2": 1}


# -- while the shopper is asked for a step


def test_another_source_chosen_during_a_step_goes_to_a_new_checkout() -> None:
    world = submitted()
    before = list(world.checkouts["c1"]["payment"]["sources"])
    other = world.pay("good", saved=True)
    assert world.choose(other)
    world.run()
    assert world.checkouts["c1"]["payment"]["sources"] == before
    assert world.purchase.chain[0].condition is Condition.DEAD
    assert where(world) == (State.ACCEPTED, None)
    assert [sent.source_id for sent in world.sent][1:] == [other]
    assert [sent.checkout_id for sent in world.sent] == ["c1", world.purchase.chain[1].checkout_id]


def test_a_card_of_the_session_that_asks_for_a_step_is_asked_for_again_on_the_next() -> None:
    world = submitted()
    assert world.choose(world.pay("good"))
    world.run()
    assert len(world.purchase.chain) == 2
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert len(world.planned("attach_source")) == 1
    assert world.choose(world.pay("good"))
    world.run()
    assert where(world) == (State.ACCEPTED, None)


def test_the_same_source_chosen_during_a_step_changes_nothing() -> None:
    world = submitted()
    assert world.choose(world.sent[0].source_id or "")
    world.run()
    assert where(world) == (State.HELD, Reason.STEP_UP_REQUIRED)
    assert len(world.purchase.chain) == 1


def test_a_correction_during_a_step_goes_to_a_new_checkout() -> None:
    world = submitted()
    assert world.correct({"email": "other@example.test"})
    world.run()
    assert not world.planned("update_checkout")
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    current = world.purchase.current.checkout_id
    assert current != "c1"
    assert world.checkouts[current]["email"] == "other@example.test"


def test_another_source_chosen_before_the_session_said_that_it_asks_for_a_step() -> None:
    world = World(policy=Policy(step_up=True))
    world.open()
    world.begin()
    world.run()
    world.choose(world.pay(STEP_UP, saved=True))
    slot = world.until("submit")
    world.finish(slot)
    assert world.choose(world.pay("good", saved=True))
    world.run()
    assert [command.checkout_id for command in world.planned("attach_source")] == [
        "c1",
        world.purchase.chain[1].checkout_id,
    ]
    assert where(world) == (State.ACCEPTED, None)


def test_silence_about_a_former_checkout_does_not_confuse_the_step() -> None:
    world = World(policy=Policy(step_up=True))
    first = world.open()
    world.begin(submits="merchant")
    world.run()
    second = world.open()
    assert world.request(checkoutId=second, submits="service")
    world.run()
    world.choose(world.pay(STEP_UP, saved=True))
    slot = world.until("submit")
    world.finish(slot)
    world.checkouts[second]["payment"]["session"].pop("nextAction")  # it asks for nothing
    assert world.report(world.reported(first, 504))
    world.live(HOUR)
    assert len(world.sent) == 1
    assert world.purchase.chain[1].condition is Condition.DEAD
    assert world.purchase.chain[0].condition is Condition.SUPERSEDED
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
