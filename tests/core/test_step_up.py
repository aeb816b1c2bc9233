"""PLATFORM §4.2, §8 #4: the one flagged exception to I3."""

from typing import Any

import pytest

from handlers.policy import Policy
from schemas.facts import CancelRequested
from tests.core.world import REQUEST, STEP_UP, World, rejected


def submitted(*, flag: bool = True, saved: bool = True, **changes: Any) -> World:
    """A card whose submission is answered with the step-up 409, and all that follows at once."""
    world = World(policy=Policy(step_up=flag))
    world.open(request=REQUEST | changes)
    world.begin(createRequest=REQUEST | changes)
    world.run()
    world.choose(world.pay(STEP_UP, saved=saved))
    world.run()
    return world


def done(world: World, behaviour: str = "good") -> None:
    """The storefront has run the step; the next submission meets this."""
    world.confirm_at_bank()
    for id in world.behaviour:
        world.behaviour[id] = behaviour
    world.come_back()
    world.run()


def test_without_the_flag_the_checkout_is_dead() -> None:
    world = submitted(flag=False)
    assert world.purchase.checkout_ids[0] in world.refused
    assert len(world.purchase.chain) == 2
    assert "step_up.look" not in world.rules


def test_a_session_that_asks_for_the_step_holds_the_same_checkout() -> None:
    world = submitted()
    purchase = world.purchase
    assert (purchase.state, purchase.reason) == ("held", "step_up_required")
    session = world.checkouts["c1"]["payment"]["session"]["id"]
    assert purchase.next_action == {
        "action": "step_up",
        "checkoutId": "c1",
        "sessionId": session,
    }
    assert purchase.checkout_ids == ("c1",)
    assert purchase.deadline is not None


def test_after_the_step_the_same_checkout_is_submitted_once_more() -> None:
    world = submitted()
    done(world)
    assert world.purchase.state == "accepted"
    assert [(s.checkout_id, s.number) for s in world.sent] == [("c1", 1), ("c1", 2)]


def test_a_single_use_source_lives_through_the_step() -> None:
    world = submitted(saved=False)
    done(world)
    assert world.purchase.state == "accepted"


def test_back_without_having_done_the_step_it_is_asked_again() -> None:
    world = submitted()
    world.come_back()
    world.run()
    assert world.purchase.reason == "step_up_required"
    assert len(world.sent) == 1


def test_a_second_such_409_is_the_end_of_the_checkout() -> None:
    world = submitted()
    done(world, STEP_UP)
    assert "c1" in world.refused
    assert len(world.purchase.chain) == 2
    assert world.purchase.reason == "payment_required"


def test_a_session_that_asks_for_nothing_means_dead() -> None:
    world = World(policy=Policy(step_up=True))
    world.open()
    world.begin()
    world.run()
    world.choose(world.pay("good", saved=True))
    world.run(rejected(409, STEP_UP), on="submit")
    assert len(world.sent) == 1
    assert len(world.purchase.chain) == 2
    assert world.purchase.reason == "payment_required"


@pytest.mark.parametrize("charge", ["merchant_initiated", "moto"])
def test_where_sca_does_not_apply_there_is_no_step(charge: str) -> None:
    world = submitted(chargeType=charge)
    assert "step_up.look" not in world.rules
    assert len(world.purchase.chain) == 2


def test_a_409_with_a_second_code_is_no_step_up() -> None:
    world = World(policy=Policy(step_up=True))
    world.open()
    world.begin()
    world.run()
    world.choose(world.pay("good"))
    both = rejected(409, STEP_UP)
    both = both.model_copy(
        update={"problems": (*both.problems, *rejected(409, "failed-request").problems)}
    )
    world.run(both, on="submit")
    assert "step_up.look" not in world.rules
    assert len(world.purchase.chain) == 2


def test_the_source_is_not_counted_as_declined_for_it() -> None:
    world = submitted()
    assert not world.purchase.declined
    done(world, STEP_UP)
    assert world.purchase.declined[0].again == 1


def test_both_submissions_count_against_the_budget() -> None:
    world = World(policy=Policy(step_up=True, max_submissions=1))
    world.open()
    world.begin()
    world.run()
    world.choose(world.pay(STEP_UP, saved=True))
    world.run()
    assert (world.purchase.state, world.purchase.reason) == ("lost", "exhausted")


def test_cancelled_during_the_step_nothing_is_submitted_again() -> None:
    world = submitted()
    assert world.call(CancelRequested())
    done(world)
    assert (world.purchase.state, world.purchase.reason) == ("lost", "cancelled")
    assert len(world.sent) == 1


@pytest.mark.parametrize("fault", ["lost", "cut", "late", "stalled", "died"])
def test_a_lost_answer_after_the_step_ends_in_one_order(fault: str) -> None:
    world = submitted()
    world.confirm_at_bank()
    for id in world.behaviour:
        world.behaviour[id] = "good"
    world.come_back()
    world.run(fault, on="submit")
    world.live(900)
    assert world.purchase.state == "accepted"
    assert len(world.orders) == 1


def test_back_when_nothing_was_asked_changes_nothing() -> None:
    world = World(policy=Policy(step_up=True))
    world.open()
    world.begin()
    world.run()
    before = world.purchase
    world.come_back()
    assert world.purchase == before


@pytest.mark.parametrize("fault", ["cut", "stalled"])
def test_a_409_that_nobody_heard_is_known_by_its_trace_after_settling(fault: str) -> None:
    world = World(policy=Policy(step_up=True))
    world.open()
    world.begin()
    world.run()
    world.choose(world.pay(STEP_UP))
    world.run(fault, on="submit")
    assert world.purchase.state == "unknown"
    world.live(world.policy.settle.total_seconds() / 2)
    assert world.purchase.state == "unknown"
    world.live(world.policy.settle.total_seconds())
    assert (world.purchase.state, world.purchase.reason) == ("held", "step_up_required")
    done(world)
    assert world.purchase.state == "accepted"
    assert [(s.checkout_id, s.number) for s in world.sent] == [("c1", 1), ("c1", 2)]


def unheard(fault: str = "cut") -> World:
    """The step is asked for although its 409 was lost, or is still to come (`stalled`)."""
    world = World(policy=Policy(step_up=True))
    world.open()
    world.begin()
    world.run()
    world.choose(world.pay(STEP_UP, saved=True))
    world.run(fault, on="submit")
    world.live(1.5 * world.policy.settle.total_seconds())
    assert world.purchase.reason == "step_up_required"
    return world


def test_a_step_done_before_it_was_asked_for_is_submitted_on_the_same_checkout() -> None:
    world = World(policy=Policy(step_up=True))
    world.open()
    world.begin()
    world.run()
    world.choose(world.pay(STEP_UP))
    world.run("cut", on="submit")
    while "step_up.look" not in world.rules:
        assert world.step() or world.purchase.state == "unknown"
        world.advance(1)
    for id in world.behaviour:
        world.behaviour[id] = "good"
    world.confirm_at_bank()
    world.run()
    assert world.purchase.state == "accepted"
    assert {sent.checkout_id for sent in world.sent} == {"c1"}


def test_another_source_instead_of_a_step_that_nobody_heard_of_goes_to_the_same_checkout() -> None:
    world = unheard()
    second = world.pay("good", saved=True)
    world.choose(second)
    world.run()
    assert world.purchase.state == "accepted"
    assert world.purchase.checkout_ids == ("c1",)
    assert world.sent[-1].source_id == second


@pytest.mark.parametrize(("flag", "stepped"), [(False, False), (True, True)])
def test_without_the_flag_or_a_second_time_a_person_is_told(flag: bool, stepped: bool) -> None:
    world = World(policy=Policy(step_up=flag))
    world.open()
    world.begin()
    world.run()
    world.choose(world.pay(STEP_UP))
    if stepped:
        world.run()
        for id in world.behaviour:
            world.behaviour[id] = STEP_UP
        world.confirm_at_bank()
        world.come_back()
    world.run("cut", on="submit")
    world.live(3600)
    assert world.purchase.state == "unknown"
    assert world.alerts == ["unknown_not_repeatable"]
    assert len(world.sent) == 1 + stepped
