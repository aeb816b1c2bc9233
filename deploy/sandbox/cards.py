"""Payment methods: how each flows, and what its test data makes happen (PLATFORM §2.7, §7.1)."""

import hashlib
from datetime import datetime

BRANDS = (
    ("34", "Amex"), ("37", "Amex"), ("30", "DinersClub"), ("60", "Discover"), ("35", "JCB"),
    ("62", "UnionPay"), ("5", "MasterCard"), ("4", "Visa"),
)  # fmt: skip

SOURCE_FAILS = "4000000000003295"
CHARGE_FAILS = "4000000000003600"
# The charge works and what comes later does not: a capture that fails at once, or after it was
# pending, or stays pending; a cancel that fails.
TROUBLE = {
    "4000000000004103": "capture", "4000000000004442": "cancel",
    "4485951788521565": "capture_later", "4024007120579635": "capture_never",
    "4000000000000028": "capture_never",
}  # fmt: skip
TROUBLE_NAMES = {"CaptureFail": "capture", "CancelFail": "cancel"}

STANDARD = frozenset({"creditCard", "googlePay", "applePay"})
RECEIVER = frozenset({"wireTransfer", "konbini"})
REDIRECT_FIRST = frozenset({"payPal", "payPalCredit", "payPalBilling"})
# The types that the vendor's OpenAPI file lists; the set is open (PLATFORM §2.7).
KNOWN = STANDARD | RECEIVER | REDIRECT_FIRST | frozenset({
    "directDebit", "customerCredit", "alipay", "bPay", "onlineBanking", "codJapan",
    "klarnaCredit", "klarnaCreditRecurring", "bankTransfer", "msts", "bancontact", "giftCard",
    "ideal",
})  # fmt: skip
# Whose sources show the redirect themselves; the others' URL is in the order's session.
SHOW_REDIRECT = REDIRECT_FIRST | {"directDebit"}
# The provider goes on working after the shopper has finished (PLATFORM §7.1, SEPA).
SETTLE_LATER = frozenset({"directDebit"})
CHARGE_PENDS = frozenset({"ChargeFailedAfterPending", "ChargeRemainPending"})
FAILS_AFTER_REDIRECT = frozenset({"SourceFailAfterRedirect", "authFailAfterRedirect"})
RECURRING = STANDARD | frozenset({
    "klarnaCredit", "klarnaCreditRecurring", "directDebit", "msts", "alipay", "payPalBilling",
})  # fmt: skip

FIRST_STATES = {
    "standard": "chargeable", "receiver": "pending_funds", "redirect": "pending_redirect",
}  # fmt: skip
CREATION_FAILS = frozenset({
    "SourceFail", "SourceCreationFail", "authFail",
})  # fmt: skip
CHARGE_FAILS_NAMES = frozenset({"ChargeFail", "ChargeCreationFail", "SCATestFail"})
DECLINE_PREFIX = "Decline_"  # SANDBOX-CHOICE of PLATFORM §7.2


def flow_of(kind: str) -> str:
    if kind in STANDARD or kind == "customerCredit":
        return "standard"
    return "receiver" if kind in RECEIVER else "redirect"


def brand_of(number: str) -> str:
    return next((brand for prefix, brand in BRANDS if number.startswith(prefix)), "Visa")


def fingerprint(number: str) -> str:
    """The same card gives the same value in every run; the number can't be read from it."""
    return hashlib.blake2b(number.encode(), digest_size=8, key=b"order-rescue-sandbox").hexdigest()


def decline_of(number: str | None, last_name: str) -> str | None:
    """The code that a charge of this source is declined with, from its test data alone."""
    if last_name.startswith(DECLINE_PREFIX):
        return last_name.removeprefix(DECLINE_PREFIX)
    if number == CHARGE_FAILS or last_name in CHARGE_FAILS_NAMES:
        return "failed-request"
    return None


def trouble_of(number: str | None, last_name: str) -> str | None:
    """What goes wrong with a charge of this source later, from its test data alone."""
    return TROUBLE.get(number or "") or TROUBLE_NAMES.get(last_name)


def expired(month: int, year: int, now: datetime) -> bool:
    return (year, month) < (now.year, now.month)
