"""Every other answer to `POST /orders`: PLATFORM §4.2, §4.3, §4.4, §7.2 and Appendices A to C.

A 409 ends its checkout (I3), any other definite 4xx keeps it (I4), no answer proves nothing (I6).
The unknown takes the safe row: of each status class the one that names nothing.
"""

from dataclasses import replace

from handlers.remedies import declines
from handlers.remedies.words import NONE_GIVEN, Action, Remedy, Row, When

SOURCE_UNUSABLE = Remedy(
    *(Action.NEW_CHECKOUT, "rejection.source_unusable", "PLATFORM §4.2", "payment.choose_another"),
)
# The platform had refused this checkout before and we did not hear it: its 409 died with us.
DEAD_BEFORE = Remedy(Action.NEW_CHECKOUT, "rejection.dead_before", "PLATFORM §7.2")
DATA_CONFLICT = Remedy(
    *(Action.NEW_CHECKOUT, "rejection.data_conflict", "PLATFORM §8 #6", "payment.required"),
    again=5,
    charged=False,
)
STEP_UP = Remedy(
    *(Action.STEP_UP, "rejection.step_up", "PLATFORM §4.2", "payment.confirm_with_bank"), again=1
)
EXISTS = Remedy(Action.PERSON, "rejection.order_exists", "I5", "order.checking")
UNKNOWN_CONFLICT = Remedy(
    Action.NEW_CHECKOUT, "rejection.unlisted_conflict", "PLATFORM §4.2", known=False
)
REPAIR = Remedy(Action.REPAIR, "rejection.repair", "PLATFORM §4.3", "checkout.correct")
SESSION = Remedy(Action.REPAIR, "rejection.session", "PLATFORM §4.3", "payment.required")
CREATE_ONLY = Remedy(
    *(Action.REPLACE, "rejection.create_only", "PLATFORM §4.3", "checkout.correct"), field="items"
)
CREDENTIALS = Remedy(Action.OPERATOR, "rejection.credentials", "PLATFORM §4.3", "order.checking")
CLIENT_FAULT = Remedy(Action.OPERATOR, "rejection.client_fault", "PLATFORM §4.3", "order.checking")
NO_REPAIR = Remedy(
    *(Action.PERSON, "rejection.no_repair_known", "PLATFORM §4.3", "order.checking"), known=False
)
MISPLACED = replace(NO_REPAIR, rule="rejection.decline_misplaced", source="I9")
UNKNOWN = Remedy(Action.LOOK, "unknown.begin", "PLATFORM §4.4", "order.checking")
BUSY = Remedy(Action.WAIT, "submission.not_processed", "PLATFORM §4.3", "order.checking")

UNUSABLE = (
    *("source_not_chargeable", "source_expired", "source_status_invalid_for_session"),
    *("source_not_found", "source_not_supported", "nonreusable_source", "charge_expired"),
    "charge_not_capturable",
)
GOODS = ("out_of_inventory", "sku_inactive")  # the storefront must change the items
PLANS = ("plan_not_active", "plan_limit_reached")
DATA = (
    *("create-order-failed", "additional_information_required", "invalid_parameter"),
    *("missing_parameter", "source_in_use", "tax_identifier_in_use", "not_found"),
    *("country_unsupported", "country_restricted", "currency_unactivated"),
    *("currency_unsupported", "customer_not_updateable", "tax_id_invalid"),
    *("postal_code_invalid", "email_invalid", "invalid_shipping_choice", "order_create_failed"),
    *GOODS,
    *PLANS,
)
EXISTING = ("order_already_complete", "already_exists")

# Appendix C: the parameter that the platform names -> where it is in the checkout.
FIELDS = {
    "email": "email",
    "shipping.name": "shipTo.name",
    "address.line1": "shipTo.address.line1",
    "address.postalCode": "?.address.postalCode",  # shipTo's or billTo's: the format tells
    "address.state": "?.address.state",
    "shipTo": "shipTo",
    "billTo": "billTo",
    "shipFrom.address": "shipFrom.address.country",
    "shipFrom": "shipFrom",
    "shippingChoice": "shippingChoice",
    "invoiceAttributeId": "invoiceAttributeId",
    "taxIdentifiers": "taxIdentifiers",
}
# Codes that say enough where no parameter is named.
SPEAKING = {
    "email_invalid": "email",
    "invalid_shipping_choice": "shippingChoice",
    "postal_code_invalid": "?.address.postalCode",
    "tax_id_invalid": "taxIdentifiers",
}
# Create-only (PLATFORM §2.4) -> what the storefront is asked for.
CREATE_ONLY_FIELDS = {
    "items": "items",
    "price": "items",
    "planId": "items",
    "discount": "discount",
    "taxInclusive": "taxInclusive",
    "disclosures": "disclosures",
}

ROWS = (
    *declines.ROWS,
    *(Row(When("409", code), SOURCE_UNUSABLE) for code in UNUSABLE),
    *(Row(When("409", code), DATA_CONFLICT) for code in DATA),
    *(Row(When("409", code), EXISTS) for code in EXISTING),
    Row(When("409", "additional_payment_action_required"), STEP_UP),
    Row(When("409", "session_update_not_allowed"), DEAD_BEFORE),
    Row(When("409"), UNKNOWN_CONFLICT),
    # The same checkout, mended.
    Row(When("4xx", "order_submit_failed"), SESSION),
    Row(When("4xx", None, "sourceId"), SESSION),
    *(
        Row(When("4xx", None, parameter), replace(REPAIR, field=field))
        for parameter, field in FIELDS.items()
    ),
    *(
        Row(When("4xx", code, NONE_GIVEN), replace(REPAIR, field=field))
        for code, field in SPEAKING.items()
    ),
    *(
        Row(When("4xx", None, parameter), replace(CREATE_ONLY, field=field))
        for parameter, field in CREATE_ONLY_FIELDS.items()
    ),
    *(Row(When("4xx", code), CREATE_ONLY) for code in (*GOODS, *PLANS)),
    # A decline has no business here, and is charged again by nobody.
    *(
        Row(When("4xx", line.code), declines.FINAL if line.code in declines.FRAUD_CODES
            else replace(MISPLACED, decline=line.customers))
        for line in declines.LINES
    ),
    Row(When("4xx"), NO_REPAIR),
    # Nothing is wrong with the checkout.
    *(Row(When(status), CREDENTIALS) for status in ("401", "403")),
    *(Row(When(status), CLIENT_FAULT) for status in ("405", "406", "415")),
    Row(When("429"), BUSY),
    # Nobody knows whether there is an order.
    Row(When("404", None, "orderId"), UNKNOWN),
    Row(When("404"), NO_REPAIR),
    *(Row(When(status), UNKNOWN) for status in ("408", "5xx", "none")),
)  # fmt: skip
