"""A faithful new checkout in place of a dead one (PLATFORM §2.14)."""

from collections.abc import Mapping
from typing import Any

from handlers.paths import merged
from schemas.base import JsonObject

MARK = "order_rescue"
MOST_METADATA = 20  # PLATFORM §1.3

KEPT = (
    *("customerId", "currency", "email", "locale", "browserIp", "applicationId", "upstreamId"),
    *("customerType", "purchaseLocation", "metadata", "shipFrom", "shipTo", "organization"),
    *("billTo", "discount", "shippingDiscount", "disclosures", "billingOptimization"),
)
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
    """The create request with what only the platform or a later update may have set."""
    later = {
        name: checkout[name]
        for name in ("email", "shipTo", "billTo", "shipFrom", "locale", "upstreamId", "customerId")
        if checkout and checkout.get(name)
    }
    if checkout and not create_request.get("shippingChoice") and checkout.get("shippingChoice"):
        later["shippingChoice"] = _only(checkout["shippingChoice"], CHOICE)
    return merged(create_request, later)


def _reread(checkout: Mapping[str, Any]) -> JsonObject:
    """The writable part of a checkout as read; amounts in it are net (PLATFORM §2.14)."""
    request = _only(checkout, KEPT)
    request["items"] = [_item(item) for item in checkout.get("items") or ()]
    request["taxIdentifiers"] = [{"id": x["id"]} for x in checkout.get("taxIdentifiers") or ()]
    request["taxInclusive"] = False
    if choice := checkout.get("shippingChoice"):
        request["shippingChoice"] = _only(choice, CHOICE)
    attribute = checkout.get("invoiceAttributes") or checkout.get("invoiceAttribute")
    if attribute and attribute.get("id"):
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
