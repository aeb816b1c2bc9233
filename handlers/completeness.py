"""What a checkout must have before it is submitted (PLATFORM §4.5, Appendix C)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from handlers.paths import contains, merged, nested, value_at
from schemas.base import JsonObject
from schemas.platform import Customer
from schemas.purchase import Fault
from schemas.requests import CREATE_ONLY

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
FIVE_DIGITS = re.compile(r"[0-9]{5}")
POSTAL_CODES = {
    "US": re.compile(r"[0-9]{5}(?:[- ]?[0-9]{4})?"),
    "CA": re.compile(
        r"[ABCEGHJ-NPRSTVXY][0-9][ABCEGHJ-NPRSTV-Z] ?[0-9][ABCEGHJ-NPRSTV-Z][0-9]", re.I
    ),
    "GB": re.compile(
        r"GIR ?0AA|(?:[A-Z][0-9]{1,2}|[A-Z][A-HJ-Y][0-9]{1,2}|[A-Z][0-9][A-Z]|"
        r"[A-Z][A-HJ-Y][0-9][A-Z]) ?[0-9][A-Z]{2}",
        re.I,
    ),
    **dict.fromkeys(("DE", "FR", "ES", "IT"), FIVE_DIGITS),
}
STATES = {
    "US": frozenset(
        "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ "
        "NM NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC AS GU MP PR UM VI AA AE "
        "AP".split()
    ),
    "CA": frozenset("AB BC MB NB NL NS NT NU ON PE QC SK YT".split()),
}
ADDRESS = ("line1", "city", "postalCode", "country")
OWNER = [f"owner.address.{name}" for name in ADDRESS]


def physical(checkout: Mapping[str, Any]) -> bool:
    """Whether goods are shipped. Only a sign: the SKU itself is not shown (PLATFORM §4.5)."""
    shipped = checkout.get("shippingChoice") or checkout.get("shipFrom")
    return bool(shipped or any(value_at(item, "shipFrom") for item in _items(checkout)))


def _items(checkout: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    items = checkout.get("items")
    listed = items if isinstance(items, list | tuple) else ()
    return [item for item in listed if isinstance(item, Mapping)]


def faults(checkout: Mapping[str, Any], *, source_owner: bool) -> tuple[Fault, ...]:
    """What is missing or malformed. A source's owner stands in for a missing `billTo`."""
    return tuple(_faults(checkout, source_owner=source_owner))


def _faults(checkout: Mapping[str, Any], *, source_owner: bool) -> Iterator[Fault]:
    email = checkout.get("email")
    if not email:
        yield Fault(path="email", problem="missing")
    elif not isinstance(email, str) or not EMAIL.fullmatch(email):
        yield Fault(path="email", problem="invalid")
    if physical(checkout):
        yield from _missing(checkout, ("shipTo.name",))
        yield from _missing(checkout, [f"shipTo.address.{name}" for name in ADDRESS])
        yield from _shipping(checkout)
    yield from _recurring(checkout)
    yield from _formats(checkout, "shipTo")
    if not source_owner:
        paths = ("billTo.name", *(f"billTo.address.{name}" for name in ADDRESS))
        yield from _missing(checkout, paths)
    yield from _formats(checkout, "billTo")


def _shipping(checkout: Mapping[str, Any]) -> Iterator[Fault]:
    """Where the goods come from and how they travel."""
    if not _shipped_from(checkout):
        yield Fault(path="shipFrom.address.country", problem="missing")
    # Without one the vendor's own examples are taxed all the same; a malformed one is refused.
    code = value_at(checkout, "shipFrom.address.postalCode")
    american = value_at(checkout, "shipFrom.address.country") == "US"
    if american and code and not POSTAL_CODES["US"].fullmatch(str(code)):
        yield Fault(path="shipFrom.address.postalCode", problem="invalid")
    if not checkout.get("shippingChoice"):
        yield Fault(path="shippingChoice", problem="missing")
    elif value_at(checkout, "shippingChoice.amount") is None:
        yield Fault(path="shippingChoice.amount", problem="missing")


def _recurring(checkout: Mapping[str, Any]) -> Iterator[Fault]:
    """Items that are billed again. A new checkout alone can mend them: `items` is the path."""
    infos = [(item, item["subscriptionInfo"]) for item in recurring(checkout)]
    if any(_unbillable(item, info) for item, info in infos):
        yield Fault(path="items", problem="subscription_invalid")
    if len({info["planId"] for _, info in infos if info.get("planId")}) > 1:
        yield Fault(path="items", problem="too_many_plans")
    if _by_klarna(checkout) and any(
        not info.get("startTime") or not info.get("endTime") for _, info in infos
    ):
        yield Fault(path="items", problem="subscription_times_missing")


def recurring(checkout: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The items that are billed again."""
    return [i for i in _items(checkout) if isinstance(i.get("subscriptionInfo"), Mapping)]


def _unbillable(item: Mapping[str, Any], info: Mapping[str, Any]) -> bool:
    """It does not renew, its buyer saw no terms, or a trial costs and what costs nothing is none.

    A renewal has its billing agreement instead of terms (PLATFORM §2.14).
    """
    agreed = info.get("terms") or info.get("billingAgreementId")
    amount, trial = item.get("amount"), info.get("freeTrial") is True
    priced = isinstance(amount, int | float) and not item.get("discount")
    return info.get("autoRenewal") is not True or not agreed or (priced and trial is (amount != 0))


def _by_klarna(checkout: Mapping[str, Any]) -> bool:
    sources = value_at(checkout, "payment.sources")
    listed = sources if isinstance(sources, list | tuple) else ()
    return any(
        str(value_at(s, "type")).startswith("klarna") for s in listed if isinstance(s, Mapping)
    )


def bills(owner: Mapping[str, Any] | None) -> bool:
    """Whether a source's owner is complete enough to stand in for `billTo`."""
    named = value_at(owner or {}, "firstName") or value_at(owner or {}, "lastName")
    return bool(named) and not any(_missing({"owner": owner}, OWNER))


def _missing(checkout: Mapping[str, Any], paths: tuple[str, ...] | list[str]) -> Iterator[Fault]:
    for path in paths:
        if not value_at(checkout, path):
            yield Fault(path=path, problem="missing")


def _shipped_from(checkout: Mapping[str, Any]) -> bool:
    return bool(value_at(checkout, "shipFrom.address.country")) or all(
        value_at(item, "shipFrom.address.country") for item in _items(checkout)
    )


def _formats(checkout: Mapping[str, Any], party: str) -> Iterator[Fault]:
    address = value_at(checkout, f"{party}.address")
    if not isinstance(address, Mapping):
        return
    country, code, state = (address.get(name) for name in ("country", "postalCode", "state"))
    pattern, known = POSTAL_CODES.get(str(country)), STATES.get(str(country))
    if pattern and code and not pattern.fullmatch(str(code)):
        yield Fault(path=f"{party}.address.postalCode", problem="invalid")
    if known and not state and party == "shipTo" and physical(checkout):
        yield Fault(path=f"{party}.address.state", problem="missing")
    elif known and state and str(state).upper() not in known:
        yield Fault(path=f"{party}.address.state", problem="invalid")


def located(fault: Fault, checkout: Mapping[str, Any]) -> Fault:
    """The fault with its real path: `?.address.state` is whichever party's format fails."""
    prefix, _, rest = fault.path.partition(".")
    if prefix != "?":
        return fault
    parties = ("shipTo", "billTo")
    failing = {found.path for party in parties for found in _formats(checkout, party)}
    party = next((name for name in parties if f"{name}.{rest}" in failing), None)
    party = party or ("shipTo" if checkout.get("shipTo") else "billTo")
    return fault.model_copy(update={"path": f"{party}.{rest}"})


def known_repairs(
    wanted: tuple[Fault, ...],
    checkout: Mapping[str, Any],
    create_request: Mapping[str, Any] | None,
    customer: Customer | None,
) -> JsonObject:
    """Values for these faults that we know for sure: the create request's, the customer's own.

    Never one that equals the refused value, and never a part of another address.
    """
    known = (create_request or {}, _customers(wanted, checkout, customer))
    changes: JsonObject = {}
    for fault in wanted:
        if fault.path.split(".")[0] in CREATE_ONLY:
            continue
        for candidate in (value_at(document, fault.path) for document in known):
            if candidate and candidate != value_at(checkout, fault.path):
                changes = merged(changes, nested(fault.path, candidate))
                break
    return changes


def _customers(
    wanted: tuple[Fault, ...], checkout: Mapping[str, Any], customer: Customer | None
) -> JsonObject:
    """The checkout as the customer's record would have it; its address only if it is the same.

    It is the same if all that the checkout shows of it, the faults apart, is in the record too.
    """
    if customer is None:
        return {}
    shipping = customer.shipping or {}
    faulty = {fault.path for fault in wanted}
    shown = value_at(checkout, "shipTo.address")
    parts = shown.items() if isinstance(shown, Mapping) else ()
    sound = {k: v for k, v in parts if v and f"shipTo.address.{k}" not in faulty}
    ship_to = {"name": shipping.get("name")}
    if contains(shipping.get("address") or {}, sound):
        ship_to["address"] = shipping.get("address")
    return {"email": customer.email, "shipTo": ship_to}
