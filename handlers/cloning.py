"""A faithful new checkout in place of a dead one (PLATFORM §2.14)."""

from collections.abc import Mapping
from typing import Any

from handlers.paths import merged, value_at
from schemas.base import JsonObject

MARK = "order_rescue"
MOST_METADATA = 20  # PLATFORM §1.3

KEPT = (
    *("customerId", "currency", "email", "locale", "browserIp", "applicationId", "upstreamId"),
    *("customerType", "purchaseLocation", "metadata", "shipFrom", "shipTo", "organization"),
    *("billTo", "discount", "shippingDiscount", "disclosures", "billingOptimization"),
)
# Of these, what can be updated and is shown as it was sent (PLATFORM §2.4).
UPDATED = tuple(name for name in KEPT if name not in ("currency", "discount", "disclosures"))
PRODUCT = (
    *("id", "skuGroupId", "name", "description", "url", "countryOfOrigin", "image", "weight"),
    *("weightUnit", "partNumber"),
)
CHOICE = ("id", "amount", "description", "serviceLevel", "shippingTerms")
SUBSCRIPTION = (
    *("autoRenewal", "freeTrial", "terms", "planId", "startTime", "endTime", "billingAgreementId"),
)


def clone(
    create_request: JsonObject | None,
    checkout: Mapping[str, Any] | None,
    changes: JsonObject,
    mark: str,
) -> JsonObject:
    """The request that opens the replacement.

    From the storefront's own create request where it was given, else from the lossy checkout as
    read; with the corrections still wanted, without any source, and with our mark in its metadata.
    """
    base = _replayed(create_request, checkout) if create_request else _reread(checkout or {})
    request = merged(base, changes)
    request.pop("sourceId", None)  # the new session needs its own (PLATFORM §2.14)
    given = request.get("metadata")
    metadata = {k: v for k, v in given.items() if k != MARK} if isinstance(given, dict) else {}
    if len(metadata) < MOST_METADATA:
        metadata[MARK] = mark
    return request | {"metadata": metadata}


def _replayed(create_request: JsonObject, checkout: Mapping[str, Any] | None) -> JsonObject:
    """The create request with what later updates made of it, as far as the checkout shows it."""
    if not checkout:
        return create_request
    later = _only(checkout, UPDATED) | _reshaped(checkout)
    net = create_request.get("taxInclusive") and "shippingChoice" in create_request
    if net and _same_choice(create_request, checkout):
        later.pop("shippingChoice", None)  # the amount shown is without the tax that ours includes
    return create_request | later


def _same_choice(create_request: JsonObject, checkout: Mapping[str, Any]) -> bool:
    given, shown = create_request.get("shippingChoice"), checkout.get("shippingChoice")
    return bool(value_at({"c": given}, "c.id") == value_at({"c": shown}, "c.id"))


def _reread(checkout: Mapping[str, Any]) -> JsonObject:
    """The writable part of a checkout as read; amounts in it are net (PLATFORM §2.14)."""
    request = _only(checkout, KEPT) | _reshaped(checkout)
    request["items"] = [_item(item) for item in checkout.get("items") or ()]
    request["taxInclusive"] = False
    return request


def _reshaped(checkout: Mapping[str, Any]) -> JsonObject:
    """What a request takes in another shape than a checkout shows it (X in PLATFORM §2.14)."""
    named = [x for x in checkout.get("taxIdentifiers") or () if isinstance(x, Mapping)]
    request: JsonObject = {"taxIdentifiers": [{"id": x["id"]} for x in named if x.get("id")]}
    if isinstance(choice := checkout.get("shippingChoice"), Mapping):
        request["shippingChoice"] = _only(choice, CHOICE)
    attribute = checkout.get("invoiceAttributes") or checkout.get("invoiceAttribute")
    if isinstance(attribute, Mapping) and attribute.get("id"):
        request["invoiceAttributeId"] = attribute["id"]
    return request


def _item(item: Mapping[str, Any]) -> JsonObject:
    request = _only(item, ("quantity", "shipFrom", "metadata"))
    if item.get("skuId"):
        request["skuId"] = item["skuId"]
    else:
        request["productDetails"] = _only(item.get("productDetails") or {}, PRODUCT)
    if item.get("amount") is not None:
        request["aggregatePrice"] = item["amount"]
    if subscription := item.get("subscriptionInfo"):
        request["subscriptionInfo"] = _only(subscription, SUBSCRIPTION)
    return request


def _only(document: Any, names: tuple[str, ...]) -> JsonObject:
    if not isinstance(document, Mapping):
        return {}
    return {name: document[name] for name in names if document.get(name) is not None}
