"""What a rejection of `POST /orders` leads to, as data.

The unknown takes the safe row: a 409 ends the checkout and asks for another payment, any other
4xx keeps it. Rule names hold no codes and no fraud words: they are metric labels (I8).
"""

from dataclasses import dataclass
from enum import StrEnum

from schemas.results import PlatformProblem, Rejected


class Action(StrEnum):
    """What we do about a rejection."""

    NEW_CHECKOUT = "new_checkout"  # the checkout is dead; the shopper pays anew
    REPAIR = "repair"  # mend the same checkout, submit the same id
    REPLACE = "replace"  # only a new checkout can take the correction
    OPERATOR = "operator"  # our key or our client is at fault; the checkout stays as it is
    PERSON = "person"  # no rule knows what to mend
    END = "end"  # never again for this purchase


@dataclass(frozen=True, slots=True)
class Remedy:
    """A row: what to do, how often the shopper may choose the same source again, what they read.

    `again` is 0 after a hard decline, 1 where the shopper can correct or authenticate it (I9).
    `known` is false where the code is in no table: the safe default was taken, and it shows.
    """

    action: Action
    rule: str
    source: str
    message: str = "payment.declined"
    again: int = 0
    known: bool = True


DECLINED = Remedy(Action.NEW_CHECKOUT, "rejection.declined", "PLATFORM §5.8")
DECLINED_CORRECTABLE = Remedy(
    *(Action.NEW_CHECKOUT, "rejection.declined_correctable", "PLATFORM §5.8"),
    message="payment.check_details",
    again=1,
)
DECLINED_STEP_UP = Remedy(
    *(Action.NEW_CHECKOUT, "rejection.declined_unauthenticated", "PLATFORM §5.8"),
    message="payment.confirm_with_bank",
    again=1,
)
CHARGE_FAILED = Remedy(Action.NEW_CHECKOUT, "rejection.charge_failed", "PLATFORM §4.2", again=1)
SOURCE_UNUSABLE = Remedy(
    *(Action.NEW_CHECKOUT, "rejection.source_unusable", "PLATFORM §4.2"),
    message="payment.choose_another",
)
# The platform had refused this checkout before and we did not hear it: its 409 died with us.
DEAD_BEFORE = Remedy(Action.NEW_CHECKOUT, "rejection.dead_before", "PLATFORM §7.2")
DATA_CONFLICT = Remedy(
    *(Action.NEW_CHECKOUT, "rejection.data_conflict", "PLATFORM §8 #6"),
    message="payment.required",
    again=5,
)
MERCHANT_FAULT = Remedy(Action.PERSON, "rejection.merchant_fault", "PLATFORM §5.8")
FINAL = Remedy(Action.END, "rejection.final", "PLATFORM §4.2", message="order.failed")
UNKNOWN_CONFLICT = Remedy(
    Action.NEW_CHECKOUT, "rejection.unlisted_conflict", "PLATFORM §4.2", known=False
)
REPAIR = Remedy(Action.REPAIR, "rejection.repair", "PLATFORM §4.3", message="checkout.correct")
SESSION = Remedy(Action.REPAIR, "rejection.session", "PLATFORM §4.3", message="payment.required")
CREATE_ONLY = Remedy(
    Action.REPLACE, "rejection.create_only", "PLATFORM §4.3", message="checkout.correct"
)
CREDENTIALS = Remedy(Action.OPERATOR, "rejection.credentials", "PLATFORM §4.3")
CLIENT_FAULT = Remedy(Action.OPERATOR, "rejection.client_fault", "PLATFORM §4.3")
NO_REPAIR = Remedy(Action.PERSON, "rejection.no_repair_known", "PLATFORM §4.3", known=False)

# PLATFORM §5.8, column "Act CIT": A* is correctable, F is final, the rest asks for another one.
CORRECTABLE = (
    *("declined_can_retry", "do_not_honor", "invalid_address", "invalid_card_bin"),
    *("invalid_card_number", "invalid_expiration_date", "invalid_field_data", "invalid_pin"),
    *("invalid_security_code", "invalid_security_field", "issuer_unavailable", "no_response"),
    "unidentified_error",
)
STEP_UP = ("authentication_required", "sca_not_completed", "additional_payment_action_required")
FINAL_CODES = (
    *("fraud", "fraud_block", "illegal_action", "suspected_fraud", "order-fraud-failure"),
)
OTHER_DECLINES = (
    *("account_closed", "account_frozen", "blacklisted_card", "card_expired"),
    *("card_limit_exceeded", "card_not_active", "card_type_block", "card_velocity_exceeded"),
    *("declined", "decline_do_not_retry", "duplicate_transaction", "insufficient_funds"),
    *("invalid_currency", "invalid_payment_method"),
    *("invalid_transaction_type", "issuer_invalid_card", "issuer_not_found", "limit_exceeded"),
    *("lost_stolen_card", "mid_limit_exceeded", "new_card_issued", "pin_try_exceeded"),
    *("restricted_card", "stop_recurring", "voice_authorization_required"),
)
MERCHANTS = ("invalid_amount", "invalid_merchant")
UNUSABLE = ("source_not_chargeable", "source_expired", "source_status_invalid_for_session")
GOODS = ("out_of_inventory", "sku_inactive")  # the storefront must change the items
DATA = (
    *("create-order-failed", "additional_information_required", "invalid_parameter"),
    *("missing_parameter", "source_in_use", "tax_identifier_in_use", "not_found"),
    *GOODS,
)

CONFLICTS: dict[str, Remedy] = {
    "failed-request": CHARGE_FAILED,
    "session_update_not_allowed": DEAD_BEFORE,
    **dict.fromkeys(OTHER_DECLINES, DECLINED),
    **dict.fromkeys(CORRECTABLE, DECLINED_CORRECTABLE),
    **dict.fromkeys(STEP_UP, DECLINED_STEP_UP),
    **dict.fromkeys(FINAL_CODES, FINAL),
    **dict.fromkeys(MERCHANTS, MERCHANT_FAULT),
    **dict.fromkeys(UNUSABLE, SOURCE_UNUSABLE),
    **dict.fromkeys(DATA, DATA_CONFLICT),
}

STATUSES: dict[int, Remedy] = {
    **dict.fromkeys((401, 403), CREDENTIALS),
    **dict.fromkeys((405, 406, 415), CLIENT_FAULT),
}

# Appendix C: what the platform names -> where it is in the checkout.
PATHS = {
    "shipping.name": "shipTo.name",
    "address.line1": "shipTo.address.line1",
    "shipFrom.address": "shipFrom.address.country",
    "invoiceAttributeId": "invoiceAttributeId",
    "taxIdentifiers": "taxIdentifiers",
}
REPAIRABLE = ("email", "shipTo", "billTo", "shipFrom", "shippingChoice", *PATHS.values())
CREATE_ONLY_PARAMETERS = ("items", "price", "planId", "discount", "taxInclusive", "disclosures")
FIRST = (Action.END, Action.PERSON, Action.NEW_CHECKOUT)
HARDER = (Action.REPAIR, Action.REPLACE, Action.PERSON)
AMBIGUOUS = ("address.postalCode", "address.state")  # shipTo's or billTo's: the format tells


def remedy(rejection: Rejected) -> Remedy:
    """The one row for a definite rejection of `POST /orders`: status, then code, then parameter.

    Where several problems are listed, the most final one decides.
    """
    if row := STATUSES.get(rejection.status):
        return row
    problems = rejection.problems or (PlatformProblem(),)
    if rejection.status == 409:
        rows = [CONFLICTS.get(problem.code or "", UNKNOWN_CONFLICT) for problem in problems]
        return min(rows, key=lambda row: (FIRST.index(row.action), row.again))
    return max((_repair(problem) for problem in problems), key=lambda row: HARDER.index(row.action))


def _repair(problem: PlatformProblem) -> Remedy:
    if problem.code == "order_submit_failed" or problem.parameter == "sourceId":
        return SESSION
    parameter = problem.parameter or ""
    if parameter.split(".")[0].split("[")[0] in CREATE_ONLY_PARAMETERS:
        return CREATE_ONLY
    return REPAIR if path(problem) else NO_REPAIR


def path(problem: PlatformProblem) -> str | None:
    """Where in the checkout the problem is (Appendix C); `None` if no table says."""
    parameter = problem.parameter or ""
    if parameter in PATHS:
        return PATHS[parameter]
    if parameter in AMBIGUOUS:
        return f"?.{parameter}"
    root = parameter.split(".")[0]
    return parameter if root in {name.split(".")[0] for name in REPAIRABLE} else None
