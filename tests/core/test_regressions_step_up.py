"""A step-up whose answer was lost, and what crosses it (docs/adr/0009)."""

import pytest

from handlers.chain import Conflict, admit
from schemas.facts import PurchaseRequested
from schemas.purchase import Reason, State
from schemas.requests import PurchaseRequest
from schemas.results import PlatformProblem, Rejected
from tests.core.test_regressions import where
from tests.core.test_step_up import done, submitted, unheard
from tests.core.world import REQUEST, STEP_UP, World, rejected

CLOSED = Rejected(status=409, problems=(PlatformProblem(code="session_update_not_allowed"),))


def late(world: World, code: str = STEP_UP) -> None:
    """The first answer is heard now."""
    world.tell(world.stragglers.pop().model_copy(update={"result": rejected(409, code)}))


def crossed(world: World, answer: str | Rejected, code: str) -> None:
    """The step is done; the first answer is heard while the second submission is under way."""
    world.confirm_at_bank()
    for id in world.behaviour:
        world.behaviour[id] = "good"
    world.come_back()
    slot = world.until("submit")
    result = world.send(slot, answer)
    late(world, code)
    world.answer(slot, result)
    world.live(600)


def test_the_409_itself_may_come_after_its_trace() -> None:
    world = unheard("stalled")
    late(world)
    world.run()
    assert where(world) == (State.HELD, Reason.STEP_UP_REQUIRED)
    assert not world.purchase.declined
    done(world)
    assert where(world) == (State.ACCEPTED, None)
    assert world.purchase.checkout_ids == ("c1",)


@pytest.mark.parametrize("answer", ["busy", rejected(400, "missing_parameter", "shipping.name")])
def test_another_409_that_comes_during_the_second_submission_ends_the_checkout(
    answer: str | Rejected,
) -> None:
    world = unheard("stalled")
    crossed(world, answer, "declined")
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert len(world.purchase.chain) == 2
    assert [entry.again <= 0 for entry in world.purchase.declined] == [True]


def test_the_409_itself_that_comes_during_the_second_submission_changes_nothing() -> None:
    world = unheard("stalled")
    crossed(world, "busy", STEP_UP)
    assert where(world) == (State.ACCEPTED, None)


@pytest.mark.parametrize("code", [STEP_UP, "declined"])
def test_another_source_stays_chosen_when_the_409_is_heard(code: str) -> None:
    world = unheard("stalled")
    world.choose(world.pay("good", saved=True))
    late(world, code)
    world.live(60)
    assert where(world) == (State.ACCEPTED, None)
    assert world.purchase.checkout_ids != ("c1",)


def test_a_400_after_the_step_does_not_speak_for_the_409() -> None:
    world = submitted()
    world.confirm_at_bank()
    world.come_back()
    world.run(rejected(400, "invalid_parameter", "address.postalCode"), on="submit")
    address = {"address": {"postalCode": "10117"}}
    assert world.correct({"shipTo": address, "billTo": address})
    world.run()
    assert len(world.purchase.chain) == 2
    assert [entry.again for entry in world.purchase.declined] == [1]


def test_what_needs_another_checkout_is_refused_before_an_answer_is_heard() -> None:
    world = unheard()
    assert not world.correct({"items": REQUEST["items"]})
    request = PurchaseRequest(checkout_id=world.open())
    assert isinstance(admit(request, None, world.purchase), Conflict)
    world.tell(PurchaseRequested(request=request))  # by an event, which can't be refused
    world.run()
    assert world.purchase.checkout_ids == ("c1",)
    done(world)
    assert where(world) == (State.ACCEPTED, None)


def test_a_checkout_that_is_closed_before_an_answer_is_heard_is_for_a_person() -> None:
    world = unheard()
    world.choose(world.pay("good"))
    world.run(CLOSED, on="attach_source")
    assert where(world) == (State.REVIEW, Reason.UNDECIDED)
    assert world.alerts == ["unknown_not_repeatable"]
    assert world.decided("no_order")
    world.run()
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    world.choose(world.pay("good"))
    world.run()
    assert where(world) == (State.ACCEPTED, None)


def test_who_has_gone_before_the_outcome_settled_is_not_forgotten() -> None:
    world = World()
    world.open()
    world.begin()
    world.run()
    world.choose(world.pay(STEP_UP))
    slot = world.until("submit")
    result = world.send(slot, "cut")
    world.advance(31 * 60)  # the service is down
    world.answer(slot, result)
    world.live(3 * 3600)
    assert world.purchase.state is State.UNKNOWN
    assert world.alerts == ["unknown_not_repeatable"]
