"""Times and keys from the settings, as shoppers and operators meet them."""

from pathlib import Path
from typing import Any

from tests.shell.service.serving import KEY, OPS, eventually
from tests.shell.service.stage import DECLINED_CARD, TOTAL, Json, Stage, staged, until


async def test_after_the_consent_window_the_shopper_is_asked_again(tmp_path: Path) -> None:
    async with staged(tmp_path, CONSENT_WINDOW="1s") as stage:
        checkout = await stage.checkout()
        held = await stage.buy(checkout)
        source = await stage.source(checkout.session)
        confirmed = stage.sandbox.world.clock.now()
        await until(lambda: (stage.sandbox.world.clock.now() - confirmed).total_seconds() > 1.1)
        await stage.attach(checkout.id, source)
        asked = await stage.reaches(held, "held", "confirmation_required")
        assert stage.submissions(checkout.upstream) == []
        total = {"checkoutId": checkout.id, "totalAmount": TOTAL, "currency": "EUR"}
        done = await stage.tell(asked, "confirmation", total)
        assert done["state"] == "accepted"
        stage.in_order(checkout.upstream)


async def test_an_unknown_outcome_past_the_window_is_looked_up_but_not_repeated(
    tmp_path: Path,
) -> None:
    # Long enough for the submission, and over before it could be repeated.
    async with staged(tmp_path, CONSENT_WINDOW="4s", PLATFORM_SETTLE="5") as stage:
        checkout = await stage.paid()
        await stage.fault(checkout, "before_commit")
        unknown = await stage.buy(checkout)

        async def given_up() -> bool:
            return "unknown.consent_expired" in await stage.rules(unknown)

        await eventually(given_up, 30.0)
        assert (await stage.purchase(unknown["id"]))["state"] == "unknown"
        assert len(stage.submissions(checkout.upstream)) == 1
        # The order of somebody else's repeat is found by its event, and ends it.
        order = await stage.platform("POST", "/orders", {"checkoutId": checkout.id})
        done = await stage.reaches(unknown, "accepted")
        assert done["orderId"] == order["id"]


async def test_a_hold_that_nobody_ends_expires(tmp_path: Path) -> None:
    async with staged(tmp_path, HOLD_DEADLINE="1s") as stage:
        checkout = await stage.checkout()
        held = await stage.buy(checkout)
        assert held["deadline"] is not None
        lost = await stage.reaches(held, "lost", "expired")
        assert lost["shopper"]["message"]["key"] == "order.expired"
        await stage.attach(checkout.id, await stage.source(checkout.session))
        declined = await stage.paid(number=DECLINED_CARD)
        await stage.reaches(await stage.buy(declined), "lost", "expired")
        assert stage.submissions(checkout.upstream) == []


async def test_a_wrong_key_is_one_alert_and_a_person_resumes(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        checkouts = [await stage.paid() for _ in range(3)]
        stage.sandbox.world.keys = ("sk_live_rotated",)
        bought = [await stage.buy(checkout) for checkout in checkouts]
        assert {(p["state"], p["reason"]) for p in bought} == {("review", "credentials")}
        assert await stage.metric("order_rescue_alerts_total", kind="credentials") == 3
        assert len(await alerts(stage)) == 1  # one line, however many purchases
        stage.sandbox.world.keys = (KEY,)
        for purchase in bought:
            resumed = await stage.tell(
                *(purchase, "decision", {"decision": "resume", "note": "key mended"}),
                token=OPS,
            )
            assert resumed["state"] == "accepted"
        for checkout in checkouts:
            stage.in_order(checkout.upstream)


async def alerts(stage: Stage) -> list[dict[str, Any]]:
    return [line for line in stage.service.lines() if line["event"] == "alert"]


async def test_a_key_that_is_refused_at_the_submission_keeps_checkout_and_number(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        checkout = await stage.paid()
        await stage.fault(checkout, "error", status=401, type="unauthorized")
        review = await stage.buy(checkout)
        assert (review["state"], review["reason"]) == ("review", "credentials")
        done = await stage.tell(
            review, "decision", {"decision": "resume", "note": "mended"}, token=OPS
        )
        assert done["state"] == "accepted"
        assert {s["number"] for s in done["submissions"]} == {1}
        assert stage.opened(checkout.upstream) == [checkout.id]
        assert len(await alerts(stage)) == 1


async def test_an_operator_stops_a_purchase_in_review_for_good(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        checkout = await stage.paid()
        await stage.fault(checkout, "error", status=403, code="forbidden")
        review = await stage.buy(checkout)
        decision: Json = {"decision": "stop", "note": "customer called"}
        stopped = await stage.tell(review, "decision", decision, token=OPS)
        assert (stopped["state"], stopped["reason"]) == ("lost", "stopped")
        assert len(stage.submissions(checkout.upstream)) == 1


async def test_without_webhooks_the_endpoint_is_not_there_and_purchases_still_end(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path, WEBHOOKS="off", WEBHOOK_SECRETS="") as stage:
        checkout = await stage.paid()
        await stage.fault(checkout, "after_commit")
        await stage.reaches(await stage.buy(checkout), "accepted")
        answer = await stage.http.post(stage.service.url + "/webhooks/digital-river", json={})
        assert answer.status_code == 404
        stage.in_order(checkout.upstream)
