"""Outcomes as the merchant's endpoint gets them from the running service."""

import base64
import json
from pathlib import Path
from typing import Any

from standardwebhooks.webhooks import Webhook

from tests.shell.sandbox.shop import receiving
from tests.shell.service.serving import until
from tests.shell.service.stage import DECLINED_CARD, restart, staged

SECRET = "whsec_" + base64.b64encode(b"outcome key of the merchant 123").decode()


def verified(got: list[tuple[dict[str, str], bytes]]) -> list[dict[str, Any]]:
    """Every body whose signature is right; raises for any other."""
    hook = Webhook(SECRET)
    return [hook.verify(body, headers) for headers, body in got]


async def test_a_purchase_is_told_in_order_and_signed(tmp_path: Path) -> None:
    async with receiving() as receiver:
        async with staged(
            tmp_path, OUTCOME_WEBHOOK_URL=receiver.url, OUTCOME_WEBHOOK_SECRET=SECRET
        ) as stage:
            checkout = await stage.paid(number=DECLINED_CARD)
            held = await stage.reaches(await stage.buy(checkout), "held", "payment_required")
            source = await stage.source(held["shopper"]["nextAction"]["sessionId"])
            done = await stage.tell(held, "payment-source", {"sourceId": source})
            assert done["state"] == "accepted"
            await until(lambda: b"purchase.accepted" in b"".join(b for _, b in receiver.got))
        told = verified(receiver.got)
    assert {event["subject"] for event in told} == {done["id"]}
    sequences = [int(event["sequence"]) for event in told]
    assert sequences == sorted(set(sequences))
    words = [(e["data"]["state"], e["data"]["reason"]) for e in told]
    assert words[0] == ("held", "checking")
    assert ("submitting", None) in words
    assert ("held", "payment_required") in words
    assert words[-1] == ("accepted", None)
    last = told[-1]
    assert last["type"] == "order-rescue.purchase.accepted"
    assert last["source"] == "order-rescue"
    assert last["data"]["orderId"] == done["orderId"]
    assert last["data"]["fulfil"] is True
    assert last["data"]["order"]["fraudState"] == "passed"
    assert "clientSecret" not in json.dumps(told)


async def test_what_an_endpoint_refused_is_told_again_with_the_same_id_after_a_restart(
    tmp_path: Path,
) -> None:
    async with receiving() as receiver:
        receiver.always = 500
        async with staged(
            tmp_path, OUTCOME_WEBHOOK_URL=receiver.url, OUTCOME_WEBHOOK_SECRET=SECRET
        ) as stage:
            checkout = await stage.checkout()
            await stage.buy(checkout)
            await until(lambda: receiver.got)
            await stage.service.kill()
            receiver.always = 200
            await restart(stage)
            await until(lambda: b"payment_required" in b"".join(b for _, b in receiver.got))
        ids = [headers["webhook-id"] for headers, _ in receiver.got]
    assert ids[0] == ids[1]  # the refused one came first again, before the next
    told = verified(receiver.got)
    assert [int(e["sequence"]) for e in told] == sorted(int(e["sequence"]) for e in told)
