"""Webhooks: what they settle, and that nothing depends on each of them (PLATFORM §6.2)."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.shell.service.serving import OPS, eventually
from tests.shell.service.stage import DECLINED_CARD, Json, Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def trouble(stage: Stage) -> AsyncIterator[Stage]:
    """The stage, whose webhooks a test may disturb for all."""
    yield stage
    await stage.http.delete(stage.sandbox.url + "/_sandbox/faults")


async def disturb(stage: Stage, **rates: object) -> None:
    await stage.platform("POST", "/_sandbox/faults", {"rates": rates})


async def test_an_order_in_review_is_accepted_by_its_event(stage: Stage) -> None:
    checkout = await stage.paid(last="Review")
    pending = await stage.buy(checkout)
    assert (pending["state"], pending["reason"], pending["fulfil"]) == (
        *("pending", "processing"),
        False,
    )
    operators = await stage.purchase(pending["id"], OPS)
    assert operators["reason"] == "fraud_review"
    done = await stage.reaches(pending, "accepted")
    assert done["fulfil"] is True
    assert len(stage.submissions(checkout.upstream)) == 1


async def test_an_order_in_review_that_is_blocked_is_lost(stage: Stage) -> None:
    checkout = await stage.paid(last="ReviewBlock")
    pending = await stage.buy(checkout)
    lost = await stage.reaches(pending, "lost", "exhausted")
    assert "block" not in str(lost)
    assert (await stage.purchase(pending["id"], OPS))["reason"] == "blocked"
    assert lost["fulfil"] is False
    assert stage.opened(checkout.upstream) == [checkout.id]


async def test_an_order_cancelled_after_acceptance_is_no_longer_fulfilled(stage: Stage) -> None:
    checkout = await stage.paid()
    done = await stage.buy(checkout)
    await stage.platform(
        "POST", f"/_sandbox/orders/{done['orderId']}/settle", {"state": "cancelled"}
    )
    after = await stage.eventually(done, lambda p: not p["fulfil"])
    assert (after["state"], after["order"]["state"]) == ("accepted", "cancelled")


async def test_events_that_come_before_the_answer_change_nothing_else(trouble: Stage) -> None:
    checkout = await trouble.paid()
    await trouble.fault(checkout, "hang", seconds=1.2)  # committed, told, answered late
    done = await trouble.buy(checkout)
    assert done["state"] == "accepted"
    await one_order(trouble, checkout.upstream)


async def one_order(stage: Stage, upstream: str, submissions: int = 1) -> None:
    assert len(stage.orders(upstream, live=False)) == 1
    assert len(stage.submissions(upstream)) == submissions
    stage.in_order(upstream)


@pytest.mark.parametrize(
    "rates",
    [
        {"webhook_doubled": 1.0},
        {"webhook_reordered": 1.0},
        {"webhook_delayed": {"rate": 0.5, "seconds": [0.1, 1.0]}, "webhook_doubled": 0.5},
    ],
    ids=["doubled", "reordered", "delayed and doubled"],
)
async def test_doubled_delayed_and_reordered_events_end_the_same(
    trouble: Stage, rates: Json
) -> None:
    await disturb(trouble, **rates)

    async def review() -> None:
        checkout = await trouble.paid(last="Review")
        pending = await trouble.buy(checkout)
        await trouble.reaches(pending, "accepted")
        await one_order(trouble, checkout.upstream)

    async def declined() -> None:
        checkout = await trouble.paid(number=DECLINED_CARD)
        held = await trouble.reaches(await trouble.buy(checkout), "held", "payment_required")
        session = held["shopper"]["nextAction"]["sessionId"]
        source = await trouble.source(session)
        await trouble.attach(held["checkoutId"], source)  # told by webhook alone
        await trouble.reaches(held, "accepted")
        await one_order(trouble, checkout.upstream, submissions=2)

    await asyncio.gather(review(), review(), declined(), declined())


async def test_without_any_webhook_what_the_service_does_itself_still_ends(
    trouble: Stage,
) -> None:
    await disturb(trouble, webhook_lost=1.0)

    async def declined() -> None:
        checkout = await trouble.paid(number=DECLINED_CARD)
        held = await trouble.reaches(await trouble.buy(checkout), "held", "payment_required")
        session = held["shopper"]["nextAction"]["sessionId"]
        told = await trouble.tell(
            held, "payment-source", {"sourceId": await trouble.source(session)}
        )
        assert told["state"] == "accepted"
        await one_order(trouble, checkout.upstream, submissions=2)

    async def lost_answer() -> None:
        checkout = await trouble.paid()
        await trouble.fault(checkout, "after_commit")
        await trouble.reaches(await trouble.buy(checkout), "accepted")
        await one_order(trouble, checkout.upstream)

    async def not_made() -> None:
        checkout = await trouble.paid()
        await trouble.fault(checkout, "before_commit")
        await trouble.reaches(await trouble.buy(checkout), "accepted", seconds=20.0)
        await one_order(trouble, checkout.upstream, submissions=2)

    await asyncio.gather(declined(), lost_answer(), not_made())


async def test_an_event_of_the_other_mode_is_stored_and_ignored(stage: Stage) -> None:
    name = "order_rescue_facts_ignored_total"
    before = await stage.metric(name, reason="wrong_mode")
    checkout = await stage.checkout()
    held = await stage.buy(checkout)
    for hook in stage.sandbox.world.webhooks.values():
        event = stage.sandbox.world.emit("order.accepted", False, {"checkoutId": checkout.id})
        stage.sandbox.sender.send(hook, event)

    async def counted() -> bool:
        return await stage.metric(name, reason="wrong_mode") > before

    await eventually(counted)
    assert (await stage.purchase(held["id"]))["version"] == held["version"]


async def test_an_order_that_nobody_handed_over_is_left_alone(stage: Stage) -> None:
    checkout = await stage.paid()
    order = await stage.platform("POST", "/orders", {"checkoutId": checkout.id})
    listed = await stage.call("GET", f"/v1/purchases?orderId={order['id']}", token=OPS)
    assert listed.json()["data"] == []
    # Handed over afterwards, it is known and not submitted again (I2).
    done = await stage.buy(checkout)
    assert (done["state"], done["orderId"]) == ("accepted", order["id"])
    await one_order(stage, checkout.upstream)


@pytest.mark.parametrize("named", ["orderId", "paymentSessionId", "nothing but its id"])
async def test_a_failed_charge_finds_its_order_whatever_its_event_names(
    trouble: Stage, named: str
) -> None:
    """Half the fields may be gone: what is left is read at the platform (PLATFORM §6.1)."""
    pending = await trouble.buy(await trouble.paid("ChargeRemainPending"))
    assert (pending["state"], pending["reason"]) == ("pending", "processing")
    await disturb(trouble, webhook_lost=1)
    path = f"/_sandbox/orders/{pending['orderId']}/trouble"
    await trouble.platform("POST", path, {"kind": "charge_failed"})
    await trouble.http.delete(trouble.sandbox.url + "/_sandbox/faults")
    made = trouble.sandbox.world.orders[pending["orderId"]].charge_ids[0]
    charge = await trouble.platform("GET", f"/charges/{made}")
    told = {name: charge[name] for name in ("id", "state", named) if name in charge}
    event = {"type": "order.charge.failed", "object": told, "liveMode": True}
    await trouble.platform("POST", "/_sandbox/events", event)
    await trouble.reaches(pending, "held", "payment_required", seconds=25.0)
