"""From a storefront's call to an order, or to what the shopper must do next."""

import pytest

from tests.shell.sandbox.shop import PLACE
from tests.shell.service.stage import BOTH, DECLINED_CARD, TOTAL, Json, Stage

pytestmark = [pytest.mark.asyncio(loop_scope="module"), BOTH]


async def test_a_ready_checkout_becomes_one_order(stage: Stage) -> None:
    checkout = await stage.paid()
    bought = await stage.buy(checkout)
    assert (bought["state"], bought["reason"], bought["fulfil"]) == ("accepted", None, True)
    assert bought["total"] == {"amount": TOTAL, "currency": "EUR", "confirmed": True}
    [order] = stage.orders(checkout.upstream)
    assert bought["orderId"] == bought["order"]["id"] == order["id"]
    assert bought["order"]["items"][0]["metadata"] == {"line": "1"}
    assert len(stage.charges(checkout.upstream)) == 1
    stage.in_order(checkout.upstream)


async def test_without_a_source_nothing_is_submitted_until_the_shopper_chose_one(
    stage: Stage,
) -> None:
    checkout = await stage.checkout()
    held = await stage.buy(checkout)
    assert (held["state"], held["reason"]) == ("held", "payment_required")
    asked = {
        "action": "collect_payment",
        "checkoutId": checkout.id,
        "sessionId": checkout.session,
    }
    assert held["shopper"]["nextAction"] == asked
    assert stage.submissions(checkout.upstream) == []
    chosen = {"sourceId": await stage.source(checkout.session)}
    done = await stage.tell(held, "payment-source", chosen)
    assert done["state"] == "accepted"
    assert stage.opened(checkout.upstream) == [checkout.id]
    stage.in_order(checkout.upstream)


async def test_a_source_that_the_storefront_attaches_releases_the_hold_by_webhook(
    stage: Stage,
) -> None:
    checkout = await stage.checkout()
    held = await stage.buy(checkout)
    assert held["reason"] == "payment_required"
    await stage.attach(checkout.id, await stage.source(checkout.session))
    await stage.reaches(held, "accepted")
    stage.in_order(checkout.upstream)


async def declined(stage: Stage, **more: bool) -> tuple[Json, str, Json]:
    """A shopper whose card was declined: the purchase, its upstream id, the request."""
    checkout = await stage.paid(number=DECLINED_CARD)
    bought = await stage.buy(checkout, **more)
    held = await stage.reaches(bought, "held", "payment_required")
    return held, checkout.upstream, checkout.request


async def test_after_a_decline_a_new_checkout_of_equal_content_takes_another_source(
    stage: Stage,
) -> None:
    held, upstream, request = await declined(stage)
    dead, fresh = stage.opened(upstream)
    assert held["checkoutIds"] == [dead, fresh]
    assert held["shopper"]["message"]["key"] in ("payment.declined", "payment.check_details")
    assert held["submissions"][0]["status"] == 409
    assert held["submissions"][0]["remedy"] == "new_checkout"
    opened = await stage.platform("GET", f"/checkouts/{fresh}")
    for name in ("email", "currency", "upstreamId", "shipTo", "billTo"):
        assert opened[name] == request[name]
    assert opened["items"][0]["skuId"] == "kbd-1"
    assert opened["items"][0]["metadata"] == {"line": "1"}
    assert opened["totalAmount"] == TOTAL
    assert opened["metadata"] == {"order_rescue": f"{held['id']}/1"}
    source = await stage.source(held["shopper"]["nextAction"]["sessionId"])
    done = await stage.tell(held, "payment-source", {"sourceId": source})
    assert (done["state"], done["order"]["checkoutId"]) == ("accepted", fresh)
    assert [s["checkoutId"] for s in stage.submissions(upstream)] == [dead, fresh]
    stage.in_order(upstream)


async def test_without_a_create_request_the_copy_has_the_same_total(stage: Stage) -> None:
    held, upstream, _ = await declined(stage, create=False)
    dead, fresh = stage.opened(upstream)
    copies = [await stage.platform("GET", f"/checkouts/{id}") for id in (dead, fresh)]
    assert copies[0]["totalAmount"] == copies[1]["totalAmount"] == TOTAL
    assert copies[0]["shipTo"] == copies[1]["shipTo"]
    source = await stage.source(held["shopper"]["nextAction"]["sessionId"])
    done = await stage.tell(held, "payment-source", {"sourceId": source})
    assert done["state"] == "accepted"
    assert done["total"] == {"amount": TOTAL, "currency": "EUR", "confirmed": True}
    stage.in_order(upstream)


async def test_fraud_ends_it_and_shops_read_exhausted(stage: Stage) -> None:
    checkout = await stage.paid(last="FraudBlock")
    bought = await stage.buy(checkout)
    lost = await stage.reaches(bought, "lost", "exhausted")
    assert "fraud" not in str(lost).lower()
    assert lost["shopper"]["message"]["key"] == "order.failed"
    assert lost["shopper"]["nextAction"] is None
    operators = await stage.purchase(bought["id"], "ops-token-1")
    assert (operators["state"], operators["reason"]) == ("lost", "fraud")
    assert len(stage.submissions(checkout.upstream)) == 1
    assert stage.opened(checkout.upstream) == [checkout.id]
    refused = await stage.call(
        "POST", f"/v1/purchases/{bought['id']}/payment-source", {"sourceId": "s"}
    )
    assert refused.status_code == 409


NAMELESS = {"address": PLACE}


async def test_a_missing_name_is_asked_for_and_mended_on_the_same_checkout(stage: Stage) -> None:
    checkout = await stage.paid(shipTo=NAMELESS)
    held = await stage.buy(checkout)
    assert (held["state"], held["reason"]) == ("held", "correction_required")
    fields = held["shopper"]["nextAction"]["fields"]
    assert fields == [{"path": "shipTo.name", "problem": "missing"}]
    assert stage.submissions(checkout.upstream) == []
    corrected = {"checkout": {"shipTo": {"name": "Ada Probe"}}}
    done = await stage.tell(held, "corrections", corrected)
    assert done["state"] == "accepted"
    assert stage.opened(checkout.upstream) == [checkout.id]
    now = await stage.platform("GET", f"/orders/{done['orderId']}")
    assert now["shipTo"]["name"] == "Ada Probe"
    assert now["shipTo"]["address"]["city"] == "Berlin"
    stage.in_order(checkout.upstream)


async def test_a_missing_name_that_the_customer_record_has_is_mended_unasked(
    stage: Stage,
) -> None:
    shipping = {"name": "Ada of Record", "address": PLACE}
    customer = await stage.platform(
        "POST", "/customers", {"email": "ada@example.test", "shipping": shipping}
    )
    checkout = await stage.paid(shipTo=NAMELESS, customerId=customer["id"])
    done = await stage.buy(checkout)
    assert done["state"] == "accepted"
    order = await stage.platform("GET", f"/orders/{done['orderId']}")
    assert order["shipTo"]["name"] == "Ada of Record"
    stage.in_order(checkout.upstream)


async def test_a_refusal_for_data_keeps_the_checkout_and_asks_for_the_field(stage: Stage) -> None:
    checkout = await stage.paid()
    await stage.fault(
        *(checkout, "error"), status=400, code="missing_parameter", parameter="shipping.name"
    )
    bought = await stage.buy(checkout)
    held = await stage.reaches(bought, "held", "correction_required")
    assert held["shopper"]["nextAction"]["fields"][0]["path"] == "shipTo.name"
    done = await stage.tell(held, "corrections", {"checkout": {"shipTo": {"name": "Ada B"}}})
    assert done["state"] == "accepted"
    assert stage.opened(checkout.upstream) == [checkout.id]
    stage.in_order(checkout.upstream)


async def test_another_total_than_confirmed_waits_for_the_shopper(stage: Stage) -> None:
    checkout = await stage.paid()
    held = await stage.buy(checkout, confirmedTotal={"amount": 50.0, "currency": "EUR"})
    assert (held["state"], held["reason"]) == ("held", "confirmation_required")
    totals = held["shopper"]["nextAction"]["totals"]
    assert totals["confirmed"] == {"amount": 50.0, "currency": "EUR"}
    assert totals["now"] == {"amount": TOTAL, "currency": "EUR"}
    path = f"/v1/purchases/{held['id']}/confirmation"
    wrong = {"checkoutId": checkout.id, "totalAmount": 60.0, "currency": "EUR"}
    refused = await stage.call("POST", path, wrong)
    assert refused.status_code == 409
    assert refused.json()["total"] == {"amount": TOTAL, "currency": "EUR"}
    assert stage.submissions(checkout.upstream) == []
    done = await stage.tell(held, "confirmation", wrong | {"totalAmount": TOTAL})
    assert done["state"] == "accepted"
    stage.in_order(checkout.upstream)


async def test_a_total_that_moved_between_two_attempts_is_not_submitted_unseen(
    stage: Stage,
) -> None:
    held, upstream, _ = await declined(stage)
    fresh, session = held["checkoutId"], held["shopper"]["nextAction"]["sessionId"]
    dearer = {"shippingChoice": {"id": "x", "amount": 9.5, "description": "Express"}}
    await stage.platform("POST", f"/checkouts/{fresh}", dearer)
    chosen = {"sourceId": await stage.source(session)}
    asked = await stage.tell(held, "payment-source", chosen)
    assert (asked["state"], asked["reason"]) == ("held", "confirmation_required")
    now = asked["shopper"]["nextAction"]["totals"]["now"]
    assert now["amount"] > TOTAL
    done = await stage.tell(
        *(asked, "confirmation"),
        {"checkoutId": fresh, "totalAmount": now["amount"], "currency": "EUR"},
    )
    assert done["state"] == "accepted"
    stage.in_order(upstream)


async def test_five_declines_exhaust_the_purchase(stage: Stage) -> None:
    held, upstream, _ = await declined(stage)
    for number in range(2, 6):
        session = held["shopper"]["nextAction"]["sessionId"]
        chosen = {"sourceId": await stage.source(session, number=DECLINED_CARD)}
        told = await stage.tell(held, "payment-source", chosen)
        wanted = ("lost", "exhausted") if number == 5 else ("held", "payment_required")
        held = await stage.eventually(
            told,
            lambda p, w=wanted: (p["state"], p["reason"]) == w,  # type: ignore[misc]  # bound
        )
        assert len(stage.submissions(upstream)) == number
    assert held["shopper"]["message"]["key"] == "order.failed"
    assert len(stage.charges(upstream)) == 5
    assert stage.orders(upstream) == []
    stage.in_order(upstream)


async def test_a_saved_source_that_was_declined_for_good_is_not_charged_again(
    stage: Stage,
) -> None:
    customer = await stage.platform("POST", "/customers", {"email": "ada@example.test"})
    checkout = await stage.checkout(customerId=customer["id"])
    saved = await stage.source(
        None, "Decline_lost_stolen_card", reusable=True, customerId=customer["id"]
    )
    await stage.attach(checkout.id, saved)
    held = await stage.reaches(await stage.buy(checkout), "held", "payment_required")
    again = await stage.tell(held, "payment-source", {"sourceId": saved})
    again = await stage.reaches(again, "held", "payment_required")
    assert again["shopper"]["message"]["key"] == "payment.choose_another"
    # Nor if the storefront attaches it behind our back.
    await stage.attach(again["checkoutId"], saved)
    await stage.eventually(again, lambda p: p["version"] > again["version"])
    again = await stage.reaches(again, "held", "payment_required")
    assert len(stage.charges(checkout.upstream)) == 1
    session = again["shopper"]["nextAction"]["sessionId"]
    done = await stage.tell(again, "payment-source", {"sourceId": await stage.source(session)})
    assert done["state"] == "accepted"
    stage.in_order(checkout.upstream)
