"""PLATFORM §1: keys, request ids, versions, the rate limit; and the page."""

import asyncio

import httpx
import pytest

from deploy.sandbox.server import Options, running
from tests.shell.sandbox.shop import CHECKOUT, Shop, error


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer nope", "Basic sk_live_shop"])
async def test_a_wrong_key_is_unauthorized_and_touches_nothing(shop: Shop, value: str) -> None:
    answer = await shop.call("GET", "/orders", headers={"Authorization": value})
    message = "An authorization error has occurred."
    assert answer.status_code == 401
    assert answer.json() == {"type": "unauthorized", "errors": [{"message": message}]}
    assert answer.headers["x-dr-requestid"]


async def test_every_answer_carries_its_own_request_id(shop: Shop) -> None:
    answers = [await shop.call("GET", path) for path in ("/orders", "/orders/x", "/nope")]
    assert [one.status_code for one in answers] == [200, 404, 404]
    assert len({one.headers["x-dr-requestid"] for one in answers}) == 3


async def test_a_known_path_with_another_method_is_not_allowed(shop: Shop) -> None:
    assert error(await shop.call("PUT", "/orders"))[:2] == (405, "method_not_allowed")


async def test_older_versions_flatten_payment_and_unknown_ones_are_refused(shop: Shop) -> None:
    checkout = await shop.ready()
    old = {"DigitalRiver-Version": "2021-02-23"}
    shown = (await shop.call("GET", f"/checkouts/{checkout['id']}", headers=old)).json()
    assert shown["paymentSessionId"] == checkout["payment"]["session"]["id"]
    assert "payment" not in shown
    unknown = {"DigitalRiver-Version": "1999-01-01"}
    assert (await shop.call("GET", "/orders", headers=unknown)).status_code == 400


async def test_a_test_key_gets_25_a_second_then_429_with_whole_seconds() -> None:
    key = {"Authorization": "Bearer sk_test_sandbox"}
    async with running() as sandbox, httpx.AsyncClient(base_url=sandbox.url, headers=key) as http:
        # Many at once: on a slow machine a few in turn would never be too fast.
        answers = await asyncio.gather(*(http.get("/orders/x") for _ in range(90)))
        refused = [one for one in answers if one.status_code == 429]
        assert sum(one.status_code == 404 for one in answers) >= 25
        assert refused
        assert all(one.headers["retry-after"] == "2" for one in refused)
        assert {len(one.content) > 0 for one in refused} == {True, False}
        assert sandbox.ledger["rateLimited"] == len(refused)


async def test_a_forced_429_is_not_processed(shop: Shop) -> None:
    checkout = await shop.ready()
    await shop.fault("rate_limit", retryAfter=7)
    answer = await shop.submit(checkout)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert (await shop.submit(checkout)).status_code == 201


async def test_test_and_live_keys_do_not_see_each_other() -> None:
    keys = ("sk_test_a", "sk_b")
    async with running(Options(keys=keys)) as sandbox, httpx.AsyncClient() as http:

        async def call(method: str, path: str, key: str) -> httpx.Response:
            headers = {"Authorization": f"Bearer {key}"}
            body = CHECKOUT if method == "POST" else None
            return await http.request(method, sandbox.url + path, headers=headers, json=body)

        made = (await call("POST", "/checkouts", "sk_b")).json()
        assert made["liveMode"] is True
        assert (await call("GET", f"/checkouts/{made['id']}", "sk_b")).status_code == 200
        assert (await call("GET", f"/checkouts/{made['id']}", "sk_test_a")).status_code == 404


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000, b'{"a": NaN}'])
async def test_bodies_that_are_not_json_objects_are_refused(shop: Shop, body: bytes) -> None:
    answer = await shop.call("POST", "/checkouts", content=body)
    assert error(answer)[:2] == (400, "invalid_format")


async def test_the_page_escapes_what_it_shows(shop: Shop) -> None:
    checkout = await shop.checkout(upstreamId="<script>alert(1)</script>")
    await shop.submit(checkout)
    page = (await shop.call("GET", "/")).text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert 'class="problem"' in page


async def test_reset_empties_the_ledger(shop: Shop) -> None:
    await shop.submit(await shop.ready())
    await shop.made("POST", "/_sandbox/reset")
    ledger = shop.sandbox.ledger
    assert (ledger["orders"], ledger["submissions"], ledger["requests"]) == ([], [], 0)
