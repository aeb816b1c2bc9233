"""Declines: PLATFORM §5.8, line by line, for both kinds of charge.

A charge that the shopper starts counts as customer-initiated, one by telephone (moto) or of an
unknown type too. Where the two published tables differ the stricter class counts (§8 #28).
"""

from dataclasses import replace
from typing import NamedTuple

from handlers.remedies.words import MERCHANT, Action, Decline, Remedy, Row, When

SOURCE = "PLATFORM §5.8"
H, S, F, U = Decline.HARD, Decline.SOFT, Decline.FRAUD, Decline.UNCLASSIFIED

DECLINED = Remedy(Action.NEW_CHECKOUT, "rejection.declined", SOURCE, decline=H)
# The published class is soft, but nothing is charged again unless the shopper does something.
DECLINED_FOR_NOW = Remedy(Action.NEW_CHECKOUT, "rejection.declined_for_now", SOURCE, decline=S)
CORRECTABLE = Remedy(
    *(Action.NEW_CHECKOUT, "rejection.declined_correctable", SOURCE, "payment.check_details"),
    again=1,
)
UNAUTHENTICATED = Remedy(
    *(Action.NEW_CHECKOUT, "rejection.declined_unauthenticated", SOURCE),
    message="payment.confirm_with_bank",
    again=1,
)
MERCHANT_FAULT = Remedy(Action.PERSON, "rejection.merchant_fault", SOURCE, "order.checking")
STOPPED = Remedy(Action.STOP, "rejection.stopped", SOURCE, "order.failed", decline=H)
FINAL = Remedy(Action.END, "rejection.final", "PLATFORM §4.2", "order.failed", decline=F)
CHARGE_FAILED = Remedy(
    Action.NEW_CHECKOUT, "rejection.charge_failed", "PLATFORM §4.2", again=1, decline=U
)
CHARGE_FAILED_UNSEEN = Remedy(
    Action.NEW_CHECKOUT, "rejection.charge_failed", "PLATFORM §4.2", decline=U
)


class Line(NamedTuple):
    """A line of PLATFORM §5.8: code; class and remedy of either kind of charge."""

    code: str
    customers: Decline
    by_customer: Remedy
    merchants: Decline
    by_merchant: Remedy


A, A_STAR, CONFIRM, R = DECLINED, CORRECTABLE, UNAUTHENTICATED, DECLINED_FOR_NOW
OPERATOR, STOP, FRAUD = MERCHANT_FAULT, STOPPED, FINAL
LINES = (
    Line("account_closed", H, A, H, A),
    Line("account_frozen", H, A, H, A),
    Line("authentication_required", S, CONFIRM, S, CONFIRM),
    Line("blacklisted_card", H, A, H, A),
    Line("card_expired", H, A, S, R),
    Line("card_limit_exceeded", H, A, S, R),
    Line("card_not_active", H, A, S, R),
    Line("card_type_block", H, A, H, A),
    Line("card_velocity_exceeded", H, A, S, R),
    Line("decline_do_not_retry", H, A, H, A),
    Line("declined", H, A, H, A),
    Line("declined_can_retry", S, A_STAR, S, R),
    Line("do_not_honor", S, A_STAR, S, R),
    Line("duplicate_transaction", H, A, S, A),
    Line("fraud", F, FRAUD, F, FRAUD),
    Line("fraud_block", F, FRAUD, F, FRAUD),
    Line("illegal_action", F, FRAUD, F, FRAUD),
    Line("insufficient_funds", H, A, S, R),
    Line("invalid_address", H, A_STAR, H, A_STAR),
    Line("invalid_amount", H, OPERATOR, H, OPERATOR),
    Line("invalid_card_bin", H, A_STAR, H, A),
    Line("invalid_card_number", H, A_STAR, H, A),
    Line("invalid_currency", H, A, H, OPERATOR),
    Line("invalid_expiration_date", H, A_STAR, H, A),
    Line("invalid_field_data", H, A_STAR, H, OPERATOR),
    Line("invalid_merchant", H, OPERATOR, H, OPERATOR),
    Line("invalid_payment_method", H, A, H, A),
    Line("invalid_pin", H, A_STAR, H, A),
    Line("invalid_security_code", H, A_STAR, H, A),
    Line("invalid_security_field", H, A_STAR, H, A),
    Line("invalid_transaction_type", H, A, H, OPERATOR),
    Line("issuer_invalid_card", H, A, H, A),
    Line("issuer_not_found", H, A, H, A),
    Line("issuer_unavailable", S, A_STAR, S, R),
    Line("limit_exceeded", H, A, S, R),
    Line("lost_stolen_card", H, A, H, A),
    Line("mid_limit_exceeded", H, A, S, R),
    Line("new_card_issued", H, A, S, A),
    Line("no_response", S, A_STAR, S, R),
    Line("order-fraud-failure", F, FRAUD, F, FRAUD),
    Line("payment_authorization_failed", U, A, U, A),  # in Appendix B only
    Line("pin_try_exceeded", H, A, S, R),
    Line("restricted_card", H, A, H, A),
    Line("sca_not_completed", S, CONFIRM, S, CONFIRM),
    Line("stop_recurring", H, A, H, STOP),
    Line("suspected_fraud", F, FRAUD, F, FRAUD),
    Line("unidentified_error", S, A_STAR, S, R),
    Line("voice_authorization_required", H, A, H, A),
    Line("failed-request", U, CHARGE_FAILED, U, CHARGE_FAILED_UNSEEN),
)
FRAUD_CODES = tuple(line.code for line in LINES if line.customers is F)
CODES = tuple(line.code for line in LINES)


def _rows(line: Line) -> tuple[Row, Row]:
    theirs = replace(line.by_customer, decline=line.customers)
    ours = replace(line.by_merchant, decline=line.merchants)
    return Row(When("409", line.code), theirs), Row(When("409", line.code, None, MERCHANT), ours)


ROWS = tuple(row for line in LINES for row in _rows(line))
