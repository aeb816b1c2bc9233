"""PLATFORM §2.3, §2.4, §3: amounts, session state, what attaches and detaches."""

import pytest

from tests.shell.sandbox.shop import CHECKOUT, VISA, Shop, error


async def test_totals_keep_the_identity_with_ten_percent_tax(shop: Shop) -> None:
    shown = await shop.checkout(discount={"percentOff": 10}, shippingDiscount={"amountOff": 1.5})
    items = sum(item["amount"] for item in shown["items"])
    assert shown["totalAmount"] == pytest.approx(shown["subtotal"] + shown["totalTax"])
    assert shown["subtotal"] == pytest.approx(
        items + shown["totalShipping"] - shown["totalDiscount"]
    )
    assert shown["totalTax"] == pytest.approx(4.8)


async def test_tax_inclusive_prices_are_what_the_shopper_pays(shop: Shop) -> None:
    shown = await shop.checkout(taxInclusive=True)
    assert shown["totalAmount"] == 54.5
    assert shown["totalAmount"] == pytest.approx(shown["subtotal"] + shown["totalTax"])
    assert "taxInclusive" not in shown


async def test_a_checkout_without_a_source_requires_one(shop: Shop) -> None:
    session = (await shop.checkout())["payment"]["session"]
    assert session["state"] == "requires_source"
    assert session["amountRemainingToBeContributed"] == 59.95


async def test_a_primary_source_fills_the_session_and_is_shown_with_five_keys(shop: Shop) -> None:
    payment = (await shop.ready())["payment"]
    assert payment["session"]["state"] == "requires_confirmation"
    assert payment["session"]["amountRemainingToBeContributed"] == 0
    assert set(payment["sources"][0]) == {"id", "type", "amount", "owner", "creditCard"}


async def test_attaching_answers_with_the_source_and_bills_its_owner(shop: Shop) -> None:
    checkout = await shop.checkout(billTo=None)
    answer = await shop.attach(checkout, await shop.source(checkout, "Owner"))
    assert answer.json()["state"] == "chargeable"
    assert (await shop.read(checkout))["billTo"]["name"] == "Ada Owner"


async def test_another_primary_source_replaces_the_first_and_cancels_it(shop: Shop) -> None:
    checkout = await shop.checkout()
    first, second = await shop.source(checkout), await shop.source(checkout)
    await shop.attach(checkout, first)
    await shop.attach(checkout, second)
    attached = (await shop.read(checkout))["payment"]["sources"]
    assert [source["id"] for source in attached] == [second["id"]]
    assert (await shop.made("GET", f"/sources/{first['id']}"))["state"] == "cancelled"


async def test_a_detached_single_use_source_can_not_come_back(shop: Shop) -> None:
    checkout = await shop.checkout()
    source = await shop.source(checkout)
    await shop.attach(checkout, source)
    gone = await shop.call("DELETE", f"/checkouts/{checkout['id']}/sources/{source['id']}")
    assert gone.status_code == 204
    assert (await shop.read(checkout))["payment"]["session"]["state"] == "requires_source"
    again = await shop.attach(checkout, source)
    assert error(again) == (409, "source_status_invalid_for_session", None)


async def test_a_single_use_source_belongs_to_the_session_it_was_made_for(shop: Shop) -> None:
    source = await shop.source(await shop.checkout())
    other = await shop.checkout()
    assert error(await shop.attach(other, source))[1] == "source_status_invalid_for_session"


async def test_credit_comes_before_a_single_use_primary_and_shrinks_a_saved_one(
    shop: Shop,
) -> None:
    checkout = await shop.ready()
    credit = {
        "type": "customerCredit",
        "paymentSessionId": checkout["payment"]["session"]["id"],
        "amount": 9.95,
    }
    late = await shop.attach(checkout, await shop.made("POST", "/sources", credit))
    assert error(late) == (409, "session_update_not_allowed", None)

    await shop.made("POST", "/customers", {"id": "c1", "email": "ada@example.test"})
    saved = await shop.source(customerId="c1", reusable=True)
    checkout = await shop.checkout(customerId="c1", sourceId=saved["id"])
    credit["paymentSessionId"] = checkout["payment"]["session"]["id"]
    await shop.attach(checkout, await shop.made("POST", "/sources", credit))
    sources = (await shop.read(checkout))["payment"]["sources"]
    assert [(one["type"], one["amount"]) for one in sources] == [
        ("creditCard", 50.0),
        ("customerCredit", 9.95),
    ]


async def test_credit_larger_than_the_total_is_refused(shop: Shop) -> None:
    checkout = await shop.checkout()
    session = checkout["payment"]["session"]["id"]
    body = {"type": "customerCredit", "paymentSessionId": session, "amount": 60}
    answer = await shop.attach(checkout, await shop.made("POST", "/sources", body))
    assert error(answer) == (409, "session_source_amount_too_large", None)


async def test_a_zero_total_needs_no_source(shop: Shop) -> None:
    free = await shop.checkout(
        items=[{"skuId": "x", "price": 0}], shipTo=None, shipFrom=None, shippingChoice=None
    )
    assert free["payment"]["session"]["state"] == "requires_confirmation"
    assert (await shop.submit(free)).json()["state"] == "accepted"
    assert shop.sandbox.ledger["chargeAttempts"] == []


async def test_an_update_moves_the_primary_amount_with_the_total(shop: Shop) -> None:
    checkout = await shop.ready()
    choice = {**CHECKOUT["shippingChoice"], "amount": 14.5}
    shown = await shop.made("POST", f"/checkouts/{checkout['id']}", {"shippingChoice": choice})
    assert shown["totalAmount"] == 70.95
    assert shown["payment"]["sources"][0]["amount"] == 70.95


@pytest.mark.parametrize("name", ["price", "quantity", "skuId"])
async def test_items_keep_what_they_were_created_with(shop: Shop, name: str) -> None:
    checkout = await shop.checkout()
    change = {"items": [{"id": checkout["items"][0]["id"], name: 1}]}
    answer = await shop.call("POST", f"/checkouts/{checkout['id']}", change)
    assert error(answer) == (400, "unknown_parameter", name)


@pytest.mark.parametrize("name", ["discount", "taxInclusive", "disclosures", "frobnicate"])
async def test_create_only_and_unknown_fields_are_refused_on_update(shop: Shop, name: str) -> None:
    checkout = await shop.checkout()
    answer = await shop.call("POST", f"/checkouts/{checkout['id']}", {name: {}})
    assert error(answer) == (400, "unknown_parameter", name)


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"currency": "YEM"}, (409, "invalid_parameter", "currency")),
        ({"currency": "PAB"}, (409, "currency_unactivated", "currency")),
        ({"billTo": {"address": {"country": "KP"}}}, (409, "country_unsupported", "country")),
        ({"shippingChoice": {"id": "q"}}, (400, "internal_error", None)),
        ({"shipTo": {"address": {"country": "US"}}}, (400, "missing_parameter", "address.line1")),
        (
            {"shipTo": {"address": {**CHECKOUT["shipTo"]["address"], "postalCode": "1011"}}},
            (400, "invalid_parameter", "address.postalCode"),
        ),
        ({"shipTo": {"address": ["x"]}}, (400, "invalid_parameter", "shipTo.address")),
        ({"discount": {"percentOff": 101}}, (400, "invalid_discount_percent", "discount")),
        ({"items": [{"productDetails": {"name": "x"}, "price": 1}]},
         (400, "missing_parameter", "skuGroupId")),
    ],
)  # fmt: skip
async def test_checkout_data_is_refused_as_the_documents_say(
    shop: Shop, change: dict[str, object], refused: tuple[int, str, str | None]
) -> None:
    assert error(await shop.call("POST", "/checkouts", {**CHECKOUT, **change})) == refused


async def test_a_source_that_fails_is_never_made(shop: Shop) -> None:
    card = {"number": "4000000000003295", "expirationMonth": 1, "expirationYear": 2040}
    answer = await shop.call("POST", "/_browser/sources", {"card": card})
    assert error(answer) == (400, "source_creation_failed", None)
    assert VISA not in (await shop.call("GET", "/_sandbox/ledger")).text


async def test_saved_sources_are_used_only_with_their_own_customer(shop: Shop) -> None:
    await shop.made("POST", "/customers", {"id": "c1"})
    source = await shop.source()
    saved = await shop.made("POST", f"/customers/c1/sources/{source['id']}")
    assert saved["reusable"] is True
    assert (await shop.made("GET", "/customers/c1"))["defaultSourceId"] == source["id"]
    guest = await shop.checkout(sourceId=source["id"])
    assert error(await shop.submit(guest)) == (409, "source_in_use", "sourceId")
    owner = await shop.checkout(sourceId=source["id"], customerId="c1")
    assert (await shop.submit(owner)).status_code == 201
    await shop.call("DELETE", f"/customers/c1/sources/{source['id']}")
    removed = await shop.attach(await shop.checkout(customerId="c1"), source)
    assert error(removed) == (409, "source_not_chargeable", "sourceId")
