"""PLATFORM §2.8, §3.5, §5.5: customers, their saved sources, and store credit."""

from typing import Any

from tests.shell.sandbox.shop import PLACE, VISA, Json, Shop, error


async def customer(shop: Shop) -> tuple[Json, Json]:
    """A customer and a saved card."""
    await shop.made("POST", "/customers", {"id": "c1", "email": "ada@example.test"})
    source = await shop.source()
    await shop.made("POST", f"/customers/c1/sources/{source['id']}")
    return await shop.made("GET", "/customers/c1"), source


async def credit(shop: Shop, checkout: Json, amount: float, **more: Any) -> Json:
    session = checkout["payment"]["session"]["id"]
    body = {"type": "customerCredit", "paymentSessionId": session, "amount": amount, **more}
    return await shop.made("POST", "/sources", body)


async def session(shop: Shop, checkout: Json) -> tuple[str, float]:
    shown = (await shop.read(checkout))["payment"]["session"]
    return shown["state"], shown["amountRemainingToBeContributed"]


async def told(shop: Shop, kind: str) -> list[Json]:
    return [one["data"] for one in (await shop.made("GET", f"/events?types={kind}"))["data"]]


async def test_saving_and_removing_a_source_are_told_with_the_source(shop: Shop) -> None:
    shown, source = await customer(shop)
    assert [one["id"] for one in shown["sources"]] == [source["id"]]
    assert shown["sources"][0]["clientSecret"]
    saved = (await told(shop, "customer.source.created"))[0]["object"]
    assert (saved["id"], saved["customerId"], saved["reusable"]) == (source["id"], "c1", True)
    removed = await shop.call("DELETE", f"/customers/c1/sources/{source['id']}")
    assert (removed.status_code, removed.content) == (204, b"")
    gone = (await told(shop, "customer.source.deleted"))[0]["object"]
    assert (gone["id"], gone["customerId"], gone["state"]) == (source["id"], "c1", "cancelled")
    again = await shop.call("POST", f"/customers/c1/sources/{source['id']}")
    assert error(again) == (409, "source_not_chargeable", "sourceId")


async def test_what_can_not_be_charged_or_stored_is_not_saved(shop: Shop) -> None:
    await customer(shop)
    for kind, code in (("konbini", "source_not_chargeable"), ("payPal", "nonreusable_source")):
        source = await shop.source(type=kind)
        if kind == "payPal":
            await shop.call("POST", f"/payments/redirects/{source['id']}/approve")
        answer = await shop.call("POST", f"/customers/c1/sources/{source['id']}")
        assert error(answer)[:2] == (409, code)


async def test_a_wish_to_be_forgotten_is_told_and_listed(shop: Shop) -> None:
    await customer(shop)
    await shop.made("POST", "/customers/c1", {"requestToBeForgotten": True})
    change = (await told(shop, "customer.updated"))[-1]
    assert change["object"]["requestToBeForgotten"] is True
    assert change["previousAttributes"] == {"requestToBeForgotten": False}
    for flag, ids in (("true", ["c1"]), ("false", [])):
        found = (await shop.made("GET", f"/customers?requestToBeForgotten={flag}"))["data"]
        assert [one["id"] for one in found] == ids


async def test_saved_sources_may_have_to_be_authenticated_for_each_session(shop: Shop) -> None:
    await shop.made("POST", "/_sandbox/settings", {"saved_sources": "authenticated"})
    _, source = await customer(shop)
    checkout = await shop.checkout(sourceId=source["id"], customerId="c1")
    assert error(await shop.submit(checkout)) == (409, "authentication_required", None)
    checkout = await shop.checkout(sourceId=source["id"], customerId="c1")
    body = {"sessionId": checkout["payment"]["session"]["id"], "sourceId": source["id"]}
    await shop.made("POST", "/_browser/authenticate", body)
    assert (await shop.submit(checkout)).status_code == 201
    renewal = await shop.checkout(
        sourceId=source["id"], customerId="c1", chargeType="merchant_initiated"
    )
    assert (await shop.submit(renewal)).status_code == 201
    attempts = shop.sandbox.ledger["chargeAttempts"]
    assert [one["authenticated"] for one in attempts] == [False, True, False]
    assert all(one["saved"] for one in attempts)


async def test_credits_alone_pay_when_they_cover_the_total(shop: Shop) -> None:
    checkout = await shop.checkout()
    for amount, state in ((9.95, ("requires_source", 50.0)), (50, ("requires_confirmation", 0.0))):
        await shop.attach(checkout, await credit(shop, checkout, amount))
        assert await session(shop, checkout) == state
        if amount == 9.95:
            assert error(await shop.submit(checkout))[:2] == (400, "order_submit_failed")
    order = (await shop.submit(checkout)).json()
    assert order["state"] == "accepted"
    entry = shop.sandbox.ledger["orders"][0]
    assert [(one["credit"], one["amount"]) for one in entry["charges"]] == [
        (True, 9.95), (True, 50.0),
    ]  # fmt: skip


async def test_credits_come_first_and_a_single_use_primary_pays_the_rest(shop: Shop) -> None:
    checkout = await shop.checkout()
    await shop.attach(checkout, await credit(shop, checkout, 9.95, upstreamId="line-1"))
    await shop.attach(checkout, await shop.source(checkout))
    order = (await shop.submit(checkout)).json()
    assert [(one["type"], one["amount"]) for one in order["payment"]["sources"]] == [
        ("customerCredit", 9.95), ("creditCard", 50.0),
    ]  # fmt: skip
    assert order["payment"]["sources"][0]["upstreamId"] == "line-1"


async def test_a_credit_belongs_to_the_session_it_was_made_for(shop: Shop) -> None:
    made = await credit(shop, await shop.checkout(), 5)
    refused = await shop.attach(await shop.checkout(), made)
    assert error(refused)[:2] == (409, "source_status_invalid_for_session")


async def test_credits_together_may_not_exceed_the_total(shop: Shop) -> None:
    checkout = await shop.checkout()
    await shop.attach(checkout, await credit(shop, checkout, 50))
    refused = await shop.attach(checkout, await credit(shop, checkout, 10))
    assert error(refused) == (409, "session_source_amount_too_large", None)


async def test_credits_alone_need_somebody_to_bill(shop: Shop) -> None:
    checkout = await shop.checkout(billTo=None)
    await shop.attach(checkout, await credit(shop, checkout, 59.95))
    missing = (400, "missing_parameter", "billTo.address.country")
    assert error(await shop.submit(checkout)) == missing
    await shop.made("POST", f"/checkouts/{checkout['id']}", {
        "billTo": {"name": "Ada Probe", "address": PLACE},
    })  # fmt: skip
    assert (await shop.submit(checkout)).status_code == 201

    checkout = await shop.checkout(billTo=None)
    owner = {"firstName": "Ada", "lastName": "Owner", "address": PLACE}
    await shop.attach(checkout, await credit(shop, checkout, 59.95, owner=owner))
    assert (await shop.read(checkout))["billTo"]["name"] == "Ada Owner"
    assert (await shop.submit(checkout)).status_code == 201


async def test_credit_is_released_with_the_order_that_is_blocked(shop: Shop) -> None:
    checkout = await shop.checkout()
    await shop.attach(checkout, await credit(shop, checkout, 9.95))
    await shop.attach(checkout, await shop.source(checkout, "Review"))
    order = (await shop.submit(checkout)).json()
    await shop.made("POST", f"/_sandbox/orders/{order['id']}/settle", {"state": "blocked"})
    entry = shop.sandbox.ledger["orders"][0]
    assert {one["money"] for one in entry["charges"]} == {"released"}


async def test_a_server_can_make_store_credit_alone(shop: Shop) -> None:
    checkout = await shop.checkout()
    body = {"type": "creditCard", "paymentSessionId": checkout["payment"]["session"]["id"],
            "amount": 5}  # fmt: skip
    assert error(await shop.call("POST", "/sources", body)) == (400, "invalid_parameter", "type")


async def test_every_owner_has_an_address_which_bills_nobody_if_it_was_made_up(shop: Shop) -> None:
    checkout = await shop.checkout(billTo=None)
    card = {"number": VISA, "expirationMonth": 1, "expirationYear": 2040}
    body: Json = {"sessionId": checkout["payment"]["session"]["id"], "card": card}
    source = await shop.made("POST", "/_browser/sources", body)
    assert source["owner"]["address"]["country"] == "DE"
    await shop.attach(checkout, source)
    assert "country" not in (await shop.read(checkout))["billTo"]["address"]
    nobody = await shop.made("POST", "/_browser/sources", {"card": card})
    assert nobody["owner"] == {"address": {"country": "US"}}


async def test_after_a_step_up_the_checkout_is_submitted_once(shop: Shop) -> None:
    checkout = await shop.ready("StepUp")
    assert (await shop.submit(checkout)).status_code == 409
    assert error(await shop.submit(checkout)) == (400, "order_submit_failed", None)
    body = {
        "sessionId": checkout["payment"]["session"]["id"],
        "sourceId": checkout["payment"]["sources"][0]["id"],
    }
    await shop.made("POST", "/_browser/authenticate", body)
    assert await session(shop, checkout) == ("requires_confirmation", 0)
    assert (await shop.submit(checkout)).status_code == 201
    assert error(await shop.submit(checkout)) == (404, "not_found", "orderId")
    assert shop.sandbox.ledger["deadTouches"] == []
