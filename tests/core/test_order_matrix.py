"""PLATFORM §4.1: what an order means when `POST /orders` answers 201, row by row."""

from typing import Any

import pytest

from handlers.matrix import MATRIX, Ending, Meaning, meaning
from handlers.presentation import view
from schemas.purchase import ChargeState, OrderRecord, Purchase, Reason, State
from tests.core.test_regressions import chosen, where
from tests.core.world import World

PAGE = {"action": "redirect", "data": {"redirectUrl": "https://pay.example.test/1"}}
INSTRUCTIONS = {"action": "show_payment_instructions", "data": {"sourceId": "src-told"}}
BROKEN = ("failed", "cancelled", "requires_source", "requires_action", "requires_confirmation")


def placed(state: str, session: str, action: Any = None, fraud: str | None = None) -> World:
    """A submission that is answered with an order like this."""
    world = chosen()
    world.blur = {
        "state": state,
        "fraudState": fraud,
        "payment": {"session": {"state": session, "nextAction": action}},
    }
    world.run()
    assert len(world.sent) == 1
    return world


def shown(world: World) -> Purchase:
    assert view(world.purchase, shop=False).fulfil is (world.purchase.state is State.ACCEPTED)
    return world.purchase


def test_row_1_accepted_is_success_and_is_fulfilled() -> None:
    world = placed("accepted", "complete", fraud="passed")
    assert where(world) == (State.ACCEPTED, None)
    assert shown(world).message == "order.accepted"


def test_row_2_in_review_waits_and_is_neither_retried_nor_fulfilled() -> None:
    world = placed("in_review", "complete", fraud="review_opened")
    assert where(world) == (State.PENDING, Reason.FRAUD_REVIEW)
    world.live(3600 * 5)
    assert len(world.sent) == 1
    assert len(shown(world).chain) == 1


def test_row_3_pending_redirect_sends_the_shopper_to_the_provider() -> None:
    world = placed("pending_payment", "pending_redirect", PAGE)
    assert where(world) == (State.PENDING, Reason.REDIRECT)
    url = PAGE["data"]["redirectUrl"]  # type: ignore[index]  # a literal of this file
    assert shown(world).next_action == {"action": "redirect", "redirectUrl": url}
    assert world.purchase.deadline is not None


def test_row_4_pending_redirect_without_a_page_is_refreshed_once_then_replaced() -> None:
    world = chosen("redirect")
    source = {"id": next(iter(world.sources)), "type": "klarnaCredit"}
    session = {"state": "pending_redirect"}
    world.blur = {"payment": {"sources": [source], "session": session}}
    world.run()
    assert {"order.no_page", "order.no_page_again", "order.cancel_stale"} <= world.rules
    assert sum(d.rule == "order.no_page" for d in world.decisions) == 1


def test_row_5_pending_funds_shows_the_instructions() -> None:
    world = placed("pending_payment", "pending_funds", INSTRUCTIONS)
    assert where(world) == (State.PENDING, Reason.FUNDS)
    wanted = {"action": "show_payment_instructions", "sourceId": "src-told"}
    assert shown(world).next_action == wanted


def test_row_6_pending_funds_without_instructions_names_the_orders_own_source() -> None:
    world = chosen("funds")
    world.blur = {"payment": {"sources": [{"id": "src-own", "type": "konbini"}],
                              "session": {"state": "pending_funds"}}}  # fmt: skip
    world.run()
    assert where(world) == (State.PENDING, Reason.FUNDS)
    wanted = {"action": "show_payment_instructions", "sourceId": "src-own"}
    assert shown(world).next_action == wanted


def test_row_7_pending_waits_for_events() -> None:
    world = placed("pending_payment", "pending")
    assert where(world) == (State.PENDING, Reason.PROCESSING)
    assert shown(world).next_action is None
    assert not world.planned("cancel_order")


@pytest.mark.parametrize("session", BROKEN)
def test_row_8_any_other_session_is_unrecoverable_so_the_order_is_cancelled_and_replaced(
    session: str,
) -> None:
    world = chosen()
    world.behaviour = dict.fromkeys(world.behaviour, "broken")
    world.blur = {}
    slot = world.until("submit")
    world.finish(slot)
    order = next(iter(world.orders.values()))
    order["payment"]["session"]["state"] = session
    world.run()
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert order["state"] == "cancelled"
    assert len(shown(world).chain) == 2
    assert (world.purchase.next_action or {})["checkoutId"] == world.purchase.current.checkout_id


@pytest.mark.parametrize("session", ["confirmed", "processing", "chargeable", "complete"])
def test_row_8_a_session_that_may_bring_money_is_awaited_and_not_cancelled(session: str) -> None:
    world = placed("pending_payment", session)
    assert where(world) == (State.PENDING, Reason.PROCESSING)
    assert not world.planned("cancel_order")
    world.live(600)
    assert len(shown(world).chain) == 1


def test_row_9_blocked_is_the_end_and_reads_like_any_other_end() -> None:
    world = placed("blocked", "complete", fraud="blocked")
    assert where(world) == (State.LOST, Reason.BLOCKED)
    assert view(world.purchase, shop=True).reason == "exhausted"
    assert shown(world).message == "order.failed"


def test_row_10_cancelled_at_once_asks_for_new_payment() -> None:
    world = placed("cancelled", "complete")
    assert where(world) == (State.HELD, Reason.PAYMENT_REQUIRED)
    assert len(shown(world).chain) == 2


@pytest.mark.parametrize("state", ["fulfilled", "complete", "returned", "dispute"])
def test_row_11_later_states_count_as_placed(state: str) -> None:
    world = placed(state, "complete")
    assert world.purchase.state is State.ACCEPTED
    assert not view(world.purchase, shop=False).fulfil


def test_row_12_an_unknown_state_is_read_again_and_goes_to_a_person() -> None:
    world = placed("levitating", "complete")
    assert where(world) == (State.REVIEW, Reason.UNDECIDED)
    assert world.alerts == ["order_state_unknown"]
    assert any(p.command.kind == "read_order" for d in world.decisions for p in d.commands)
    assert len(shown(world).chain) == 1
    world.blur = {}
    world.move(next(iter(world.orders)), "accepted")
    world.deliver(-1)
    world.run()
    assert where(world) == (State.ACCEPTED, None)


@pytest.mark.parametrize("session", [None, "a_future_state"])
def test_row_12_an_unknown_session_is_not_taken_for_a_failed_one(session: str | None) -> None:
    world = placed("pending_payment", session or "")
    assert where(world) == (State.REVIEW, Reason.UNDECIDED)
    assert not world.planned("cancel_order")


def record(**fields: Any) -> OrderRecord:
    return OrderRecord(id="o", checkout_id="c", **fields)


def test_every_row_of_the_matrix_is_reached_and_the_first_counts() -> None:
    charge = (ChargeState(id="a", state="failed"),)
    for row in MATRIX:
        for state in row.states or {"levitating"}:
            for session in row.sessions or {None, "complete"}:
                seen = record(
                    state=state,
                    session_state=session,
                    charges=charge if row.charges_failed else (),
                    cancel_reason="fraud" if row.ending is Ending.FRAUD else None,
                )
                given_up = row.ending is Ending.UNPAID
                found = meaning(seen, page=bool(row.page), given_up=given_up)
                assert found is row.meaning, (row.number, state, session)


@pytest.mark.parametrize("state", ["cancelled", "failed"])
def test_a_pending_order_whose_charges_all_failed_can_not_be_paid(state: str) -> None:
    charges = (ChargeState(id="a", state="failed"), ChargeState(id="b", state=state))
    lost = record(state="pending_payment", session_state="pending", charges=charges)
    assert meaning(lost, page=False) is Meaning.FAILED
    alive = lost.model_copy(update={"charges": (*charges, ChargeState(id="c", state="pending"))})
    assert meaning(alive, page=False) is Meaning.PROCESSING
