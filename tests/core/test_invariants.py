"""DESIGN's invariants over facts in any order and number: the world's ledger is the judge."""

import random
import re
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.decide import decide
from handlers.decision import Moment
from handlers.policy import Policy
from schemas.facts import PlatformEvent
from schemas.purchase import SHOPPER_HELD, State
from tests.core.walk import TYPES, Walk, finish
from tests.core.world import FRAUD, HARD, ONCE_MORE, START, World, rejected

CODES = re.compile("|".join({*HARD, *ONCE_MORE, *FRAUD} - {"declined"}) + "|fraud|blocked")


@given(st.binary(min_size=60, max_size=300))
def test_no_order_of_facts_breaks_an_invariant(script: bytes) -> None:
    Walk(script).live()


@given(st.binary(min_size=40, max_size=160))
def test_nobody_waits_for_ever_once_the_shopper_has_left(script: bytes) -> None:
    world = Walk(script).live()
    finish(world)
    purchase = world.purchase
    world.claim(purchase.state not in (State.SUBMITTING, State.HELD), "still not finished")
    alive = [
        order["id"]
        for order in world.orders.values()
        if order["checkoutId"] in purchase.checkout_ids and order["state"] == "accepted"
    ]
    if alive and purchase.state is not State.REVIEW:
        world.claim(purchase.state is State.ACCEPTED, f"paid but not ordered: {alive}")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8) | st.floats(-1e6, 1e6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                (
                    "id",
                    "checkoutId",
                    "orderId",
                    "state",
                    "items",
                    "payment",
                    "session",
                    "charges",
                    "sources",
                    "metadata",
                    "order_rescue",
                    "upstreamId",
                    "updatedTime",
                    "totalAmount",
                )
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(
    st.sampled_from(TYPES) | st.text(max_size=20),
    st.dictionaries(st.sampled_from(("id", "checkoutId", "orderId", "payment", "metadata")), JSON),
)
def test_no_event_whatever_it_holds_makes_a_decision_raise(type: str, body: dict[str, Any]) -> None:
    world = World()
    world.open()
    world.begin()
    world.run()
    fact = PlatformEvent(event_id="e", type=type, object=body, created=START)
    decide(world.purchase, fact, Moment(START, START), Policy())


@pytest.mark.parametrize("body", [{"metadata": 7}, {"payment": 3}, {"id": ["c1"]}, {"id": {}}])
@pytest.mark.parametrize("type", [t for t in TYPES if t])
def test_no_shape_of_an_events_object_makes_a_decision_raise(type: str, body: Any) -> None:
    world = World()
    world.open()
    world.begin()
    world.tell(PlatformEvent(event_id="e", type=type, object={"id": "c9"} | body, created=START))


@dataclass
class Lives:
    """What hundreds of random lives went through, and what was broken in them."""

    rules: set[str] = field(default_factory=set)
    reached: set[str] = field(default_factory=set)
    broken: dict[str, str] = field(default_factory=dict)


@cache
def lives() -> Lives:
    """The same ones every time, lived once."""
    found = Lives()
    for seed in range(900):
        walk = Walk(random.Random(seed).randbytes(250))
        try:
            walk.live()
        except AssertionError as error:
            found.broken.setdefault(str(error).partition("\n")[0], str(error))
        found.rules |= walk.world.rules
        found.reached |= {f"{s}: {r}" if r else str(s) for s, r in walk.world.seen}
    return found


def test_hundreds_of_random_lives_break_no_invariant() -> None:
    assert not lives().broken, "\n\n".join(lives().broken.values())


def test_rule_names_hold_no_codes_and_no_fraud_words() -> None:
    assert not {rule for rule in lives().rules if CODES.search(rule)}


def test_random_lives_reach_every_state_that_matters() -> None:
    wanted = {
        *("held: checking", "held: ready", "held: payment_required", "held: in_flight"),
        *("held: step_up_required", "held: correction_required", "held: confirmation_required"),
        *("held: retry_scheduled", "submitting", "unknown", "pending: redirect"),
        *("pending: funds", "pending: processing", "pending: fraud_review", "accepted"),
        *("lost: fraud", "lost: cancelled", "lost: expired", "lost: stopped", "lost: superseded"),
        *("review: credentials", "review: undecided"),
    }
    assert not wanted - lives().reached


@pytest.mark.parametrize("fault", ["lost", "cut", "late", "stalled", "died"])
def test_a_lost_answer_ends_in_one_order(fault: str) -> None:
    world = World()
    world.open()
    world.begin()
    world.run()
    world.choose(world.pay("good"))
    world.run(fault, on="submit")
    assert world.purchase.state in (State.UNKNOWN, State.ACCEPTED)
    world.live(1800)
    assert world.purchase.state is State.ACCEPTED
    assert len(world.orders) == 1


@pytest.mark.parametrize("fault", ["lost", "cut", "late", "stalled", "died"])
def test_a_lost_answer_past_the_consent_window_is_looked_up_and_not_repeated(fault: str) -> None:
    world = World(policy=Policy(consent_window=timedelta(seconds=60)))
    world.open()
    world.begin()
    world.run()
    world.choose(world.pay("good"))
    world.run(fault, on="submit")
    world.live(timedelta(days=2).total_seconds())
    assert len(world.sent) == 1
    assert len(world.orders) == (fault in ("cut", "late", "stalled"))


@pytest.mark.parametrize("kind", ["open_checkout", "attach_source"])
@pytest.mark.parametrize("fault", ["lost", "cut", "late", "stalled", "died", "busy"])
def test_a_lost_answer_on_the_way_to_the_replacement_still_ends_in_an_order(
    kind: str, fault: str
) -> None:
    world = World()
    world.open()
    world.begin()
    world.run()
    world.choose(world.pay("insufficient_funds"))
    world.run(*((fault,) if kind == "open_checkout" else ()), on="open_checkout")
    world.live(300)
    assert (world.purchase.state, world.purchase.reason) == ("held", "payment_required")
    assert len(world.purchase.chain) == 2
    world.choose(world.pay("good"))
    world.run(*((fault,) if kind == "attach_source" else ()), on="attach_source")
    world.live(300)
    assert world.purchase.state is State.ACCEPTED


def test_five_declines_exhaust_the_purchase() -> None:
    world = World()
    world.open()
    world.begin()
    world.run()
    for _ in range(5):
        assert world.choose(world.pay("insufficient_funds"))
        world.run()
    if world.purchase.state is not State.LOST:
        world.choose(world.pay("good"))
        world.run()
    assert (world.purchase.state, world.purchase.reason) == ("lost", "exhausted")
    assert len(world.sent) == 5


@pytest.mark.parametrize(
    ("sort", "ended"),
    [("payment", ("lost", "expired")), ("in_flight", ("review", "undecided"))],
)
def test_a_hold_ends_at_its_deadline_and_a_person_sees_a_session_that_never_landed(
    sort: str, ended: tuple[str, str]
) -> None:
    world = World(policy=Policy(hold_deadline=timedelta(hours=2)))
    id = world.open()
    if sort == "in_flight":
        world.checkouts[id]["payment"]["session"]["state"] = "processing"
    world.begin()
    world.run()
    assert world.purchase.reason in SHOPPER_HELD
    world.live(timedelta(hours=3).total_seconds())
    assert (world.purchase.state, world.purchase.reason) == ended


def test_the_total_of_the_first_reading_counts_as_confirmed_whatever_comes_between() -> None:
    world = World()
    id = world.open()
    world.begin()
    card = world.pay("good")
    world.choose(card)  # before anything was read; without a total
    world.step()
    world.checkouts[id]["totalAmount"] = 70.0
    world.resettle(id)
    world.run()
    world.live(60)
    assert not world.sent
    assert world.purchase.reason == "confirmation_required"


def test_a_late_409_after_a_repeat_was_planned_touches_nothing_dead() -> None:
    world = World()
    world.open()
    world.begin()
    world.run()
    card = world.pay("insufficient_funds", saved=True)
    world.choose(card)
    world.run("stalled", on="submit")
    world.advance(200)
    while world.due() and world.purchase.state is State.UNKNOWN:
        world.step()
    for straggler in world.stragglers:
        world.tell(straggler)
    world.live(900)
    assert len(world.sent) == 1
    assert len(world.purchase.chain) == 2


@pytest.mark.parametrize("status", [401, 403, 405, 406, 415])
def test_a_fault_of_ours_leaves_the_checkout_as_it_is_and_asks_a_person(status: int) -> None:
    world = World()
    id = world.open()
    world.begin()
    world.run()
    world.choose(world.pay("good"))
    before = world.checkouts[id]["items"]
    world.run(rejected(status), on="submit")
    assert (world.purchase.state, world.purchase.reason) == ("review", "credentials")
    assert len(world.alerts) == 1
    world.live(3600)
    assert len(world.sent) == 1
    assert world.purchase.checkout_ids == (id,)
    assert world.checkouts[id]["items"] == before


def test_an_attachment_put_off_by_a_busy_platform_is_dropped_when_another_source_is_chosen() -> (
    None
):
    world = World()
    id = world.open()
    world.begin()
    world.run()
    first = world.pay("good", saved=True)
    world.choose(first)
    world.run("busy", on="attach_source")  # put off by three seconds
    second = world.pay("good")
    world.choose(second)
    attached = []
    while world.purchase.state is State.HELD:
        assert world.step()
        attached = [source["id"] for source in world.checkouts[id]["payment"]["sources"]]
        if world.purchase.state is State.HELD:
            world.advance(1)
    world.live(60)
    assert attached == [second]
    assert [sent.source_id for sent in world.sent] == [second]


def test_an_attachment_put_off_by_a_busy_platform_never_reaches_a_dead_checkout() -> None:
    world = World()
    id = world.open()
    world.begin()
    world.run()
    world.choose(world.pay("good", saved=True))
    world.run("busy", on="attach_source")  # put off by three seconds
    world.choose(world.pay("insufficient_funds"))
    world.run()
    assert id in world.refused
    world.live(60)
