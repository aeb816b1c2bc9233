"""What our client asks is what the vendor's document declares, taken at the wire."""

from __future__ import annotations

import re
from urllib.parse import unquote

from tests.contract import exceptions
from tests.contract.recorder import Exchange
from tests.contract.vendor import JSON, Document
from tests.shell.service.serving import KEY

# Every call that the service makes. A new one belongs here and into a story.
CALLS = {
    "GET /checkouts/{id}",
    "GET /checkouts",
    "GET /orders",
    "GET /orders/{id}",
    "GET /sources/{id}",
    "GET /charges/{id}",
    "GET /customers/{id}",
    "GET /events",
    "POST /orders",
    "POST /checkouts",
    "POST /checkouts/{id}",
    "POST /checkouts/{id}/sources/{sourceId}",
    "DELETE /checkouts/{id}/sources/{sourceId}",
    "POST /customers/{id}/sources/{sourceId}",
    "POST /sources",
    "DELETE /checkouts/{id}",
    "POST /fulfillments",
}
REFRESH = "/orders/{id}/refresh"  # in no document but prose (PLATFORM §8 #39)
FORMS = {
    "authorization": f"Bearer {KEY}",
    "digitalriver-version": "2021-12-13",
    "content-type": JSON,
    "accept": JSON,
    "upstream-id": r"[!-~]{1,128}",
    "upstream-application-id": r"order-rescue/[0-9.]+",
}


def test_requests_keep_to_the_document(document: Document, asked: list[Exchange]) -> None:
    found = [violation for exchange in asked for violation in document.request(exchange)]
    assert sorted({str(each) for each in exceptions.unexplained(found)}) == []


def test_what_the_sandbox_answers_to_them_keeps_to_the_document(
    document: Document, asked: list[Exchange]
) -> None:
    found = [violation for exchange in asked for violation in document.answer(exchange)]
    assert sorted({str(each) for each in exceptions.unexplained(found)}) == []


def test_the_service_makes_these_calls_and_no_others(
    document: Document, asked: list[Exchange]
) -> None:
    made = {f"{each.method} {document.template(each.path) or REFRESH}" for each in asked}
    assert made == CALLS | {f"POST {REFRESH}"}
    unnamed = [each.path for each in asked if document.template(each.path) is None]
    assert all(re.fullmatch("/orders/[^/]+/refresh", path) for path in unnamed)


def test_every_request_carries_the_headers_that_the_platform_asks_for(
    asked: list[Exchange],
) -> None:
    """PLATFORM §1.1, §1.2."""
    for exchange in asked:
        for name, form in FORMS.items():
            value = exchange.headers.get(name, "")
            assert re.fullmatch(form, value), f"{exchange.method} {exchange.path}: {name}: {value}"


def test_the_platform_understands_every_filter_that_we_use(
    document: Document, asked: list[Exchange]
) -> None:
    """An unknown filter would be ignored, and then a list proves nothing (I6)."""
    lists = {each.query.partition("=")[0] for each in asked if each.query}
    assert lists >= {"checkoutId", "upstreamIds"}
    for exchange in asked:
        operation = document.operation(exchange.method, exchange.path)
        known = set(operation.parameters("query")) if operation else set()
        pairs = [unquote(pair.partition("=")[0]) for pair in exchange.query.split("&") if pair]
        names = {name.partition("[")[0] for name in pairs}  # a range is a deep object
        assert names <= known
