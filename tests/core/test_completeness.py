"""What a checkout must have before it is submitted, and what we can mend (PLATFORM §4.5)."""

from typing import Any

import pytest

from handlers.completeness import faults, known_repairs
from schemas.platform import Customer
from schemas.purchase import Fault

BERLIN = {"line1": "Teststr. 1", "city": "Berlin", "postalCode": "10115", "country": "DE"}
PLAN = {"planId": "p1", "autoRenewal": True, "terms": "monthly", "freeTrial": False}
TRIAL = PLAN | {"freeTrial": True}
RENEWAL = {"planId": "p1", "autoRenewal": True, "billingAgreementId": "b1"}
TIMES = {"startTime": "2026-01-01T00:00:00Z", "endTime": "2027-01-01T00:00:00Z"}


def checkout(**fields: Any) -> dict[str, Any]:
    whole = {
        "email": "ada@example.test",
        "shipTo": {"name": "Ada Probe", "address": BERLIN},
        "billTo": {"name": "Ada Probe", "address": BERLIN},
        "shipFrom": {"address": {"country": "NL"}},
        "shippingChoice": {"amount": 4.5},
        "items": [{"skuId": "kbd-1", "amount": 25.0}],
    }
    return whole | fields


def found(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(fault.path, fault.problem) for fault in faults(document, source_owner=False)]


def subscribed(*infos: dict[str, Any], amount: float = 25.0, **fields: Any) -> dict[str, Any]:
    items = [{"skuId": "s", "amount": amount, "subscriptionInfo": info} for info in infos]
    return checkout(items=items, **fields)


def test_a_whole_checkout_has_no_fault() -> None:
    assert found(checkout()) == []


def test_goods_that_are_shipped_need_a_shipping_choice() -> None:
    assert found(checkout(shippingChoice=None)) == [("shippingChoice", "missing")]
    assert found(checkout(shippingChoice={"id": "q"})) == [("shippingChoice.amount", "missing")]


def test_what_is_not_shipped_needs_none() -> None:
    assert found(checkout(shippingChoice=None, shipFrom=None, shipTo=None)) == []


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ({"country": "US", "postalCode": "55343"}, None),
        ({"country": "US"}, None),
        ({"country": "US", "postalCode": "5534"}, "invalid"),
    ],
)
def test_an_american_ship_from_has_a_well_formed_postal_code(
    address: dict[str, str], problem: str | None
) -> None:
    wanted = [("shipFrom.address.postalCode", problem)] if problem else []
    assert found(checkout(shipFrom={"address": address})) == wanted


@pytest.mark.parametrize(
    ("document", "problems"),
    [
        (subscribed(PLAN), []),
        (subscribed(TRIAL, amount=0.0), []),
        (subscribed(RENEWAL), []),
        (subscribed(PLAN | {"autoRenewal": False}), ["subscription_invalid"]),
        (subscribed(PLAN | {"terms": None}), ["subscription_invalid"]),
        (subscribed(TRIAL), ["subscription_invalid"]),
        (subscribed(PLAN, amount=0.0), ["subscription_invalid"]),
        (subscribed(PLAN, PLAN | {"planId": "p2"}), ["too_many_plans"]),
        (subscribed(PLAN, payment={"sources": [{"type": "klarnaCredit"}]}),
         ["subscription_times_missing"]),
        (subscribed(PLAN | TIMES, payment={"sources": [{"type": "klarnaCredit"}]}), []),
        (subscribed(PLAN, payment={"sources": [{"type": "creditCard"}]}), []),
    ],
)  # fmt: skip
def test_recurring_items_are_such_as_can_be_billed(
    document: dict[str, Any], problems: list[str]
) -> None:
    assert found(document) == [("items", problem) for problem in problems]


def test_a_discount_to_nothing_is_no_free_trial() -> None:
    document = subscribed(PLAN, amount=0.0)
    document["items"][0]["discount"] = {"percentOff": 100}
    assert found(document) == []


@pytest.mark.parametrize("odd", [None, "x", 7, [], {"address": 7}, {"address": ["x"]}])
def test_parts_of_another_shape_are_faults_and_no_crash(odd: Any) -> None:
    document = checkout(shipTo=odd, shipFrom=odd, shippingChoice=odd, items=odd)
    found(document)
    known_repairs((missing("shipTo.address.city"),), document, None, ADA)


ADA = Customer.model_validate(
    {"id": "c", "email": "ada@example.test", "shipping": {"name": "Ada Probe", "address": BERLIN}}
)


def missing(path: str) -> Fault:
    return Fault(path=path, problem="missing")


def test_the_customers_address_completes_the_same_address() -> None:
    part = {"line1": "Teststr. 1", "country": "DE"}
    wanted = (missing("shipTo.address.city"), missing("shipTo.address.postalCode"))
    document = checkout(shipTo={"name": "Ada Probe", "address": part})
    assert known_repairs(wanted, document, None, ADA) == {
        "shipTo": {"address": {"city": "Berlin", "postalCode": "10115"}}
    }


def test_the_customers_address_replaces_a_malformed_part_of_itself() -> None:
    document = checkout(shipTo={"name": "Ada", "address": BERLIN | {"postalCode": "1011"}})
    fault = Fault(path="shipTo.address.postalCode", problem="invalid")
    assert known_repairs((fault,), document, None, ADA) == {
        "shipTo": {"address": {"postalCode": "10115"}}
    }


def test_no_part_of_another_address_is_mixed_in() -> None:
    elsewhere = {"line1": "Rue 2", "city": "Paris", "country": "FR"}
    document = checkout(shipTo={"name": "Ada Probe", "address": elsewhere})
    assert known_repairs((missing("shipTo.address.postalCode"),), document, None, ADA) == {}


def test_the_create_request_goes_before_the_customers_record() -> None:
    request = {"shipTo": {"name": "A. Gift"}}
    document = checkout(shipTo={"address": BERLIN})
    repairs = known_repairs((missing("shipTo.name"),), document, request, ADA)
    assert repairs == {"shipTo": {"name": "A. Gift"}}
