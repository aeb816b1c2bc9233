"""Submissions without an answer, and calls that the platform did not process (I6)."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.shell.service.stage import Checkout, Json, Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")
SETTLE = timedelta(seconds=1.5)


def at(entry: Json) -> datetime:
    return datetime.fromisoformat(entry["at"])


async def one_order(stage: Stage, checkout: Checkout, bought: Json, seconds: float = 20.0) -> Json:
    """The purchase, accepted with the only order of its only checkout."""
    done = await stage.reaches(bought, "accepted", seconds=seconds)
    [order] = stage.orders(checkout.upstream, live=False)
    assert done["orderId"] == order["id"]
    assert stage.opened(checkout.upstream) == [checkout.id]
    assert len([c for c in stage.charges(checkout.upstream) if c["result"] == "capturable"]) == 1
    stage.in_order(checkout.upstream)
    return done


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("after_commit", {}),
        ("cut", {"where": "before"}),
        ("cut", {"where": "middle"}),
        ("garbage", {}),
        ("hang", {"seconds": 2.6}),
    ],
)
async def test_an_order_whose_answer_was_lost_is_found_and_not_made_again(
    stage: Stage, kind: str, more: dict[str, Any]
) -> None:
    checkout = await stage.paid()
    await stage.fault(checkout, kind, **more)
    bought = await stage.buy(checkout)
    await one_order(stage, checkout, bought)
    assert len(stage.submissions(checkout.upstream)) == 1


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("before_commit", {}),
        ("before_commit", {"status": 500}),
        ("error", {"status": 408, "code": "request_timeout"}),
        ("error", {"status": 404, "code": "not_found", "parameter": "orderId"}),
        ("hang", {"seconds": 2.6, "commits": False}),
    ],
)
async def test_what_was_not_made_is_repeated_on_the_same_checkout_after_settling(
    stage: Stage, kind: str, more: dict[str, Any]
) -> None:
    checkout = await stage.paid()
    await stage.fault(checkout, kind, **more)
    bought = await stage.buy(checkout)
    done = await one_order(stage, checkout, bought)
    first, second = stage.submissions(checkout.upstream)
    assert at(second) - at(first) >= SETTLE
    assert [s["number"] for s in done["submissions"]] == [1, 1]


async def test_an_order_that_is_committed_late_is_found_before_the_repeat(stage: Stage) -> None:
    checkout = await stage.paid()
    await stage.fault(checkout, "late_commit", seconds=0.8)
    bought = await stage.buy(checkout)
    await one_order(stage, checkout, bought)
    assert len(stage.submissions(checkout.upstream)) == 1


async def test_while_the_outcome_is_unknown_nothing_is_opened_or_paid(stage: Stage) -> None:
    checkout = await stage.paid()
    await stage.fault(checkout, "before_commit")
    bought = await stage.buy(checkout)
    assert bought["state"] == "unknown"
    assert bought["shopper"]["nextAction"] is None
    body = {"sourceId": await stage.source(checkout.session)}
    path = f"/v1/purchases/{bought['id']}"
    refused = await stage.call("POST", f"{path}/payment-source", body)
    assert (refused.status_code, refused.json()["state"]) == (409, "unknown")
    corrections = {"checkout": {"email": "other@example.test"}}
    assert (await stage.call("POST", f"{path}/corrections", corrections)).status_code == 409
    await one_order(stage, checkout, bought)


async def test_a_decline_after_an_unknown_outcome_needs_the_proof_that_no_order_exists(
    stage: Stage,
) -> None:
    checkout = await stage.paid()
    await stage.fault(checkout, "before_commit")
    await stage.fault(checkout, "error", status=409, code="insufficient_funds")
    bought = await stage.buy(checkout)
    held = await stage.reaches(bought, "held", "payment_required", seconds=20.0)
    first, _second = stage.submissions(checkout.upstream)
    dead, fresh = stage.opened(checkout.upstream)
    opened = stage.sandbox.world.checkouts[fresh].created
    assert opened >= (at(first) + SETTLE).replace(microsecond=0)
    rules = await stage.rules(held)
    proof = rules.index("submission.rejected_after_unknown")
    assert rules[proof + 1].startswith("rejection.")  # by the look-up after the verdict
    source = await stage.source(held["shopper"]["nextAction"]["sessionId"])
    done = await stage.tell(held, "payment-source", {"sourceId": source})
    assert (done["state"], done["order"]["checkoutId"]) == ("accepted", fresh)
    assert dead != fresh
    stage.in_order(checkout.upstream)


async def test_a_429_is_repeated_after_its_time_under_the_same_number(stage: Stage) -> None:
    checkout = await stage.paid()
    await stage.fault(checkout, "rate_limit", retryAfter=1)
    bought = await stage.buy(checkout)
    assert (bought["state"], bought["reason"]) == ("held", "retry_scheduled")
    done = await one_order(stage, checkout, bought)
    first, second = stage.submissions(checkout.upstream)
    assert (first["status"], second["status"]) == (429, 201)
    assert at(second) - at(first) >= timedelta(seconds=1)
    assert {s["number"] for s in done["submissions"]} == {1}


async def test_a_busy_platform_delays_the_reading_too(stage: Stage) -> None:
    checkout = await stage.paid()
    match = {"method": "GET", "path": f"/checkouts/{checkout.id}"}
    script = {"match": match, "action": {"kind": "before_commit"}, "times": 4}
    await stage.platform("POST", "/_sandbox/faults", {"scripts": [script]})
    await one_order(stage, checkout, await stage.buy(checkout))
    assert len(stage.submissions(checkout.upstream)) == 1


async def declined_with(stage: Stage, kind: str, **more: Any) -> tuple[Json, Checkout]:
    """A declined shopper whose replacement was opened under this fault."""
    checkout = await stage.paid(last="Decline_insufficient_funds")
    await stage.fault(checkout, kind, path="/checkouts", **more)
    held = await stage.reaches(await stage.buy(checkout), "held", "payment_required", 20.0)
    return held, checkout


@pytest.mark.parametrize("kind", ["after_commit", "cut", "hang"])
async def test_a_replacement_whose_answer_was_lost_is_recognised_and_used(
    stage: Stage, kind: str
) -> None:
    more = {"seconds": 2.6} if kind == "hang" else {}
    held, checkout = await declined_with(stage, kind, **more)
    assert held["checkoutIds"] == stage.opened(checkout.upstream)
    assert len(held["checkoutIds"]) == 2
    source = await stage.source(held["shopper"]["nextAction"]["sessionId"])
    done = await stage.tell(held, "payment-source", {"sourceId": source})
    assert done["state"] == "accepted"
    stage.in_order(checkout.upstream)


async def test_a_replacement_that_was_not_opened_is_opened_again(stage: Stage) -> None:
    held, checkout = await declined_with(stage, "before_commit")
    assert held["checkoutIds"] == stage.opened(checkout.upstream)
    assert len(held["checkoutIds"]) == 2
    stage.in_order(checkout.upstream)


async def test_a_replacement_that_appears_late_is_deleted_and_never_used(stage: Stage) -> None:
    held, checkout = await declined_with(stage, "late_commit", seconds=2.0)
    source = await stage.source(held["shopper"]["nextAction"]["sessionId"])
    done = await stage.tell(held, "payment-source", {"sourceId": source})
    assert done["state"] == "accepted"
    late = stage.sandbox.world.ledger.late_commits
    await stage.eventually(held, lambda _: any(e["path"] == "/checkouts" for e in late))
    await stage.eventually(held, lambda p: stage.opened(checkout.upstream) == p["checkoutIds"])
    assert len(stage.submissions(checkout.upstream)) == 2
    stage.in_order(checkout.upstream)


@pytest.mark.parametrize("kind", ["after_commit", "before_commit", "cut"])
async def test_an_attachment_without_an_answer_is_read_back(stage: Stage, kind: str) -> None:
    checkout = await stage.checkout()
    held = await stage.buy(checkout)
    source = await stage.source(checkout.session)
    await stage.fault(checkout, kind, path=f"/checkouts/{checkout.id}/sources/{source}")
    told = await stage.tell(held, "payment-source", {"sourceId": source})
    await one_order(stage, checkout, told)


@pytest.mark.parametrize("kind", ["after_commit", "before_commit", "cut"])
async def test_an_update_without_an_answer_is_read_back(stage: Stage, kind: str) -> None:
    checkout = await stage.paid(email=None)
    held = await stage.buy(checkout)
    assert held["reason"] == "correction_required"
    await stage.fault(checkout, kind, path=f"/checkouts/{checkout.id}")
    told = await stage.tell(held, "corrections", {"checkout": {"email": "ada@example.test"}})
    await one_order(stage, checkout, told)
