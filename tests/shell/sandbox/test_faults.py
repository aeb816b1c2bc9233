"""What goes wrong on purpose, seen by a client over a real socket."""

import asyncio
import contextlib

import httpx
import pytest

from tests.shell.sandbox.shop import Json, Shop, error, until


@pytest.mark.parametrize("where", ["before", "middle"])
async def test_a_cut_answer_hides_an_order_that_was_made(shop: Shop, where: str) -> None:
    checkout = await shop.ready()
    await shop.fault("cut", where=where)
    with pytest.raises(httpx.RemoteProtocolError):
        await shop.submit(checkout)
    assert len(await shop.orders(checkout)) == 1
    note = shop.sandbox.ledger["submissions"][0]
    assert (note["committed"], note["told"], note["fault"]) == (201, False, "cut")


async def test_a_504_after_the_commit_hides_the_order(shop: Shop) -> None:
    checkout = await shop.ready()
    await shop.fault("after_commit")
    assert (await shop.submit(checkout)).status_code == 504
    assert len(await shop.orders(checkout)) == 1
    assert error(await shop.submit(checkout)) == (404, "not_found", "orderId")


async def test_a_503_before_the_commit_leaves_nothing(shop: Shop) -> None:
    checkout = await shop.ready()
    await shop.fault("before_commit")
    assert (await shop.submit(checkout)).status_code == 503
    assert await shop.orders(checkout) == []
    assert shop.sandbox.ledger["chargeAttempts"] == []
    assert (await shop.submit(checkout)).status_code == 201


async def test_a_late_commit_makes_the_order_after_its_504(shop: Shop) -> None:
    checkout = await shop.ready()
    await shop.fault("late_commit", seconds=0.1)
    assert (await shop.submit(checkout)).status_code == 504
    assert await shop.orders(checkout) == []
    await until(lambda: shop.sandbox.ledger["lateCommits"])
    assert len(await shop.orders(checkout)) == 1


async def test_of_a_repeat_and_a_late_commit_only_one_makes_an_order(shop: Shop) -> None:
    checkout = await shop.ready()
    await shop.fault("late_commit", seconds=0.1)
    await shop.submit(checkout)
    assert (await shop.submit(checkout)).status_code == 201
    await until(lambda: shop.sandbox.ledger["lateCommits"])
    late = shop.sandbox.ledger["lateCommits"][0]
    assert (late["status"], late["orderId"]) == (404, None)
    assert len(shop.sandbox.ledger["orders"]) == 1
    assert len(shop.sandbox.ledger["chargeAttempts"]) == 1


async def test_a_hanging_call_outlasts_the_clients_patience(shop: Shop) -> None:
    checkout = await shop.ready()
    await shop.fault("hang", seconds=30)
    with pytest.raises(httpx.ReadTimeout):
        await shop.call("POST", "/orders", {"checkoutId": checkout["id"]}, timeout=0.2)
    assert len(await shop.orders(checkout)) == 1


async def test_a_garbled_201_can_not_be_read(shop: Shop) -> None:
    for body in (b"{", b"<html"):
        checkout = await shop.ready()
        await shop.fault("garbage")
        answer = await shop.submit(checkout)
        assert answer.status_code == 201
        assert answer.content.startswith(body)
        with pytest.raises(ValueError, match=r"."):
            answer.json()


async def test_a_forced_409_ends_the_checkout_like_a_real_one(shop: Shop) -> None:
    checkout = await shop.ready()
    await shop.fault("error", status=409, code="sku_inactive", parameter="items", message="No.")
    assert error(await shop.submit(checkout)) == (409, "sku_inactive", "items")
    assert error(await shop.submit(checkout)) == (409, "session_update_not_allowed", None)
    assert shop.sandbox.ledger["orders"] == []


async def test_scripts_match_by_checkout_and_are_used_up_in_order(shop: Shop) -> None:
    hit, other = await shop.ready(), await shop.ready()
    scripts = [
        {
            "match": {"method": "POST", "path": "/orders", "checkoutId": hit["id"]},
            "action": {"kind": "error", "status": status},
        }
        for status in (500, 502)
    ]
    await shop.made("POST", "/_sandbox/faults", {"scripts": scripts})
    assert (await shop.submit(other)).status_code == 201
    answers = [(await shop.submit(hit)).status_code for _ in range(3)]
    assert answers == [500, 502, 201]


async def test_rates_strike_their_paths_alone_until_they_are_cleared(shop: Shop) -> None:
    body = {"rates": {"before_commit": 1.0}, "paths": "/orders"}
    await shop.made("POST", "/_sandbox/faults", body)
    checkout = await shop.ready()
    assert (await shop.submit(checkout)).status_code == 503
    await shop.call("DELETE", "/_sandbox/faults")
    assert (await shop.submit(checkout)).status_code == 201


async def test_list_lag_hides_new_orders_from_the_list_alone(shop: Shop) -> None:
    await shop.made("POST", "/_sandbox/faults", {"rates": {"list_lag": 30}})
    checkout = await shop.ready()
    order = (await shop.submit(checkout)).json()
    assert await shop.orders(checkout) == []
    assert (await shop.made("GET", f"/orders/{order['id']}"))["id"] == order["id"]


async def test_latency_delays_and_changes_nothing(shop: Shop) -> None:
    checkout = await shop.ready()
    await shop.fault("latency", seconds=0.15)
    start = asyncio.get_running_loop().time()
    assert (await shop.submit(checkout)).status_code == 201
    assert asyncio.get_running_loop().time() - start >= 0.15


@pytest.mark.parametrize(
    "wrong",
    [{"rates": {"nope": 1}}, {"scripts": [{"action": {"kind": "nope"}}]}, {"what": 1}],
)
async def test_a_fault_that_is_not_understood_is_refused(
    shop: Shop, wrong: dict[str, object]
) -> None:
    assert (await shop.call("POST", "/_sandbox/faults", wrong)).status_code == 400


async def test_a_client_that_blindly_repeats_never_makes_two_orders_of_one_checkout(
    shop: Shop,
) -> None:
    checkouts = [await shop.ready() for _ in range(20)]
    shop.sandbox.world.limiter.rate = 10_000
    shop.sandbox.world.limiter.buckets.clear()
    rates = {
        "after_commit": 0.15,
        "before_commit": 0.15,
        "cut": 0.15,
        "garbage": 0.1,
        "late_commit": {"rate": 0.2, "seconds": [0.01, 0.1]},
        "latency": {"rate": 0.3, "seconds": [0.0, 0.05]},
        "rate_limit": 0.1,
    }
    await shop.made("POST", "/_sandbox/faults", {"rates": rates, "paths": "/orders"})

    async def insist(checkout: Json) -> None:
        for _ in range(6):
            with contextlib.suppress(httpx.RemoteProtocolError, httpx.ReadError):
                await shop.submit(checkout)

    await asyncio.gather(*(insist(one) for one in checkouts))
    await until(lambda: not shop.sandbox.edge.late)
    ledger = shop.sandbox.ledger
    assert len(ledger["submissions"]) == 120
    sold = [one["checkoutId"] for one in ledger["orders"]]
    assert len(sold) == len(set(sold)) == len(ledger["chargeAttempts"])
    told = {one["checkoutId"] for one in ledger["submissions"] if one["committed"] == 201}
    late = {one["checkoutId"] for one in ledger["lateCommits"] if one["status"] == 201}
    assert set(sold) == told | late
