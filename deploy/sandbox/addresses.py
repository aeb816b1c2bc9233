"""Address rules that the platform enforces at create and update (PLATFORM §4.5, Appendix C)."""

import re
from typing import Any

from .errors import Refusal, invalid, missing

FIVE = re.compile(r"[0-9]{5}")
POSTAL = {
    "US": re.compile(r"[0-9]{5}(?:[- ]?[0-9]{4})?"),
    "CA": re.compile(r"[ABCEGHJ-NPRSTVXY][0-9][ABCEGHJ-NPRSTV-Z] ?[0-9][ABCEGHJ-NPRSTV-Z][0-9]"),
    "GB": re.compile(
        r"(?:GIR ?0AA|[A-PR-UWYZ](?:[0-9]{1,2}|[A-HK-Y][0-9]{1,2}|[0-9][A-HJKPS-UW]"
        r"|[A-HK-Y][0-9][ABEHMNPRV-Y]) ?[0-9][ABD-HJLNP-UW-Z]{2})"
    ),
    "DE": FIVE, "FR": FIVE, "ES": FIVE, "IT": FIVE,
}  # fmt: skip
STATES = {
    "US": frozenset(
        "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH "
        "NJ NM NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC AS GU MP PR VI UM FM "
        "MH PW AA AE AP".split()
    ),
    "CA": frozenset("AB BC MB NB NL NS NT NU ON PE QC SK YT".split()),
}
EMBARGOED = frozenset({"KP", "IR", "SY", "CU"})


def check_formats(address: dict[str, Any]) -> None:
    country = address.get("country")
    if country in EMBARGOED:
        message = f"Country '{country}' is not supported."
        raise Refusal(409, "country_unsupported", message, "country")
    postal, state = address.get("postalCode"), address.get("state")
    pattern = POSTAL.get(country or "")
    if postal and pattern and not pattern.fullmatch(str(postal).upper()):
        raise invalid(
            "address.postalCode", "A required address parameter, postal code, is invalid."
        )
    if state and country in STATES and state not in STATES[country]:
        raise invalid("address.state", "A required address parameter, state/province, is invalid.")


def check_ship_to(ship_to: dict[str, Any]) -> None:
    """Everything but the name, which is looked at only when an order is made."""
    address = ship_to.get("address") or {}
    if not address.get("country"):
        raise missing("shipTo.address.country")
    if not address.get("line1"):
        raise missing("address.line1")
    for part in ("city", "postalCode"):
        if not address.get(part):
            raise missing(f"shipTo.address.{part}")
    if address["country"] in STATES and not address.get("state"):
        raise missing("shipTo.address.state")
    check_formats(address)


def check_bill_to(bill_to: dict[str, Any]) -> None:
    check_formats(bill_to.get("address") or {})
