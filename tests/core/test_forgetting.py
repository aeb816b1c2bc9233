"""What a purchase does once its shopper is forgotten."""

import pytest

from schemas.facts import PersonForgotten
from schemas.purchase import Reason, State
from schemas.results import OutcomeUnknown
from tests.core.world import World

PERSONAL = ("ada@example.test", "Ada Probe", "Teststr. 1", "Berlin", "A message of theirs")


def bought(behaviour: str = "good") -> World:
    world = World()
    world.open()
    world.begin()
    world.run()
    world.choose(world.pay(behaviour))
    return world


def standing(world: World) -> tuple[State, Reason | None]:
    return world.purchase.state, world.purchase.reason


def forget(world: World) -> None:
    world.tell(PersonForgotten())
    text = world.purchase.model_dump_json()
    assert [word for word in PERSONAL if word in text] == []


def test_what_is_held_is_stopped() -> None:
    world = bought("declined")
    world.run()
    assert standing(world)[0] is State.HELD
    forget(world)
    assert standing(world) == (State.LOST, Reason.STOPPED)


def test_a_submission_that_was_not_sent_is_not_sent_any_more() -> None:
    world = bought()
    world.until("submit")
    forget(world)
    assert standing(world)[0] is State.SUBMITTING
    world.live(3600)
    assert standing(world) == (State.LOST, Reason.STOPPED)
    assert world.sent == []


@pytest.mark.parametrize("fault", ["cut", "late"])
def test_an_order_of_a_lost_answer_is_still_found(fault: str) -> None:
    world = bought()
    world.finish(world.until("submit"), fault)
    assert standing(world)[0] is State.UNKNOWN
    forget(world)
    world.live(3600)
    assert standing(world)[0] is State.ACCEPTED


def test_a_lost_answer_without_an_order_is_looked_up_and_never_repeated() -> None:
    world = bought()
    world.run("lost", on="submit")
    forget(world)
    world.live(3600)
    assert standing(world) == (State.LOST, Reason.STOPPED)
    assert len(world.sent) == 1


def test_a_rejection_that_comes_afterwards_opens_nothing() -> None:
    world = bought("declined")
    slot = world.until("submit")
    result = world.send(slot)
    assert not isinstance(result, OutcomeUnknown)
    forget(world)
    world.answer(slot, result)
    world.live(3600)
    assert standing(world) == (State.LOST, Reason.STOPPED)
    assert world.planned("open_checkout") == []
    assert "theirs" not in world.purchase.model_dump_json()


@pytest.mark.parametrize(
    ("behaviour", "state"), [("watched", "accepted"), ("slow", "accepted"), ("funds", "cancelled")]
)
def test_a_pending_order_is_followed_to_its_end(behaviour: str, state: str) -> None:
    world = bought(behaviour)
    world.run()
    assert standing(world)[0] is State.PENDING
    forget(world)
    assert standing(world)[0] is State.PENDING
    world.mail.clear()
    world.move(next(iter(world.orders)), state)
    world.deliver()
    world.run()
    assert standing(world)[0] is (State.ACCEPTED if state == "accepted" else State.LOST)
    assert world.purchase.next_action is None


def test_a_late_order_beats_the_stop() -> None:
    world = bought("declined")
    world.run()
    forget(world)
    id = world.purchase.current.checkout_id
    world.attach(id, world.pay(checkout=id))
    world.place(id)
    world.deliver()
    world.run()
    assert standing(world)[0] is State.ACCEPTED


def test_forgetting_again_changes_nothing() -> None:
    world = bought()
    world.run()
    forget(world)
    before = world.purchase
    forget(world)
    assert world.purchase == before
    assert before.state is State.ACCEPTED
