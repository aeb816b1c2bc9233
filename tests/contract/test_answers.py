"""What the sandbox answers is what the vendor's document allows, named exceptions apart."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

from deploy import sandbox
from deploy.sandbox.catalogue import CALLS
from tests.contract import exceptions
from tests.contract.recorder import Exchange
from tests.contract.vendor import Document

# Errors of PLATFORM A.1 that the sandbox gives: status, code and parameter.
REFUSALS: frozenset[tuple[int, str | None, str | None]] = frozenset({
    (400, "order_submit_failed", None),
    (400, "order_create_failed", "email"),
    (400, "missing_parameter", "billTo.address.country"),
    (409, "create-order-failed", None),
    (400, "missing_parameter", "shipFrom.address"),
    (400, "missing_parameter", "shipping.name"),
    (400, "missing_parameter", "address.line1"),
    (400, "missing_parameter", "shipTo.address.country"),
    (400, "missing_parameter", "shipTo.address.city"),
    (400, "missing_parameter", "shipTo.address.state"),
    (400, "missing_parameter", "shipTo.address.postalCode"),
    (400, "invalid_parameter", "address.postalCode"),
    (400, "invalid_parameter", "address.state"),
    (400, "invalid_shipping_choice", "shippingChoice"),
    (400, "internal_error", None),
    (409, "failed-request", None),
    (404, "not_found", "orderId"),
    (409, "session_update_not_allowed", None),
    (409, "source_status_invalid_for_session", None),
    (409, "session_source_amount_too_large", None),
    (409, "nonreusable_source", None),
    (409, "source_not_chargeable", "sourceId"),
    (409, "source_in_use", "sourceId"),
    (409, "additional_information_required", "invoiceAttributeId"),
    (409, "additional_information_required", "taxIdentifiers"),
    (409, "currency_unactivated", "currency"),
    (409, "invalid_parameter", "currency"),
    (409, "country_unsupported", "country"),
    (400, "unknown_parameter", "price"),
    (400, "invalid_discount_percent", "discount"),
    (400, "invalid_discount_amount", "discount"),
    (400, "missing_parameter", "skuGroupId"),
    (400, "missing_parameter", "countryOfOrigin"),
    (409, "payment_authorization_failed", "orderId"),
    (409, "order_fulfilled", "orderId"),
    (409, "order_not_submitted", "orderId"),
    (400, "invalid_parameter", "id"),
    (401, None, None),
    (400, "source_not_found", "sourceId"),
    (409, "already_exists", "id"),
    (409, "order_complete", "orderId"),
    (409, "order_cancelled", "orderId"),
    (409, "item_fulfilled", "itemId"),
    (409, "item_cancelled", "itemId"),
    (409, "quantity_too_large", "items[0].qty"),
    (409, "order-fraud-failure", None),
    (409, "additional_payment_action_required", None),
})  # fmt: skip
# The other codes of A.1; one that turns up in the sandbox's source belongs above.
NOT_GIVEN = frozenset("""
    source_not_supported creditAmount_already_updated tax_identifier_in_use plan_limit_reached
    customer_not_updateable plan_not_active restricted_update invalid_state
""".split())  # fmt: skip


def test_answers_keep_to_the_document(document: Document, told: list[Exchange]) -> None:
    found = [violation for exchange in told for violation in document.answer(exchange)]
    assert sorted({str(each) for each in exceptions.unexplained(found)}) == []
    assert exceptions.unused(found) == [], "an exception that nothing uses: take it out"


def test_every_answer_carries_the_platforms_request_id(told: list[Exchange]) -> None:
    assert [each.path for each in told if not each.answer_headers.get("x-dr-requestid")] == []


def test_every_call_of_the_sandbox_was_answered_with_success(told: list[Exchange]) -> None:
    done = [f"{each.method} {each.path}" for each in told if each.status < 300]
    for method, path, _ in CALLS:
        form = re.compile(f"{method} " + re.sub(r"\{[^}]*\}", "[^/]+", path))
        assert any(form.fullmatch(each) for each in done), f"{method} {path}"


def test_every_refusal_of_the_table_was_given(told: list[Exchange]) -> None:
    assert given(told) >= REFUSALS, sorted(REFUSALS - given(told), key=str)


def test_the_table_knows_every_documented_error_in_the_sandboxes_source() -> None:
    words = {
        node.value
        for file in Path(sandbox.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert words & NOT_GIVEN == set()


def given(told: list[Exchange]) -> set[tuple[int, str | None, str | None]]:
    """Status, code and parameter of every error in an answer."""
    return {
        (each.status, error.get("code"), error.get("parameter"))
        for each in told
        if each.status >= 400 and each.answer.startswith(b"{")
        for error in json.loads(each.answer)["errors"]
    }
