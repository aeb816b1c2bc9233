"""A faithful new checkout: the table of PLATFORM §2.14."""

from typing import Any

import pytest

from handlers.cloning import clone
from tests.core.world import ADDRESS, PARTY, REQUEST

READ: dict[str, Any] = {
    "id": "c1",
    "createdTime": "2024-05-02T09:00:00Z",
    "updatedTime": "2024-05-02T09:01:10Z",
    "liveMode": False,
    "customerId": "cust-1",
    "currency": "EUR",
    "email": "ada@example.test",
    "locale": "de_DE",
    "browserIp": "203.0.113.9",
    "upstreamId": "web-1",
    "applicationId": "storefront",
    "customerType": "individual",
    "purchaseLocation": {"country": "DE"},
    "shipFrom": {"address": {"country": "NL"}},
    "shipTo": PARTY,
    "billTo": PARTY,
    "organization": {"id": "org-1"},
    "discount": {"amountOff": 1.0},
    "subtotal": 54.5,
    "totalTax": 10.36,
    "totalAmount": 64.86,
    "totalFees": 0.0,
    "totalDiscount": 0.0,
    "totalShipping": 4.5,
    "totalDuty": 0.0,
    "totalImporterTax": 0.0,
    "importerOfRecordTax": False,
    "sellingEntity": {"id": "DR_IRELAND-ENTITY"},
    "taxIdentifiers": [{"id": "tax-1", "type": "de", "value": "DE1"}],
    "invoiceAttributes": {"id": "inv-1", "type": "x"},
    "shippingChoice": {"id": "q", "amount": 4.5, "taxAmount": 0.86, "serviceLevel": "SG"},
    "disclosures": {"disclosures": []},
    "items": [
        {
            "id": "i1",
            "skuId": "kbd-1",
            "productDetails": {"id": "kbd-1", "eccn": "x"},
            "amount": 50.0,
            "quantity": 2,
            "discount": {"amountOff": 2.0},
            "tax": {"rate": 0.19, "amount": 9.5},
            "importerTax": {"amount": 0.0},
            "duties": {"amount": 0.0},
            "fees": {"amount": 0.0},
            "shipping": {"amount": 4.5},
            "metadata": {"line": "1"},
            "subscriptionInfo": {
                "autoRenewal": True,
                "terms": "T",
                "planId": "p",
                "subscriptionId": "platform-made",
            },
        },
        {
            "id": "i2",
            "productDetails": {
                "id": "x",
                "skuGroupId": "g",
                "countryOfOrigin": "NL",
                "name": "N",
                "eccn": "e",
                "taxCode": "t",
                "physical": True,
                "hsCode": "h",
            },
            "amount": 4.0,
            "quantity": 1,
        },
    ],
    "metadata": {"basket": "b-12"},
    "payment": {"sources": [{"id": "s"}], "session": {"id": "9f", "clientSecret": "x"}},
}
DERIVED = (
    *("id", "createdTime", "updatedTime", "liveMode", "subtotal", "totalTax", "totalAmount"),
    *("totalFees", "totalDuty", "totalDiscount", "totalShipping", "totalImporterTax"),
    *("importerOfRecordTax", "sellingEntity", "payment", "sourceId", "invoiceAttributes"),
)
KEPT = (
    *("customerId", "currency", "email", "locale", "browserIp", "upstreamId", "applicationId"),
    *("customerType", "purchaseLocation", "shipFrom", "shipTo", "billTo", "organization"),
    *("discount", "disclosures"),
)


def lossy() -> dict[str, Any]:
    return clone(None, READ, {}, "pur_1/1")


@pytest.mark.parametrize("name", DERIVED)
def test_what_the_platform_derives_is_dropped(name: str) -> None:
    assert name not in lossy()


@pytest.mark.parametrize("name", KEPT)
def test_what_can_be_written_is_kept(name: str) -> None:
    assert lossy()[name] == READ[name]


def test_our_mark_is_in_the_metadata_beside_the_storefronts() -> None:
    for request in (lossy(), clone(REQUEST, READ, {}, "pur_1/1")):
        assert request["metadata"]["basket"] == "b-12"
        assert request["metadata"]["order_rescue"] == "pur_1/1"


def test_reshaped_fields() -> None:
    request = lossy()
    assert request["taxIdentifiers"] == [{"id": "tax-1"}]
    assert request["invoiceAttributeId"] == "inv-1"
    assert request["shippingChoice"] == {"id": "q", "amount": 4.5, "serviceLevel": "SG"}
    assert request["taxInclusive"] is False


def test_no_tax_identifiers_are_sent_as_none() -> None:
    read = {k: v for k, v in READ.items() if k != "taxIdentifiers"}
    assert clone(None, read, {}, "m")["taxIdentifiers"] == []


def test_an_item_with_a_sku_keeps_its_net_amount_and_nothing_derived() -> None:
    item = lossy()["items"][0]
    assert item == {
        "skuId": "kbd-1",
        "quantity": 2,
        "aggregatePrice": 50.0,
        "metadata": {"line": "1"},
        "subscriptionInfo": {"autoRenewal": True, "terms": "T", "planId": "p"},
    }


def test_an_item_without_a_sku_keeps_the_writable_product_details() -> None:
    item = lossy()["items"][1]
    details = {"id": "x", "skuGroupId": "g", "countryOfOrigin": "NL", "name": "N"}
    assert item == {"productDetails": details, "quantity": 1, "aggregatePrice": 4.0}


def test_the_storefronts_own_request_comes_first() -> None:
    request = clone(REQUEST | {"sourceId": "src-1"}, READ, {}, "pur_1/1")
    assert request["items"] == REQUEST["items"]
    assert request["chargeType"] == "customer_initiated"
    assert request["taxInclusive"] is False
    assert "sourceId" not in request


def test_corrections_are_merged_into_objects_and_replace_the_rest() -> None:
    changes = {"shipTo": {"address": {"line1": "Elsewhere 2"}}, "email": "b@example.test"}
    for base in (REQUEST, None):
        request = clone(base, READ, changes, "m")
        assert request["shipTo"]["name"] == "Ada Probe"
        assert request["shipTo"]["address"] == ADDRESS | {"line1": "Elsewhere 2"}
        assert request["email"] == "b@example.test"


def test_later_updates_are_not_lost_when_the_create_request_is_replayed() -> None:
    later = READ | {"email": "later@example.test"}
    assert clone(REQUEST, later, {}, "m")["email"] == "later@example.test"
