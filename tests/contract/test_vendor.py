"""The check itself: what it must see, shown on one request and one answer that are good."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.contract.recorder import Exchange
from tests.contract.vendor import Document

BODY: dict[str, Any] = {"currency": "EUR", "items": [{"skuId": "kbd-1", "quantity": 1, "price": 5}]}
GOOD = Exchange(
    method="POST",
    path="/checkouts",
    query="",
    headers={},
    body=json.dumps(BODY).encode(),
    status=201,
    answer_headers={"content-type": "application/json"},
    answer=b'{"id": "c1", "createdTime": "2024-05-02T09:00:00Z", "totalAmount": 5.0}',
)
LIST = replace(GOOD, method="GET", path="/orders", query="checkoutId=c1&limit=100", body=b"")


def test_what_is_right_passes(document: Document) -> None:
    assert list(document.request(GOOD)) == []
    assert list(document.answer(GOOD)) == []
    assert list(document.request(LIST)) == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"path": "/checkout"}, "undeclared operation"),
        ({"method": "PUT"}, "undeclared operation"),
        ({"query": "dryRun=true"}, "undeclared parameter"),
        ({"body": b""}, "JSON body expected"),
        ({"body": b"[]"}, "type"),
        ({"body": b'{"currency": "EUR"}'}, "required"),
        ({"body": json.dumps(BODY | {"currency": 5}).encode()}, "type"),
        ({"body": json.dumps(BODY | {"curency": "EUR"}).encode()}, "additionalProperties"),
        ({"body": json.dumps(BODY | {"chargeType": "post"}).encode()}, "enum"),
        ({"body": json.dumps(BODY | {"email": "nobody"}).encode()}, "format"),
        ({"path": "/checkouts/c1/sources/s1"}, "body where none is declared"),
    ],
)
def test_a_request_that_is_wrong_is_seen(
    document: Document, change: dict[str, Any], rule: str
) -> None:
    found = [violation.rule for violation in document.request(replace(GOOD, **change))]
    assert rule in found


@pytest.mark.parametrize(
    ("query", "rule"),
    [("limit=many", "type"), ("limit=101", "maximum"), ("checkoutIds=c1", "undeclared parameter")],
)
def test_a_filter_that_is_wrong_is_seen(document: Document, query: str, rule: str) -> None:
    assert [each.rule for each in document.request(replace(LIST, query=query))] == [rule]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"status": 418}, "undeclared status"),
        ({"answer": b'{"totalAmount": "5.0"}'}, "type"),
        ({"answer": b'{"createdTime": "yesterday"}'}, "format"),
        ({"answer": b'{"payment": {"session": {"state": "ready"}}}'}, "enum"),
        ({"answer": b'{"totalAmunt": 5.0}'}, "additionalProperties"),
        ({"answer_headers": {"content-type": "text/html"}}, "not JSON"),
        ({"status": 409, "answer": b'{"type": "clash", "errors": []}'}, "enum"),
        ({"path": "/moons", "status": 200}, "undeclared operation"),
        (
            {"method": "DELETE", "path": "/checkouts/c1", "status": 204},
            "body where none is declared",
        ),
    ],
)
def test_an_answer_that_is_wrong_is_seen(
    document: Document, change: dict[str, Any], rule: str
) -> None:
    found = [violation.rule for violation in document.answer(replace(GOOD, **change))]
    assert rule in found
