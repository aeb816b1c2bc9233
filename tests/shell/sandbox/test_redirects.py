"""PLATFORM §5.6, §7.1: the provider's page, and how an order goes on after it."""

import pytest

from tests.shell.sandbox.shop import Json, Shop, error, until


async def waiting(shop: Shop, last: str = "Probe", kind: str = "klarnaCredit") -> Json:
    """An order whose shopper is to go to the provider."""
    answer = await shop.submit(await shop.ready(last, type=kind))
    assert answer.status_code == 201, answer.text
    order: Json = answer.json()
    assert order["payment"]["session"]["state"] == "pending_redirect"
    return order


async def chooses(shop: Shop, order: Json, choice: str) -> int:
    url: str = order["payment"]["session"]["nextAction"]["data"]["redirectUrl"]
    return (await shop.call("POST", url.partition("?")[0] + f"/{choice}")).status_code


async def refreshed(shop: Shop, order: Json) -> tuple[str, str]:
    shown = await shop.made("POST", f"/orders/{order['id']}/refresh")
    return shown["state"], shown["payment"]["session"]["state"]


async def source_state(shop: Shop, order: Json) -> str:
    source_id = order["payment"]["sources"][0]["id"]
    state: str = (await shop.made("GET", f"/sources/{source_id}"))["state"]
    return state


async def test_the_page_offers_all_choices_as_often_as_it_is_opened(shop: Shop) -> None:
    order = await waiting(shop)
    url = order["payment"]["session"]["nextAction"]["data"]["redirectUrl"]
    for _ in range(2):
        page = (await shop.call("GET", url)).text
        assert all(f"<button>{one}</button>" in page for one in ("approve", "decline", "abandon"))
        assert await chooses(shop, order, "abandon") == 200
    assert await source_state(shop, order) == "pending_redirect"


async def test_an_approved_payment_is_over_and_its_source_is_chargeable(shop: Shop) -> None:
    order = await waiting(shop)
    assert await chooses(shop, order, "approve") == 200
    assert await source_state(shop, order) == "chargeable"
    assert (await shop.made("GET", f"/orders/{order['id']}"))["state"] == "pending_payment"
    url = order["payment"]["session"]["nextAction"]["data"]["redirectUrl"]
    page = await shop.call("GET", url)
    assert "over" in page.text
    assert "<button>" not in page.text
    assert await chooses(shop, order, "decline") == 409
    told = (await shop.made("GET", "/events?types=source.chargeable"))["data"]
    assert len(told) == 1
    assert await refreshed(shop, order) == ("accepted", "complete")


async def test_the_shop_gets_its_shopper_back(shop: Shop) -> None:
    urls = {"returnUrl": "https://shop.test/back", "cancelUrl": "https://shop.test/cancelled"}
    checkout = await shop.ready(type="klarnaCredit", **urls)
    order = (await shop.submit(checkout)).json()
    url = order["payment"]["session"]["nextAction"]["data"]["redirectUrl"].partition("?")[0]
    for choice, where in (("decline", urls["cancelUrl"]), ("approve", urls["returnUrl"])):
        answer = await shop.call("POST", f"{url}/{choice}")
        assert (answer.status_code, answer.headers["location"]) == (303, where)


async def test_a_declined_redirect_still_waits_and_can_be_approved(shop: Shop) -> None:
    order = await waiting(shop)
    await chooses(shop, order, "decline")
    assert await refreshed(shop, order) == ("pending_payment", "pending_redirect")
    await chooses(shop, order, "approve")
    assert await refreshed(shop, order) == ("accepted", "complete")
    visits = [one["choice"] for one in shop.sandbox.ledger["providerVisits"]]
    assert visits == ["decline", "approve"]


async def test_an_approved_order_goes_on_by_itself_after_its_time(shop: Shop) -> None:
    shop.sandbox.world.clock.speed = 1000
    await chooses(shop, await waiting(shop), "approve")
    await until(lambda: shop.sandbox.ledger["orders"][0]["state"] == "accepted")


@pytest.mark.parametrize(
    ("how", "state"), [("at_once", "accepted"), ("refresh", "pending_payment")]
)
async def test_whether_the_platform_goes_on_by_itself_can_be_switched(
    shop: Shop, how: str, state: str
) -> None:
    await shop.made("POST", "/_sandbox/settings", {"after_redirect": how})
    order = await waiting(shop)
    await chooses(shop, order, "approve")
    assert (await shop.made("GET", f"/orders/{order['id']}"))["state"] == state


@pytest.mark.parametrize(
    ("last", "kind"),
    [("SourceFailAfterRedirect", "directDebit"), ("authFailAfterRedirect", "alipay")],
)
async def test_a_source_that_fails_after_the_redirect_leaves_row_8(
    shop: Shop, last: str, kind: str
) -> None:
    order = await waiting(shop, last, kind)
    await chooses(shop, order, "approve")
    assert await source_state(shop, order) == "failed"
    assert await refreshed(shop, order) == ("pending_payment", "failed")
    assert shop.sandbox.ledger["chargeAttempts"] == []


async def test_a_charge_that_fails_after_the_redirect_cancels_the_order(shop: Shop) -> None:
    order = await waiting(shop, "ChargeCreationFail")
    await chooses(shop, order, "approve")
    assert await refreshed(shop, order) == ("cancelled", "failed")
    charge = shop.sandbox.ledger["orders"][0]["charges"][0]
    assert (charge["state"], charge["money"], charge["code"]) == (
        "failed", "none", "failed-request",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("last", "charge", "end"),
    [
        ("Probe", "capturable", ("accepted", "complete")),
        ("ChargeFailedAfterPending", "failed", ("cancelled", "failed")),
    ],
)
async def test_a_direct_debit_is_pending_before_it_ends(
    shop: Shop, last: str, charge: str, end: tuple[str, str]
) -> None:
    order = await waiting(shop, last, "directDebit")
    await chooses(shop, order, "approve")
    await shop.made("POST", "/_sandbox/settings", {"settlement_seconds": 0.2})
    assert await refreshed(shop, order) == ("pending_payment", "pending")
    shown = await shop.made("GET", f"/orders/{order['id']}")
    assert [one["state"] for one in shown["payment"]["charges"]] == ["pending"]
    assert "nextAction" not in shown["payment"]["session"]
    await until(lambda: shop.sandbox.ledger["orders"][0]["state"] == end[0])
    entry = shop.sandbox.ledger["orders"][0]
    assert (entry["sessionState"], entry["charges"][0]["state"]) == (end[1], charge)
    assert len(shop.sandbox.ledger["chargeAttempts"]) == 1


async def test_a_charge_that_remains_pending_waits_until_it_is_settled(shop: Shop) -> None:
    order = await waiting(shop, "ChargeRemainPending", "directDebit")
    await shop.made("POST", "/_sandbox/settings", {"after_redirect": "at_once"})
    await chooses(shop, order, "approve")
    path = f"/_sandbox/orders/{order['id']}/settle"
    assert (await shop.made("GET", f"/orders/{order['id']}"))["state"] == "pending_payment"
    settled = await shop.made("POST", path, {"state": "accepted"})
    assert [one["state"] for one in settled["payment"]["charges"]] == ["capturable"]


async def test_a_redirect_without_its_url_is_row_4(shop: Shop) -> None:
    await shop.made("POST", "/_sandbox/settings", {"redirect_url": "missing"})
    order = await waiting(shop)
    assert "nextAction" not in order["payment"]["session"]


async def test_an_approval_after_the_cancel_makes_no_order(shop: Shop) -> None:
    order = await waiting(shop)
    await shop.made("POST", f"/_sandbox/orders/{order['id']}/settle", {"state": "cancelled"})
    assert await chooses(shop, order, "approve") == 409
    assert await refreshed(shop, order) == ("cancelled", "failed")
    late = shop.sandbox.ledger["latePayments"]
    assert [(one["choice"], one["orderId"], one["orderState"]) for one in late] == [
        ("approve", order["id"], "cancelled")
    ]
    assert shop.sandbox.ledger["chargeAttempts"] == []


async def test_a_review_may_follow_a_redirect(shop: Shop) -> None:
    order = await waiting(shop, "Review")
    await chooses(shop, order, "approve")
    assert await refreshed(shop, order) == ("in_review", "complete")


async def test_paypal_is_approved_first_and_submitted_then(shop: Shop) -> None:
    early = await shop.ready(type="payPal")
    assert error(await shop.submit(early)) == (409, "source_not_chargeable", "sourceId")

    checkout = await shop.checkout()
    source = await shop.source(checkout, type="payPal", returnUrl="https://shop.test/back")
    assert source["state"] == "pending_redirect"
    url = source["payPal"]["redirect"]["redirectUrl"].partition("?")[0]
    assert (await shop.call("POST", url + "/approve")).status_code == 303
    told = (await shop.made("GET", "/events?types=source.chargeable"))["data"]
    assert [one["data"]["object"]["paymentSessionId"] for one in told] == [
        checkout["payment"]["session"]["id"]
    ]
    await shop.attach(checkout, source)
    assert (await shop.submit(checkout)).json()["state"] == "accepted"


async def test_paypal_s_test_names_fail_the_source_and_the_charge(shop: Shop) -> None:
    owner = {"firstName": "Ada", "lastName": "SourceCreationFail"}
    refused = await shop.call("POST", "/_browser/sources", {"type": "payPal", "owner": owner})
    assert error(refused)[:2] == (400, "source_creation_failed")
    checkout = await shop.checkout()
    source = await shop.source(checkout, "ChargeCreationFail", type="payPal")
    await shop.call("POST", f"/payments/redirects/{source['id']}/approve")
    await shop.attach(checkout, source)
    assert error(await shop.submit(checkout)) == (409, "failed-request", None)


async def test_paypal_billing_can_be_saved_once_approved(shop: Shop) -> None:
    await shop.made("POST", "/customers", {"id": "c1"})
    source = await shop.source(type="payPalBilling")
    path = f"/customers/c1/sources/{source['id']}"
    assert error(await shop.call("POST", path))[1] == "source_not_chargeable"
    await shop.call("POST", f"/payments/redirects/{source['id']}/approve")
    assert (await shop.made("POST", path))["reusable"] is True
