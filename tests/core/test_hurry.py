"""Who goes first: shoppers who wait, and what can't wait."""

from datetime import UTC, datetime, timedelta

import pytest

from handlers.hurry import PATIENCE, hurries
from schemas.commands import Permit, ReadCheckout, Submit
from schemas.money import Money
from schemas.purchase import Link, Purchase, Reason, State

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
READ = ReadCheckout(checkout_id="c1", checkout_ids=("c1",), upstream_id="web-1")
SUBMIT = Submit(
    permit=Permit(
        number=1,
        attempt=1,
        checkout_id="c1",
        source_id=None,
        reusable=False,
        version=1,
        epoch=1,
        session_state="requires_confirmation",
        amount_remaining=0.0,
        total=Money(amount=1.0, currency="EUR"),
        granted_at=NOW,
        not_after=NOW + timedelta(seconds=10),
    )
)


def purchase(state: State, reason: Reason | None, called: timedelta) -> Purchase:
    """One whose shopper called so long ago."""
    return Purchase(
        id="pur_1",
        upstream_id="web-1",
        chain=(Link(checkout_id="c1"),),
        state=state,
        reason=reason,
        confirmed_at=NOW - called,
        created_at=NOW - called,
        updated_at=NOW,
    )


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (State.HELD, Reason.CHECKING),
        (State.SUBMITTING, None),
        (State.UNKNOWN, None),
        (State.PENDING, Reason.REDIRECT),
    ],
)
def test_whoever_called_lately_is_waited_for(state: State, reason: Reason | None) -> None:
    assert hurries(purchase(state, reason, PATIENCE), READ, NOW)
    assert not hurries(purchase(state, reason, PATIENCE + timedelta(seconds=1)), READ, NOW)


@pytest.mark.parametrize(
    ("state", "reason"),
    [(State.ACCEPTED, None), (State.LOST, Reason.EXPIRED), (State.REVIEW, Reason.MERGE)],
)
def test_nobody_waits_once_it_is_settled(state: State, reason: Reason | None) -> None:
    assert not hurries(purchase(state, reason, timedelta()), READ, NOW)


def test_a_submission_never_waits_behind_others_because_its_reading_ages() -> None:
    late = purchase(State.SUBMITTING, None, timedelta(days=1))
    assert hurries(late, SUBMIT, NOW)
