"""PLATFORM §6: events, signatures, acknowledgement, retries, giving up."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from deploy.sandbox.server import Options, running
from tests.shell.sandbox.conftest import KEY
from tests.shell.sandbox.shop import Json, Receiver, Shop, error, until


@pytest.fixture
async def hooked(receiver: Receiver) -> AsyncIterator[Shop]:
    options = Options(
        keys=(KEY,),
        webhook_url=receiver.url,
        webhook_secrets=("new", "old"),
        basic=("ada", "secret"),
        seed=7,
    )
    async with (
        running(options) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url, headers={"Authorization": f"Bearer {KEY}"}) as http,
    ):
        yield Shop(sandbox, http)


def signature(secret: str, when: str, body: bytes) -> str:
    made = hmac.new(secret.encode(), when.encode() + b"." + body, hashlib.sha256)
    return base64.b64encode(made.digest()).decode()


def types(receiver: Receiver) -> list[str]:
    return [json.loads(body)["type"] for _, body in receiver.got]


async def test_a_purchase_is_told_event_by_event(hooked: Shop, receiver: Receiver) -> None:
    await hooked.submit(await hooked.ready())
    expected = {
        "checkout.created", "checkout.updated", "source.created", "source.chargeable",
        "order.created", "order.charge.capturable", "order.accepted",
    }  # fmt: skip
    await until(lambda: set(types(receiver)) == expected)
    accepted = next(one for _, one in receiver.got if b'"order.accepted"' in one)
    event = json.loads(accepted)
    assert event["data"]["object"]["state"] == "accepted"
    assert await hooked.made("GET", f"/events/{event['id']}") == event
    await until(lambda: hooked.sandbox.ledger["webhooks"]["acknowledged"] == len(expected))


async def test_deliveries_are_signed_by_both_secrets_and_carry_credentials(
    hooked: Shop, receiver: Receiver
) -> None:
    await hooked.checkout()
    await until(lambda: receiver.got)
    headers, body = receiver.got[0]
    when, new, old = headers["digitalriver-signature"].split(", ")
    assert len(when) == 13
    assert new == signature("new", when, body)
    assert old == signature("old", when, body)
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")) == b"ada:secret"


@pytest.mark.parametrize(("form", "shape"), [("s", r"\d{10}"), ("iso", r"\d{4}-.*Z")])
async def test_the_timestamps_form_and_the_rotation_can_be_switched(
    hooked: Shop, receiver: Receiver, form: str, shape: str
) -> None:
    settings = {"signature_timestamp": form, "signature_rotation": "newest"}
    await hooked.made("POST", "/_sandbox/settings", settings)
    await hooked.checkout()
    await until(lambda: receiver.got)
    headers, body = receiver.got[0]
    when, only = headers["digitalriver-signature"].split(", ")
    assert only == signature("new", when, body)
    assert re.fullmatch(shape, when)


async def test_a_refused_delivery_is_repeated_with_a_new_signature(
    hooked: Shop, receiver: Receiver
) -> None:
    hooked.sandbox.world.clock.speed = 10_000
    receiver.statuses = [500, 302]
    await hooked.checkout()
    await until(lambda: hooked.sandbox.ledger["webhooks"]["acknowledged"] == 1)
    bodies = {body for _, body in receiver.got}
    signatures = {headers["digitalriver-signature"] for headers, _ in receiver.got}
    assert (len(receiver.got), len(bodies), len(signatures)) == (3, 1, 3)


async def test_retries_wait_for_their_time_and_a_flush_does_not(
    hooked: Shop, receiver: Receiver
) -> None:
    receiver.statuses = [500]
    await hooked.checkout()
    await until(lambda: hooked.sandbox.ledger["webhooks"]["failed"] == 1)
    assert len(receiver.got) == 1
    assert await hooked.made("POST", "/_sandbox/webhooks/flush") == {"attempted": 1}
    assert len(receiver.got) == 2
    assert hooked.sandbox.ledger["webhooks"]["acknowledged"] == 1


async def test_an_endpoint_that_never_answers_has_failed(hooked: Shop, receiver: Receiver) -> None:
    await hooked.made("POST", "/_sandbox/settings", {"webhook_timeout": 0.1})
    receiver.silent = True
    await hooked.checkout()
    await until(lambda: hooked.sandbox.ledger["webhooks"]["failed"] == 1)


async def test_a_webhook_is_disabled_after_failures_in_a_row_and_can_be_enabled(
    hooked: Shop, receiver: Receiver
) -> None:
    await hooked.made("POST", "/_sandbox/settings", {"disable_after": 3})
    receiver.always = 503
    for _ in range(3):
        await hooked.checkout()
    hook = next(iter(hooked.sandbox.world.webhooks.values()))
    await until(lambda: not hook.enabled)
    await hooked.checkout()
    receiver.always = 200
    before = len(receiver.got)
    shown = await hooked.made("PATCH", f"/webhooks/{hook.id}", {"enabled": True})
    assert shown["enabled"] is True
    await hooked.checkout()
    await until(lambda: len(receiver.got) == before + 1)


async def test_lost_events_stay_in_the_events_list(hooked: Shop, receiver: Receiver) -> None:
    await hooked.made("POST", "/_sandbox/faults", {"rates": {"webhook_lost": 1.0}})
    await hooked.checkout()
    assert hooked.sandbox.ledger["webhooks"]["lost"] == 1
    found: list[Json] = (await hooked.made("GET", "/events?types=checkout.created"))["data"]
    assert len(found) == 1
    await hooked.made("POST", f"/_sandbox/events/{found[0]['id']}/redeliver")
    await until(lambda: types(receiver) == ["checkout.created"])


async def test_doubled_and_delayed_deliveries_all_arrive(hooked: Shop, receiver: Receiver) -> None:
    rates = {"webhook_doubled": 1.0, "webhook_delayed": {"rate": 1.0, "seconds": 0.05}}
    await hooked.made("POST", "/_sandbox/faults", {"rates": rates})
    await hooked.checkout()
    await until(lambda: len(receiver.got) == 2)
    assert len({json.loads(body)["id"] for _, body in receiver.got}) == 1
    counts = hooked.sandbox.ledger["webhooks"]
    assert (counts["doubled"], counts["delayed"]) == (1, 1)


async def test_wildcards_choose_what_is_delivered_and_listed(
    shop: Shop, receiver: Receiver
) -> None:
    body = {"types": ["order.*"], "address": receiver.url}
    await shop.made("POST", "/webhooks", body)
    await shop.submit(await shop.ready())
    await until(lambda: len(receiver.got) == 3)
    assert all(kind.startswith("order.") for kind in types(receiver))
    listed = (await shop.made("GET", "/events?type=order.*"))["data"]
    assert len(listed) == 3
    both = await shop.call("GET", "/events?type=order.*&types=order.accepted")
    assert error(both) == (400, "invalid_parameter", "types")


async def test_the_envelope_varies_and_the_required_parts_stay(shop: Shop) -> None:
    for _ in range(6):
        await shop.checkout()
    events = (await shop.made("GET", "/events?limit=100"))["data"]
    assert {"webhookIds" in one for one in events} == {True, False}
    assert {"digitalriverVersion" in one for one in events} == {True, False}
    assert all({"id", "type", "data", "createdTime", "liveMode"} <= set(one) for one in events)
