"""Silence: every wait has its row, and leads to a reading, never to a guess."""

from datetime import timedelta

import pytest

from handlers.policy import Policy
from handlers.waiting import WAITS, End, Looking
from schemas.purchase import REASONS, SHOPPER_HELD, Condition, Reason, State
from schemas.results import Unavailable
from tests.core.world import START, World

HOUR, DAY = 3600.0, 86_400.0


def test_every_state_and_reason_has_its_row_and_no_other() -> None:
    every = {(state, reason) for state, reasons in REASONS.items() for reason in reasons}
    assert set(WAITS) == every


def test_every_wait_names_what_it_expects_and_somebody_who_looks() -> None:
    for (state, reason), row in WAITS.items():
        over = state in (State.ACCEPTED, State.LOST)
        assert row.expects or over, (state, reason)
        assert row.looking is not Looking.NOBODY or over or state is State.REVIEW, (state, reason)


def test_a_deadline_and_what_happens_then_belong_together() -> None:
    for key, row in WAITS.items():
        assert (row.life(Policy()) is None) == (row.end is End.NEVER), key
    for reason in SHOPPER_HELD:
        assert WAITS[State.HELD, reason].life(Policy()) == Policy().hold_deadline


def held(**policy: object) -> World:
    """A purchase that waits for a source."""
    world = World(policy=Policy(**policy))  # type: ignore[arg-type]  # of the tests' own making
    world.open()
    world.begin()
    world.run()
    assert standing(world)[1] is Reason.PAYMENT_REQUIRED
    return world


def standing(world: World) -> tuple[State, Reason | None]:
    return world.purchase.state, world.purchase.reason


def reads(world: World) -> int:
    return len(world.planned("read_checkout"))


def test_an_idle_hold_is_looked_at_more_and_more_rarely_and_a_handful_of_times() -> None:
    world = held()
    at_first = reads(world)
    counted = []
    for seconds in (600, HOUR, 6 * HOUR, DAY, DAY):
        world.live(seconds)
        counted.append(reads(world) - at_first)
    assert counted == [1, 2, 3, 4, 5]
    world.live(8 * DAY)
    assert reads(world) - at_first <= 10
    assert standing(world) == (State.LOST, Reason.EXPIRED)


def test_a_source_whose_webhook_was_lost_is_found_by_the_first_look() -> None:
    world = held()
    world.attach(world.purchase.current.checkout_id, world.pay())
    world.live(599)
    assert standing(world)[0] is State.HELD
    world.live(2)
    assert standing(world)[0] is State.ACCEPTED


@pytest.mark.parametrize("submits", ["service", "merchant"])
def test_an_order_that_nobody_told_of_is_found_by_the_last_look(submits: str) -> None:
    world = World(policy=Policy(held_looks=(), hold_deadline=timedelta(hours=2)))
    world.open()
    world.begin(submits=submits)
    world.run()
    id = world.purchase.current.checkout_id
    world.attach(id, world.pay())
    world.place(id)
    world.mail.clear()
    world.live(2 * HOUR - 1)
    assert standing(world)[0] is State.HELD
    world.live(2)
    assert standing(world)[0] is State.ACCEPTED
    assert world.purchase.chain[0].condition is Condition.CONSUMED


def test_a_merchants_turn_is_looked_at_and_ends_at_its_deadline_only() -> None:
    world = World(policy=Policy(consent_window=timedelta(days=30)))
    world.open()
    world.begin(submits="merchant")
    world.attach("c1", world.pay())
    world.run()
    assert standing(world)[1] is Reason.READY
    before = reads(world)
    world.live(600)
    assert reads(world) == before + 1
    world.live(7 * DAY)
    assert standing(world)[1] is Reason.EXPIRED


def test_nothing_expires_while_the_platform_cannot_be_read() -> None:
    world = held(hold_deadline=timedelta(hours=2))
    world.faults["read_checkout"] = Unavailable(status=503)
    world.live(5 * HOUR)
    assert standing(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    del world.faults["read_checkout"]
    world.live(HOUR)
    assert standing(world)[1] is Reason.EXPIRED


def test_a_last_look_that_shows_something_new_begins_a_new_hold() -> None:
    world = held(held_looks=(), hold_deadline=timedelta(hours=2))
    world.attach("c1", world.pay())
    world.live(2 * HOUR + 1)  # the shopper left long ago: present they are not (I12)
    assert standing(world) == (
        State.HELD,
        Reason.CONFIRMATION_REQUIRED,
    )
    assert world.purchase.deadline is not None
    assert world.purchase.deadline > START + timedelta(hours=3)


def test_looks_end_with_their_hold() -> None:
    world = held()
    world.choose(world.pay())
    world.run()
    assert standing(world)[0] is State.ACCEPTED
    before = reads(world)
    world.live(2 * DAY)
    assert reads(world) == before
    assert "timer.hold_ended" in world.rules


def test_a_pending_order_is_read_now_and_then() -> None:
    world = World()
    world.open()
    world.begin()
    world.run()
    world.choose(world.pay("slow"))
    world.run()
    assert standing(world)[0] is State.PENDING
    world.mail.clear()
    world.move(next(iter(world.orders)), "accepted", "complete")
    world.mail.clear()  # lost
    world.live(HOUR + 1)
    assert standing(world)[0] is State.ACCEPTED


def test_a_shopper_who_acts_during_the_last_look_is_asked_anew_with_a_deadline() -> None:
    world = World(policy=Policy(held_looks=(), hold_deadline=timedelta(hours=2)))
    world.open()
    world.begin()
    world.run()
    source = world.pay("declined")
    world.choose(source)
    world.run()
    assert standing(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    world.until("read_checkout", 3 * HOUR)  # the last look, not yet answered
    assert world.purchase.deadline == world.now
    world.choose(source)  # declined before
    world.run()
    assert standing(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert world.purchase.deadline == world.now + timedelta(hours=2)
    world.live(3 * HOUR)
    assert standing(world)[1] is Reason.EXPIRED
