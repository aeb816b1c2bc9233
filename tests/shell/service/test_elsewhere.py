"""Shoppers who pay elsewhere, orders that end badly, and what fails later: on real sockets."""

import pytest

from tests.shell.service.serving import eventually
from tests.shell.service.stage import Json, Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def sent_away(stage: Stage, kind: str = "klarnaCredit", last: str = "Probe") -> Json:
    """A purchase whose order waits for the shopper."""
    checkout = await stage.checkout()
    await stage.attach(checkout.id, await stage.source(checkout.session, last, type=kind))
    purchase = await stage.buy(checkout)
    assert purchase["state"] == "pending", purchase
    return purchase


def source_of(stage: Stage, purchase: Json) -> str:
    order = stage.sandbox.world.orders[purchase["orderId"]]
    return next(iter(order.shares))


async def at_provider(stage: Stage, purchase: Json, choice: str) -> None:
    """What the shopper does on the page that they were sent to."""
    page = purchase["shopper"]["nextAction"]["redirectUrl"].partition("?")[0]
    answer = await stage.http.post(f"{page}/{choice}")
    assert answer.status_code < 400, answer.text


async def pays_again(stage: Stage, purchase: Json) -> Json:
    """Another card, for the new checkout that the purchase now has."""
    source = await stage.source(purchase["shopper"]["nextAction"]["sessionId"])
    done = await stage.tell(purchase, "payment-source", {"sourceId": source})
    assert done["state"] == "accepted", done
    stage.in_order(purchase["upstreamId"])
    return done


async def returns(stage: Stage, purchase: Json) -> Json:
    """The shopper is back, and the platform was asked how it ended."""
    before = len(await stage.rules(purchase))
    await stage.tell(purchase, "return")

    async def looked() -> bool:
        ended = await stage.rules(purchase)
        return "order.redirect" in ended[before:]

    await eventually(looked)
    return await stage.purchase(purchase["id"])


async def set_to(stage: Stage, **settings: object) -> None:
    await stage.platform("POST", "/_sandbox/settings", settings)


async def test_an_approved_redirect_is_accepted_on_return(stage: Stage) -> None:
    purchase = await sent_away(stage)
    assert purchase["reason"] == "redirect"
    await at_provider(stage, purchase, "approve")
    done = await stage.tell(purchase, "return")
    await stage.reaches(done, "accepted")
    stage.in_order(purchase["upstreamId"])


async def test_an_approved_redirect_is_accepted_though_the_shopper_never_returns(
    stage: Stage,
) -> None:
    purchase = await sent_away(stage)
    await at_provider(stage, purchase, "approve")
    await stage.reaches(purchase, "accepted")


@pytest.mark.parametrize("choice", ["decline", "abandon"])
async def test_a_redirect_that_came_to_nothing_is_offered_again_then_replaced(
    stage: Stage, choice: str
) -> None:
    purchase = await sent_away(stage)
    await at_provider(stage, purchase, choice)
    again = await returns(stage, purchase)
    assert (again["state"], again["reason"]) == ("pending", "redirect")
    assert again["shopper"]["nextAction"] == purchase["shopper"]["nextAction"]
    await at_provider(stage, again, choice)
    await stage.tell(again, "return")
    held = await stage.reaches(purchase, "held", "payment_required")
    assert [o["state"] for o in stage.orders(purchase["upstreamId"], live=False)] == ["cancelled"]
    assert held["orderId"] is None
    assert [o["state"] for o in held["orders"]] == ["cancelled"]
    await pays_again(stage, held)


async def test_a_platform_that_keeps_the_stale_order_is_for_a_person(stage: Stage) -> None:
    purchase = await sent_away(stage)
    await set_to(stage, cancels="refused")
    try:
        await returns(stage, purchase)
        await stage.tell(purchase, "return")
        review = await stage.reaches(purchase, "review", "stale_order")
    finally:
        await set_to(stage, cancels="allowed")
    assert len(review["checkoutIds"]) == 1


async def test_a_cancel_that_shows_late_is_waited_for(stage: Stage) -> None:
    purchase = await sent_away(stage)
    await set_to(stage, cancels="later")
    try:
        await returns(stage, purchase)
        await stage.tell(purchase, "return")
        held = await stage.reaches(purchase, "held", "payment_required")
    finally:
        await set_to(stage, cancels="allowed")
    await pays_again(stage, held)


async def test_a_source_that_fails_at_the_provider_leads_to_another_payment(stage: Stage) -> None:
    purchase = await sent_away(stage, "directDebit", "SourceFailAfterRedirect")
    await at_provider(stage, purchase, "approve")
    await stage.tell(purchase, "return")
    await pays_again(stage, await stage.reaches(purchase, "held", "payment_required"))


@pytest.mark.parametrize("missing", ["redirect_url", "instructions"])
async def test_what_the_session_does_not_say_is_found_out(stage: Stage, missing: str) -> None:
    await set_to(stage, **{missing: {"redirect_url": "missing", "instructions": "source"}[missing]})
    kind = {"redirect_url": "klarnaCredit", "instructions": "konbini"}[missing]
    checkout = await stage.checkout()
    await stage.attach(checkout.id, await stage.source(checkout.session, type=kind))
    try:
        purchase = await stage.buy(checkout)
        if missing == "redirect_url":  # row 4: refreshed once, then replaced
            await stage.reaches(purchase, "held", "payment_required")
            assert "order.no_page" in await stage.rules(purchase)
        else:  # row 6: the order's own source
            source = source_of(stage, purchase)
            action = {"action": "show_payment_instructions", "sourceId": source}
            assert purchase["shopper"]["nextAction"] == action
    finally:
        await set_to(stage, redirect_url="shown", instructions="action")


async def test_paypal_waits_for_its_source_and_is_submitted_then(stage: Stage) -> None:
    checkout = await stage.checkout()
    source = await stage.source(checkout.session, type="payPal")
    await stage.attach(checkout.id, source)
    held = await stage.buy(checkout)
    assert (held["state"], held["reason"]) == ("held", "payment_incomplete")
    assert stage.submissions(checkout.upstream) == []
    await stage.http.post(f"{stage.sandbox.url}/payments/redirects/{source}/approve")
    await stage.reaches(held, "accepted")
    assert len(stage.submissions(checkout.upstream)) == 1


async def test_a_transfer_that_arrives_is_accepted(stage: Stage) -> None:
    purchase = await sent_away(stage, "wireTransfer")
    assert purchase["reason"] == "funds"
    await stage.platform("POST", f"/_sandbox/sources/{source_of(stage, purchase)}/pay")
    await stage.reaches(purchase, "accepted")


@pytest.mark.parametrize("shown", ["action", "source"])
async def test_the_instructions_for_a_transfer_come_with_their_secret_by_payment_session_alone(
    stage: Stage, shown: str
) -> None:
    await set_to(stage, instructions=shown)
    try:
        purchase = await sent_away(stage, "konbini")
        answer = await stage.call("GET", f"/v1/purchases/{purchase['id']}/payment-session")
    finally:
        await set_to(stage, instructions="action")
    session = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert (session["clientSecret"], session["savedSources"]) == (None, [])
    data = session["nextAction"]["data"]
    assert data["sourceId"] == source_of(stage, purchase)
    path = f"/_browser/instructions/{data['sourceId']}?clientSecret={data['sourceClientSecret']}"
    assert (await stage.http.get(stage.sandbox.url + path)).status_code == 200
    story = str(await stage.timeline(purchase)) + str(await stage.purchase(purchase["id"]))
    assert data["sourceClientSecret"] not in story


@pytest.mark.parametrize("told", ["cancelled", "failed_cancelled", "cancelled_failed", "failed"])
async def test_an_expired_transfer_gets_one_new_checkout_whatever_is_told(
    stage: Stage, told: str
) -> None:
    purchase = await sent_away(stage, "konbini")
    await set_to(stage, expiry_events=told)
    try:
        await stage.platform("POST", f"/_sandbox/sources/{source_of(stage, purchase)}/expire")
        held = await stage.reaches(purchase, "held", "payment_required")
    finally:
        await set_to(stage, expiry_events="cancelled")
    await pays_again(stage, held)
    assert len(stage.opened(purchase["upstreamId"])) == 2


@pytest.mark.parametrize("shape", ["charge", "order"])
@pytest.mark.parametrize("leaves", ["cancelled", "pending_payment"])
async def test_a_charge_that_fails_later_is_settled_by_reading_the_order(
    stage: Stage, shape: str, leaves: str
) -> None:
    await set_to(stage, charge_failed_shape=shape, charge_failed_leaves=leaves)
    try:
        checkout = await stage.paid("ChargeFailedAfterPending")
        purchase = await stage.buy(checkout)
        held = await stage.reaches(purchase, "held", "payment_required")
    finally:
        await set_to(stage, charge_failed_shape="charge", charge_failed_leaves="cancelled")
    await pays_again(stage, held)


@pytest.mark.parametrize(
    ("last", "state", "reason"),
    [
        ("Review", "accepted", None),
        ("ReviewBlock", "lost", "exhausted"),
        ("ReviewFraud", "lost", "exhausted"),
    ],
)
async def test_a_review_ends_as_the_platform_says_and_fraud_reads_like_any_end(
    stage: Stage, last: str, state: str, reason: str | None
) -> None:
    checkout = await stage.paid(last)
    purchase = await stage.buy(checkout)
    assert (purchase["state"], purchase["reason"]) == ("pending", "processing")
    await stage.reaches(purchase, state, reason)
    assert len(stage.opened(checkout.upstream)) == 1


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("capture_failed", "capture_failed"),
        ("reauthorization_failed", "reauthorization_failed"),
        ("dispute", "disputed"),
        ("chargeback", "chargeback"),
    ],
)
async def test_what_fails_after_acceptance_is_told_and_stops_fulfilment(
    stage: Stage, kind: str, reason: str
) -> None:
    purchase = await stage.buy(await stage.paid())
    assert purchase["fulfil"] is True
    await stage.platform("POST", f"/_sandbox/orders/{purchase['orderId']}/trouble", {"kind": kind})
    told = await stage.reaches(purchase, "accepted", reason)
    assert told["fulfil"] is False
    assert len(stage.opened(purchase["upstreamId"])) == 1


async def test_a_resolved_dispute_is_fulfilled_again(stage: Stage) -> None:
    purchase = await stage.buy(await stage.paid())
    path = f"/_sandbox/orders/{purchase['orderId']}/trouble"
    await stage.platform("POST", path, {"kind": "dispute"})
    await stage.reaches(purchase, "accepted", "disputed")
    await stage.platform("POST", path, {"kind": "dispute_resolved"})
    assert (await stage.reaches(purchase, "accepted"))["fulfil"] is True


async def test_a_return_that_makes_no_sense_is_a_409_with_the_state(stage: Stage) -> None:
    held = await stage.buy(await stage.checkout())
    answer = await stage.call("POST", f"/v1/purchases/{held['id']}/return")
    assert (answer.status_code, answer.json()["state"]) == (409, "held")
