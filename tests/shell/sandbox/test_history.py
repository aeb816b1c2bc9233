"""PLATFORM §6.6: the list of events, also while no webhook arrives; names and envelopes."""

from datetime import timedelta

import pytest

from tests.shell.sandbox.shop import Json, Receiver, Shop, error, until


async def listed(shop: Shop, **query: object) -> Json:
    answer = await shop.call("GET", "/events", params=query)
    found: Json = answer.json()
    return found


async def ids(shop: Shop, **query: object) -> list[str]:
    return [one["id"] for one in (await listed(shop, **query))["data"]]


async def test_types_may_be_repeated_or_joined(shop: Shop) -> None:
    await shop.submit(await shop.ready())
    wanted = ["order.created", "order.accepted"]
    repeated, joined = await ids(shop, types=wanted), await ids(shop, types=",".join(wanted))
    assert len(repeated) == 2
    assert repeated == joined
    assert error(await shop.call("GET", "/events", params={"types": ["x"] * 20}))[0] == 400


async def test_pages_lead_back_and_forth_through_all_events(shop: Shop) -> None:
    for _ in range(5):
        await shop.checkout()
    every = await ids(shop, limit=100)
    older: list[str] = []
    query: dict[str, object] = {"limit": 2}
    while True:
        page = await listed(shop, **query)
        older += [one["id"] for one in page["data"]]
        if not page["hasMore"]:
            break
        query["startingAfter"] = older[-1]
    assert older == every
    newer = await listed(shop, limit=2, endingBefore=every[-1])
    assert [one["id"] for one in newer["data"]] == every[2:4]
    assert newer["hasMore"] is True


async def test_events_are_found_by_the_time_they_were_made(shop: Shop) -> None:
    for _ in range(3):
        await shop.checkout()
    newest, middle, oldest = (await listed(shop))["data"]
    when = middle["createdTime"]
    assert await ids(shop, **{"createdTime[gte]": when}) == [newest["id"], middle["id"]]
    assert await ids(shop, **{"createdTime[gt]": when}) == [newest["id"]]
    assert await ids(shop, **{"createdTime[lte]": when}) == [middle["id"], oldest["id"]]
    both = {"createdTime[gte]": when, "createdTime[lt]": newest["createdTime"]}
    assert await ids(shop, **both) == [middle["id"]]
    assert error(await shop.call("GET", "/events", params={"createdTime[eq]": when}))[0] == 400


async def test_after_thirty_days_events_are_gone(shop: Shop) -> None:
    await shop.checkout()
    event = next(iter(shop.sandbox.world.events.values()))
    event.created -= timedelta(days=30, seconds=1)
    assert await ids(shop) == []
    assert (await shop.call("GET", f"/events/{event.id}")).status_code == 404


async def test_webhooks_can_be_switched_off_and_the_events_stay(
    shop: Shop, receiver: Receiver
) -> None:
    await shop.made("POST", "/webhooks", {"types": ["*"], "address": receiver.url})
    await shop.made("POST", "/_sandbox/settings", {"webhooks": "off"})
    await shop.submit(await shop.ready())
    found = await ids(shop, limit=100)
    assert shop.sandbox.ledger["webhooks"]["lost"] == len(found) > 5
    await shop.made("POST", "/_sandbox/settings", {"webhooks": "on"})
    await shop.checkout()
    await until(lambda: receiver.got)
    assert len(receiver.got) == 1


async def test_retries_stop_as_well_while_webhooks_are_off(shop: Shop, receiver: Receiver) -> None:
    receiver.statuses = [500]
    await shop.made("POST", "/webhooks", {"types": ["*"], "address": receiver.url})
    await shop.checkout()
    await until(lambda: shop.sandbox.ledger["webhooks"]["failed"] == 1)
    await shop.made("POST", "/_sandbox/settings", {"webhooks": "off"})
    await shop.made("POST", "/_sandbox/webhooks/flush")
    assert len(receiver.got) == 1
    assert shop.sandbox.ledger["webhooks"]["lost"] == 1


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ("current", ["order.review_opened"]),
        ("legacy", ["order.pending_review"]),
        ("both", ["order.review_opened", "order.pending_review"]),
    ],
)
async def test_events_may_have_their_older_names(
    shop: Shop, setting: str, names: list[str]
) -> None:
    await shop.made("POST", "/_sandbox/settings", {"event_names": setting})
    await shop.submit(await shop.ready("Review"))
    found = (await listed(shop, types="order.review_opened,order.pending_review"))["data"]
    assert [one["type"] for one in reversed(found)] == names
    assert len({one["id"] for one in found}) == len(names)


@pytest.mark.parametrize(
    ("setting", "extra"),
    [
        ("bare", set()),
        ("full", {"webhookIds", "digitalriverVersion"}),
        ("spec", {"pendingWebhooks", "digitalRiverVersion"}),
    ],
)
async def test_the_envelope_can_be_switched(shop: Shop, setting: str, extra: set[str]) -> None:
    await shop.made("POST", "/_sandbox/settings", {"envelope": setting})
    for _ in range(3):
        await shop.checkout()
    for event in (await listed(shop))["data"]:
        assert set(event) == {"id", "type", "data", "liveMode", "createdTime"} | extra


async def test_the_platform_s_own_page_makes_orders_that_nobody_posted(shop: Shop) -> None:
    body = {"checkout": {"upstreamId": "low-1"}, "consents": [{"id": "news"}]}
    order = await shop.made("POST", "/_sandbox/checkout-sessions", body)
    assert (order["state"], order["upstreamId"]) == ("accepted", "low-1")
    event = (await listed(shop, type="checkout_session.order.created"))["data"][0]
    thing = event["data"]["object"]
    assert (thing["id"], thing["checkoutId"]) == (order["id"], order["checkoutId"])
    assert thing["checkoutSessionId"]
    assert thing["consents"] == [{"id": "news"}]
    assert thing["payment"]["sources"][0]["state"] == "consumed"
    ledger = shop.sandbox.ledger
    assert ledger["submissions"] == []
    assert ledger["orders"][0]["checkoutSessionId"] == thing["checkoutSessionId"]


async def test_a_purchase_on_the_own_page_fails_as_a_submission_does(shop: Shop) -> None:
    owner = {"firstName": "Ada", "lastName": "Decline_declined"}
    answer = await shop.call("POST", "/_sandbox/checkout-sessions", {"owner": owner})
    assert error(answer) == (409, "declined", None)


async def test_settings_that_are_not_understood_change_nothing(shop: Shop) -> None:
    wrong = {"webhooks": "off", "cancels": "maybe"}
    assert (await shop.call("POST", "/_sandbox/settings", wrong)).status_code == 400
    assert (await shop.made("GET", "/_sandbox/settings"))["webhooks"] == "on"
